'use strict'
// The scenario runner of Node.js: JSON lines in, JSON lines out (tests/harness/README.md), by the public API alone.

const fs = require('node:fs')
const { createRequire } = require('node:module')
const path = require('node:path')
const readline = require('node:readline')
const { setTimeout: sleep } = require('node:timers/promises')

const libmq = createRequire(path.resolve(process.argv[2], 'package.json'))('@libmq/client')
const { Client, ConsumeResult, MqError, testing } = libmq

const clients = new Map()
const producers = new Map()
const consumers = new Map()
const pullers = new Map()
const brokers = new Map()

function emit(line) {
  process.stdout.write(JSON.stringify(line) + '\n')
}

function handle(map, name, kind) {
  const found = map.get(name)
  if (!found) throw new Error(`there is no ${kind} '${name}'`)
  return found
}

function toMessage(fields, otherTopic) {
  const { topic, body, tag, keys, properties, message_group: messageGroup, delay_level: delayLevel, wait_store: waitStore } = fields
  return { topic: otherTopic ?? topic, body: Buffer.from(body, 'base64'), tag, keys, properties, messageGroup, delayLevel, waitStore }
}

function toQueue({ topic, broker_name: brokerName, queue_id: queueId }) {
  return { topic, brokerName, queueId }
}

function fromQueues(queues) {
  return { queues: queues.map(({ topic, brokerName, queueId }) => ({ topic, broker_name: brokerName, queue_id: queueId })) }
}

function fromReceipt(receipt) {
  return {
    message_id: receipt.messageId,
    offset_message_id: receipt.offsetMessageId,
    queue_id: receipt.queueId,
    queue_offset: receipt.queueOffset,
    status: receipt.status,
  }
}

function fromView(message) {
  return {
    topic: message.topic,
    body: message.body.toString('base64'),
    tag: message.tag ?? null,
    keys: message.keys,
    properties: message.properties,
    message_group: message.messageGroup ?? null,
    message_id: message.messageId,
    offset_message_id: message.offsetMessageId,
    queue_id: message.queueId,
    queue_offset: message.queueOffset,
    broker_name: message.brokerName,
    born_timestamp: message.bornTimestamp,
    store_timestamp: message.storeTimestamp,
    delivery_attempt: message.deliveryAttempt,
  }
}

function fromError(error) {
  if (!(error instanceof MqError)) {
    return { code: 'INTERNAL', message: String(error?.stack ?? error), retryable: false, throttled: false, broker_code: null, class: error?.name ?? '' }
  }
  const { code, message, retryable, throttled, brokerCode, name } = error
  return { code, message, retryable, throttled, broker_code: brokerCode, class: name }
}

/** Runs `next()` (a send, or null at the end) with at most `window` under way; counts how they end. */
async function inFlight(window, next) {
  const result = { sent: 0, failed: 0 }
  let error
  async function lane() {
    for (let send = await next(); send; send = await next()) {
      try {
        await send()
        result.sent++
      } catch (reason) {
        result.failed++
        error ??= reason
      }
    }
  }
  await Promise.all(Array.from({ length: Math.max(1, window) }, lane))
  if (error) console.error(`${result.failed} sends failed, the first one with`, error)
  return result
}

/** A listener of lists that behaves as told. */
function listener(consumer, behaviour) {
  const { later_first: laterFirst = 0, throw_first: throwFirst = 0, suspend_first: suspendFirst = 0, later_level: level } = behaviour
  const { always_later: alwaysLater, hang, delay, quiet, suspend } = behaviour
  const deliveries = new Map()
  const count = quiet ? counter(consumer) : null
  const later = () => (level === undefined ? ConsumeResult.Later : ConsumeResult.later(level))
  const judge = ([{ messageId }]) => {
    if (alwaysLater) return later()
    if (!laterFirst && !throwFirst && !suspendFirst) return ConsumeResult.Success
    const times = (deliveries.get(messageId) ?? 0) + 1
    deliveries.set(messageId, times)
    if (times <= throwFirst) throw new Error(`told to throw at delivery ${times}`)
    if (times <= suspendFirst) return ConsumeResult.suspend(suspend)
    return times <= laterFirst ? later() : ConsumeResult.Success
  }
  const report = (messages) => {
    for (const message of messages) {
      if (count) count(message)
      else emit({ event: 'message', consumer, message: fromView(message), batch: messages.length })
    }
  }
  if (hang) {
    return (messages) => {
      report(messages)
      return new Promise(() => {})
    }
  }
  if (behaviour.async || delay) {
    return async (messages) => {
      report(messages)
      if (delay) await sleep(delay)
      return judge(messages)
    }
  }
  return (messages) => {
    report(messages)
    return judge(messages)
  }
}

