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
const brokers = new Map()

function emit(line) {
  process.stdout.write(JSON.stringify(line) + '\n')
}

function handle(map, name, kind) {
  const found = map.get(name)
  if (!found) throw new Error(`there is no ${kind} '${name}'`)
  return found
}

function toMessage({ topic, body, tag, keys, properties, message_group: messageGroup, delay_level: delayLevel }, otherTopic) {
  return { topic: otherTopic ?? topic, body: Buffer.from(body, 'base64'), tag, keys, properties, messageGroup, delayLevel }
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

/** A listener that behaves as told. */
function listener(consumer, behaviour) {
  const { later_first: laterFirst = 0, throw_first: throwFirst = 0, always_later: alwaysLater, hang, delay, quiet } = behaviour
  const deliveries = new Map()
  const count = quiet ? counter(consumer) : null
  const judge = (message) => {
    if (alwaysLater) return ConsumeResult.Later
    if (!laterFirst && !throwFirst) return ConsumeResult.Success
    const times = (deliveries.get(message.messageId) ?? 0) + 1
    deliveries.set(message.messageId, times)
    if (times <= throwFirst) throw new Error(`told to throw at delivery ${times}`)
    return times <= laterFirst ? ConsumeResult.Later : ConsumeResult.Success
  }
  const report = (message) => (count ? count() : emit({ event: 'message', consumer, message: fromView(message) }))
  if (hang) {
    return (message) => {
      report(message)
      return new Promise(() => {})
    }
  }
  if (behaviour.async || delay) {
    return async (message) => {
      if (delay) await sleep(delay)
      report(message)
      return judge(message)
    }
  }
  return (message) => {
    report(message)
    return judge(message)
  }
}

/** Counts messages and tells their number at most every 200 ms, and once all is quiet. */
function counter(consumer) {
  let received = 0
  let timer = null
  return () => {
    received++
    timer ??= setTimeout(() => {
      timer = null
      emit({ event: 'count', consumer, received })
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

  async send({ producer, message, mode, timeout }) {
    const found = handle(producers, producer, 'producer')
    if (mode === 'oneway') return void (await found.sendOneway(toMessage(message)))
    return { receipt: fromReceipt(await found.send(toMessage(message), { timeout: timeout ?? undefined })) }
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
    const onMessage = listener(consumer, behaviour ?? {})
    const options = { group, subscriptions, settings, onMessage, onError: (error) => console.error(error.message) }
    consumers.set(consumer, await handle(clients, client, 'client').pushConsumer(options))
  },

  async 'consumer.close'({ consumer }) {
    await handle(consumers, consumer, 'consumer').close()
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
  for (const open of [consumers, producers, clients]) {
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
