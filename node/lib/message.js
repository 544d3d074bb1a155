'use strict'
// Messages on their way in and out: checks, and views into the native batches (src/batch.rs has their layout).

const { inspect } = require('node:util')
const { ArgumentError } = require('./errors.js')
const { toList, toText, toWhole } = require('./options.js')

const SendStatus = Object.freeze({
  Ok: 'Ok',
  FlushDiskTimeout: 'FlushDiskTimeout',
  FlushSlaveTimeout: 'FlushSlaveTimeout',
  SlaveNotAvailable: 'SlaveNotAvailable',
})
const STATUS = Object.values(SendStatus)

/** The answer of a listener: a number and a value as the native side takes them. */
class ConsumeResult {
  constructor(name, answer, value = 0) {
    this.name = name
    Object.defineProperties(this, { answer: { value: answer }, value: { value } })
    Object.freeze(this)
  }

  static Success = new ConsumeResult('Success', 0)
  static Later = new ConsumeResult('Later', 1)
  static Suspend = new ConsumeResult('Suspend', 2)

  static later(delayLevel) {
    if (!Number.isInteger(delayLevel)) throw new ArgumentError(`delayLevel is ${inspect(delayLevel)}; give a whole number`)
    return new ConsumeResult('Later', 1, delayLevel)
  }

  static suspend(duration) {
    if (!(duration > 0 && Number.isFinite(duration))) {
      throw new ArgumentError(`the duration is ${inspect(duration)}; give a number of milliseconds above 0`)
    }
    return new ConsumeResult('Suspend', 2, duration)
  }
}

const FIELDS = new Set(['topic', 'body', 'tag', 'keys', 'properties', 'messageGroup', 'delayLevel', 'waitStore'])

/** The message as the native side takes it; throws an ArgumentError for what is not a message. */
function toNative(message) {
  if (typeof message !== 'object' || message === null) {
    throw new ArgumentError(`a message is an object such as { topic, body }, not ${inspect(message)}`)
  }
  for (const field in message) {
    if (!FIELDS.has(field)) {
      throw new ArgumentError(`'${field}' is not a field of a message; the fields are ${[...FIELDS].join(', ')}`)
    }
  }
  const { topic, body, tag, keys, properties, messageGroup, delayLevel, waitStore } = message
  const out = { topic: toText(topic, 'message.topic'), body: bytes(body) }
  if (tag != null) out.tag = toText(tag, 'message.tag')
  if (keys != null) out.keys = typeof keys === 'string' ? [keys] : toList(keys, 'message.keys', (key) => toText(key, 'each of message.keys'))
  if (properties != null) {
    if (typeof properties !== 'object' || Symbol.iterator in properties) {
      throw new ArgumentError(`message.properties is ${inspect(properties, { depth: 0 })}; it must be an object of strings`)
    }
    out.properties = []
    for (const [name, value] of Object.entries(properties)) out.properties.push(name, toText(value, `message.properties.${name}`))
  }
  if (messageGroup != null) out.messageGroup = toText(messageGroup, 'message.messageGroup')
  if (delayLevel != null) out.delayLevel = toWhole(delayLevel, 'message.delayLevel', 2 ** 31 - 1)
  if (waitStore != null) {
    if (typeof waitStore !== 'boolean') throw new ArgumentError(`message.waitStore is ${inspect(waitStore, { depth: 0 })}; it must be true or false`)
    out.waitStore = waitStore
  }
  return out
}

function bytes(body) {
  if (typeof body === 'string') return Buffer.from(body)
  if (body instanceof Uint8Array) return body
  throw new ArgumentError(`message.body is ${inspect(body, { depth: 0 })}; it must be a string, a Buffer or a Uint8Array`)
}

/** Text number `index` of the `count` whose end offsets lie at `table`; undefined if it is absent. */
function textAt(batch, table, count, index) {
  const texts = table + 4 * count
  const start = index === 0 ? 0 : batch.readUInt32LE(table + 4 * (index - 1))
  const end = batch.readUInt32LE(table + 4 * index)
  return start === end ? undefined : batch.toString('utf8', texts + start, texts + end)
}