/** Counts messages and tells their number at most every 200 ms, and once all is quiet. */
function counter(consumer) {
  let received = 0
  let bytes = 0
  let timer = null
  return ({ body }) => {
    received++
    bytes += body.length
    timer ??= setTimeout(() => {
      timer = null
      emit({ event: 'count', consumer, received, bytes })
    }, 200)
  }
}

const OPS = {
  async hello() {
    return { language: 'node', version: libmq.version, features: [...Object.keys(OPS), 'async_listener', 'concurrent'] }
  },

  async 'client.open'({ client, namesrv, settings }) {
    clients.set(client, await Client.connect({ namesrv, settings }))
  },

  async 'client.close'({ client }) {
    await handle(clients, client, 'client').close()
  },

  async 'producer.open'({ producer, client, group, settings }) {
    producers.set(producer, handle(clients, client, 'client').producer({ group, settings }))
  },

  async 'producer.close'({ producer }) {
    await handle(producers, producer, 'producer').close()
  },

  async 'producer.queues'({ producer, topic }) {
    return fromQueues(await handle(producers, producer, 'producer').queues(topic))
  },

  async send({ producer, message, mode, timeout, queue }) {
    const found = handle(producers, producer, 'producer')
    if (mode === 'oneway') return void (await found.sendOneway(toMessage(message)))
    const options = { timeout: timeout ?? undefined, queue: queue && toQueue(queue) }
    return { receipt: fromReceipt(await found.send(toMessage(message), options)) }
  },

  async send_split({ producer, messages }) {
    const found = handle(producers, producer, 'producer')
    const receipts = []
    for (const list of found.split(messages.map((message) => toMessage(message)))) {
      receipts.push(fromReceipt(await found.sendBatch(list)))
    }
    return { receipts }
  },

  async send_list({ producer, messages }) {
    const found = handle(producers, producer, 'producer')
    return { receipt: fromReceipt(await found.sendBatch(messages.map((message) => toMessage(message)))) }
  },

  async send_file({ producer, topic, path: file, window }) {
    const found = handle(producers, producer, 'producer')
    const lines = readline.createInterface({ input: fs.createReadStream(file), crlfDelay: Infinity })[Symbol.asyncIterator]()
    return inFlight(window, async () => {
      const { done, value } = await lines.next()
      if (done) return null
      return () => found.send(toMessage(JSON.parse(value), topic))
    })
  },

  async send_load({ producer, topic, count, size, mode, window }) {
    const found = handle(producers, producer, 'producer')
    const message = { topic, body: Buffer.alloc(size, 'x') }
    let left = count
    const start = process.hrtime.bigint()
    const cpu = process.cpuUsage()
    const result = await inFlight(mode === 'sync' ? 1 : window, () => (left-- > 0 ? () => found.send(message) : null))
    const { user, system } = process.cpuUsage(cpu)
    return { ...result, seconds: Number(process.hrtime.bigint() - start) / 1e9, cpu_seconds: (user + system) / 1e6 }
  },

  async 'consumer.open'({ consumer, client, group, subscriptions, settings, behaviour }) {
    const onMessages = listener(consumer, behaviour ?? {})
    const onWarning = ({ name, message }) => emit({ event: 'warning', consumer, message: `${name}: ${message}` })
    const options = { group, subscriptions, settings, onMessages, onWarning, onError: (error) => console.error(error.message) }
    consumers.set(consumer, await handle(clients, client, 'client').pushConsumer(options))
  },

  async 'consumer.close'({ consumer }) {
    await handle(consumers, consumer, 'consumer').close()
  },

  async 'consumer.subscribe'({ consumer, topic, expression }) {
    await handle(consumers, consumer, 'consumer').subscribe(topic, expression)
  },

  async 'consumer.unsubscribe'({ consumer, topic }) {
    await handle(consumers, consumer, 'consumer').unsubscribe(topic)
  },

  async 'consumer.suspend'({ consumer }) {
    handle(consumers, consumer, 'consumer').suspend()
  },

  async 'consumer.resume'({ consumer }) {
    handle(consumers, consumer, 'consumer').resume()
  },

  async 'pull.open'({ consumer, client, group, settings, subscriptions }) {
    const puller = await handle(clients, client, 'client').pullConsumer({ group, settings, subscriptions })
    pullers.set(consumer, puller)
    for (const topic of Object.keys(subscriptions ?? {})) {
      await puller.onQueueChange(topic, ({ assigned }) => emit({ event: 'queues', consumer, ...fromQueues(assigned) }))
    }
    emit({ event: 'queues', consumer, ...fromQueues(puller.assignment) })
  },

  async 'pull.assign'({ consumer, queues }) {
    await handle(pullers, consumer, 'consumer').assign(queues.map(toQueue))
  },

  async 'pull.queues'({ consumer, topic }) {
    return fromQueues(await handle(pullers, consumer, 'consumer').queues(topic))
  },

  async 'pull.assignment'({ consumer }) {
    return fromQueues(handle(pullers, consumer, 'consumer').assignment)
  },

  async 'pull.poll'({ consumer, timeout }) {
    return { messages: (await handle(pullers, consumer, 'consumer').poll({ timeout })).map(fromView) }
  },

  async 'pull.seek'({ consumer, queue, to }) {
    await handle(pullers, consumer, 'consumer').seek(toQueue(queue), to?.time === undefined ? to : new Date(to.time))
  },

  async 'pull.offset_for_time'({ consumer, queue, timestamp }) {
    return { offset: await handle(pullers, consumer, 'consumer').offsetForTime(toQueue(queue), timestamp) }
  },

  async 'pull.pause'({ consumer, queues }) {
    handle(pullers, consumer, 'consumer').pause(queues.map(toQueue))
  },

  async 'pull.resume'({ consumer, queues }) {
    handle(pullers, consumer, 'consumer').resume(queues.map(toQueue))
  },

  async 'pull.commit'({ consumer, offsets }) {
    await handle(pullers, consumer, 'consumer').commit(offsets?.map(({ queue, offset }) => [toQueue(queue), offset]))
  },

  async 'pull.committed'({ consumer, queue }) {
    return { offset: (await handle(pullers, consumer, 'consumer').committed(toQueue(queue))) ?? null }
  },

  async 'pull.position'({ consumer, queue }) {
    return { offset: (await handle(pullers, consumer, 'consumer').position(toQueue(queue))) ?? null }
  },

  async 'pull.close'({ consumer }) {
    await handle(pullers, consumer, 'consumer').close()
  },

  async 'dead_letters.read'({ client, group, max }) {
    return { messages: (await handle(clients, client, 'client').deadLetters(group).read({ max })).map(fromView) }
  },

  async 'dead_letters.resend'({ client, group, max }) {
    const letters = handle(clients, client, 'client').deadLetters(group)
    const receipts = []
    for (const message of await letters.read({ max })) receipts.push(fromReceipt(await letters.resend(message)))
    return { receipts }
  },

  async 'broker.start'({ broker, data, settings }) {
    const started = await testing.Broker.start({ dataDir: data ?? undefined, ...settings })
    brokers.set(broker, started)
    return addresses(started)
  },

  async 'broker.create_topic'({ broker, topic, queues }) {
    await handle(brokers, broker, 'broker').createTopic(topic, { queues })
  },

  async 'broker.kill'({ broker }) {
    return onBroker(broker, 'kill')
  },

  async 'broker.restart'({ broker }) {
    return onBroker(broker, 'restart')
  },

  async 'broker.stop'({ broker }) {
    return onBroker(broker, 'stop')
  },

  async 'broker.fault'({ broker, kind, request, times, code, delay }) {
    const { faults } = handle(brokers, broker, 'broker')
    const name = { fail: 'failNext', delay: 'delayNext', drop: 'dropNext', lose_answer: 'loseAnswerNext' }[kind]
    faults[name](request, { times, code, delay })
  },

  async 'broker.refuse_connections'({ broker, refuse }) {
    handle(brokers, broker, 'broker').faults.refuseConnections(refuse)
  },

  async 'broker.clear_faults'({ broker }) {
    handle(brokers, broker, 'broker').faults.clear()
  },

  async 'broker.advance_clock'({ broker, by }) {
    const { clock } = handle(brokers, broker, 'broker')
    clock.advance(by)
    return { now: clock.now() }
  },

  async 'log.hook'({ level }) {
    libmq.setLogHook((record) => emit({ event: 'log', level: record.level, message: record.message }), level)
  },
}

function addresses(broker) {
  return { address: broker.address, broker_address: broker.brokerAddress, data: broker.dataDir }
}

async function onBroker(name, what) {
  const broker = handle(brokers, name, 'broker')
  const before = addresses(broker)
  await broker[what]()
  return what === 'restart' ? addresses(broker) : before
}

async function answer(line) {
  const { id, op, ...fields } = JSON.parse(line)
  try {
    if (!Object.hasOwn(OPS, op)) throw new MqError(`there is no op '${op}'`, { code: 'UNSUPPORTED' })
    emit({ id, ok: (await OPS[op](fields)) ?? {} })
  } catch (error) {
    emit({ id, error: fromError(error) })
  }
}

/** Closes what is open, newest first, and ends. */
async function end() {
  for (const open of [consumers, pullers, producers, clients]) {
    await Promise.allSettled([...open.values()].map((each) => each.close({ timeout: 2000 })))
  }
  await Promise.allSettled([...brokers.values()].map((broker) => broker.close()))
  process.exit(0)
}

const input = readline.createInterface({ input: process.stdin })
input.on('line', (line) => {
  const { id, op } = JSON.parse(line)
  if (op !== 'exit') return void answer(line)
  emit({ id, ok: {} })
  input.close()
})
input.on('close', end)
