// The Node.js peer: the community client ali-ons, driven by JSON lines on stdin, answering with JSON lines on stdout.
// The protocol is described in ../peers.py; this client can only send one by one, and consume concurrently.
'use strict';

const crypto = require('crypto');
const path = require('path');
const readline = require('readline');

const folder = process.argv[2]; // where its dependencies are installed
const { Consumer, Message, Producer } = require(path.join(folder, 'node_modules', 'ali-ons'));

const TEXT_LIMIT = 256;
const nothing = () => {};
const logger = { debug: nothing, info: nothing, warn: console.error, error: console.error };
const open = new Map();

function emit(line) {
  process.stdout.write(JSON.stringify(line) + '\n');
}

function options(c) {
  return {
    nameSrv: c.namesrv,
    instanceName: `node-${process.pid}-${c.name}`,
    // It signs all it sends; brokers without access control do not look.
    accessKeyId: 'none',
    accessKeySecret: 'none',
    // Only for finding NameServers by HTTP, which is not wanted here.
    httpclient: { request: () => Promise.reject(new Error('no HTTP')) },
    logger,
    pollNameServerInteval: 1000,
    rebalanceInterval: 1000,
  };
}

function body(c, number) {
  const head = Buffer.from(`${c.prefix ?? ''}${String(number).padStart(6, '0')}:`);
  const whole = Buffer.alloc(Math.max(head.length, c.size ?? 0));
  head.copy(whole);
  for (let i = head.length; i < whole.length; i++) whole[i] = 97 + ((number + i) % 26);
  return whole;
}

const ops = {
  async producer(c) {
    const producer = new Producer({ ...options(c), producerGroup: c.group });
    producer.on('error', error => console.error(error));
    await producer.ready();
    open.set(c.name, producer);
  },

  async send(c) {
    const sent = [];
    for (let i = 0; i < (c.count ?? 1); i++) {
      const number = (c.first ?? 0) + i;
      const message = new Message(c.topic, c.tags ?? '', body(c, number));
      if (c.keys) message.keys = [c.keys.replaceAll('{i}', String(number))];
      for (const [key, value] of Object.entries(c.properties ?? {})) message.properties[key] = value;
      const result = await open.get(c.name).send(message);
      sent.push({
        status: result.sendStatus,
        msg_id: result.msgId,
        broker: result.messageQueue.brokerName,
        queue: Number(result.messageQueue.queueId),
        offset: Number(result.queueOffset),
      });
    }
    return { sent };
  },

  async consumer(c) {
    const consumer = new Consumer({
      ...options(c),
      consumerGroup: c.group,
      consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET',
      isBroadcast: c.model === 'broadcasting',
    });
    consumer.on('error', error => console.error(error));
    consumer.subscribe(c.topic, c.expression ?? '*', async m => {
      const failed = m.reconsumeTimes < (c.fail_times ?? 0);
      emit({
        event: 'message',
        consumer: c.name,
        failed,
        topic: m.topic,
        msg_id: m.msgId,
        queue: m.queueId,
        offset: Number(m.queueOffset),
        tags: m.tags,
        keys: m.keys,
        reconsume_times: m.reconsumeTimes,
        properties: m.properties,
        size: m.body.length,
        sha256: crypto.createHash('sha256').update(m.body).digest('hex'),
        ...(m.body.length <= TEXT_LIMIT ? { body: m.body.toString() } : {}),
      });
      return failed ? Consumer.ACTION_RETRY : undefined;
    });
    await consumer.ready();
    open.set(c.name, consumer);
  },

  async close(c) {
    const made = open.get(c.name);
    open.delete(c.name);
    await made.close();
  },

  async forget() {}, // its clients share nothing
};

async function main() {
  emit({ event: 'ready', program: 'ali-ons' });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const c = JSON.parse(line);
    try {
      if (!ops[c.op]) throw new Error(`unknown op ${c.op}`);
      emit({ ...(await ops[c.op](c)), id: c.id, ok: true });
    } catch (error) {
      emit({ id: c.id, ok: false, error: String(error.stack ?? error) });
    }
  }
  for (const made of open.values()) await made.close();
}

main().then(() => process.exit(0));