/** Queues in text number `index` of `count`. */
function toQueues(batch, table, count, index) {
  const queues = textAt(batch, table, count, index)?.split('\u0002') ?? []
  return queues.map((queue) => {
    const [topic, brokerName, queueId] = queue.split('\u0001')
    return { topic, brokerName, queueId: Number(queueId) }
  })
}

/** A receipt that lies at `at` of a batch. */
function toReceipt(batch, at) {
  const table = at + 13
  return {
    messageId: textAt(batch, table, 5, 0) ?? '',
    offsetMessageId: textAt(batch, table, 5, 1) ?? '',
    topic: textAt(batch, table, 5, 2) ?? '',
    brokerName: textAt(batch, table, 5, 3) ?? '',
    queueId: batch.readInt32LE(at + 9),
    queueOffset: batch.readDoubleLE(at + 1),
    status: STATUS[batch[at]] ?? 'Ok',
    transactionId: textAt(batch, table, 5, 4),
  }
}

const VIEW = 36 // bytes of numbers in front of a view's texts
const TEXTS = 10
const BODY = VIEW + 4 * TEXTS

/** A message that arrived: reads from its batch when asked. */
class MessageView {
  #batch
  #at
  #end
  #properties

  constructor(batch, at, end) {
    this.#batch = batch
    this.#at = at
    this.#end = end
  }

  #text(index) {
    return textAt(this.#batch, this.#at + VIEW, TEXTS, index)
  }

  get topic() { return this.#text(0) ?? '' }
  get messageId() { return this.#text(1) ?? '' }
  get offsetMessageId() { return this.#text(2) ?? '' }
  get brokerName() { return this.#text(3) ?? '' }
  get tag() { return this.#text(4) }
  get messageGroup() { return this.#text(5) }
  get keys() { return this.#text(6)?.split(' ') ?? [] }
  get bornHost() { return this.#text(7) ?? '' }
  get storeHost() { return this.#text(8) ?? '' }

  get properties() {
    if (this.#properties === undefined) {
      this.#properties = {}
      for (const pair of this.#text(9)?.split('\u0002') ?? []) {
        const cut = pair.indexOf('\u0001')
        // Not by assignment: a property may be called __proto__.
        const value = { value: pair.slice(cut + 1), enumerable: true, configurable: true, writable: true }
        if (cut > 0) Object.defineProperty(this.#properties, pair.slice(0, cut), value)
      }
    }
    return this.#properties
  }

  get body() {
    const texts = this.#batch.readUInt32LE(this.#at + BODY - 4)
    return this.#batch.subarray(this.#at + BODY + texts, this.#end)
  }

  get queueOffset() { return this.#batch.readDoubleLE(this.#at) }
  get bornTimestamp() { return this.#batch.readDoubleLE(this.#at + 8) }
  get storeTimestamp() { return this.#batch.readDoubleLE(this.#at + 16) }
  get queueId() { return this.#batch.readInt32LE(this.#at + 24) }
  get reconsumeTimes() { return this.#batch.readInt32LE(this.#at + 28) }
  get deliveryAttempt() { return this.#batch.readInt32LE(this.#at + 32) }

  get queue() {
    return { topic: this.topic, brokerName: this.brokerName, queueId: this.queueId }
  }

  toJSON() {
    const plain = {}
    for (const name of GETTERS) plain[name] = this[name]
    return plain
  }

  [inspect.custom](_depth, options) {
    return `MessageView ${inspect(this.toJSON(), options)}`
  }
}

const GETTERS = Object.entries(Object.getOwnPropertyDescriptors(MessageView.prototype))
  .filter(([name, property]) => property.get && name !== 'queue')
  .map(([name]) => name)

module.exports = { ConsumeResult, MessageView, SendStatus, textAt, toNative, toQueues, toReceipt }
