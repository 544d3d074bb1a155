'use strict'
// Client and Producer.

const { native } = require('./errors.js')
const { loop } = require('./loop.js')
const { toNative } = require('./message.js')
const { Closeable, toList, toOptions, toQueue, toSettings, toSubscriptions, toText, toTimeout } = require('./options.js')
const { DeadLetters, PullConsumer } = require('./pull.js')
const { PushConsumer } = require('./push.js')

const CALL = ['signal', 'timeout']
const CANCEL = ['signal']
const SEND = ['signal', 'timeout', 'queue']

class Client extends Closeable {
  #native
  #held = true
  #closed = false
  #consumers = new Set()

  /** Use Client.connect. */
  constructor(handle) {
    super()
    this.#native = handle
    loop().hold()
  }

  static async connect(options) {
    const given = typeof options === 'string' || Array.isArray(options) ? { namesrv: options } : options
    const { Client: NativeClient } = require('./native.js')
    return new Client(native(() => new NativeClient(loop().queue, toSettings(given))))
  }

  producer(options) {
    return new Producer(native(() => this.#native.producer(toSettings(options))))
  }

  async pushConsumer(options, call) {
    const { subscriptions, onMessage, onMessages, onError, onWarning, ...settings } = toOptions(options)
    const open = (tag) => this.#native.pushConsumer(toSettings(settings), tag)
    return this.#started(new PushConsumer({ onMessage, onMessages, onError, onWarning }, open), subscriptions, call)
  }

  async pullConsumer(options, call) {
    const { subscriptions, ...settings } = toOptions(options)
    const handle = native(() => this.#native.pullConsumer(toSettings(settings)))
    return this.#started(new PullConsumer(handle), subscriptions, call)
  }

  /** Starts a consumer that was just made. */
  async #started(consumer, subscriptions, call) {
    this.#consumers.add(consumer)
    consumer._left = () => this.#consumers.delete(consumer)
    try {
      await consumer._start(toSubscriptions(subscriptions), toOptions(call, CALL))
    } catch (error) {
      consumer.close().catch(() => {}) // whoever gave up does not wait for it
      throw error
    }
    return consumer
  }

  deadLetters(group) {
    return new DeadLetters(native(() => this.#native.deadLetters(toText(group, 'the group'))))
  }

  ref() {
    if (!this.#held && !this.#closed) {
      loop().hold()
      this.#held = true
    }
    return this
  }

  unref() {
    if (this.#held) loop().release()
    this.#held = false
    return this
  }

  async _close(timeout) {
    try {
      await loop().call((tag) => this.#native.close(tag, timeout))
    } finally {
      for (const consumer of this.#consumers) consumer._silence()
      this.#closed = true
      this.unref()
    }
  }
}

class Producer extends Closeable {
  #native
  #cancel = (tag) => this.#native.cancel(tag)

  constructor(handle) {
    super()
    this.#native = handle
  }

  #call(start, options, names) {
    return loop().call(start, options, names, this.#cancel)
  }

  send(message, options) {
    const start = (tag) => {
      const queue = options?.queue === undefined ? undefined : toQueue(options.queue)
      this.#native.send(tag, toNative(message), toTimeout(options), queue)
    }
    return this.#call(start, options, SEND)
  }

  sendOneway(message, options) {
    return this.#call((tag) => this.#native.sendOneway(tag, toNative(message)), options, CANCEL)
  }

  sendBatch(messages, options) {
    const start = (tag) => this.#native.sendBatch(tag, toList(messages, 'messages', toNative), toTimeout(options))
    return this.#call(start, options, CALL)
  }

  split(messages) {
    const all = toList(messages, 'messages', (message) => message)
    const lengths = native(() => this.#native.split(all.map(toNative)))
    let end = 0
    return lengths.map((length) => all.slice(end, (end += length)))
  }

  queues(topic, options) {
    return this.#call((tag) => this.#native.queues(tag, toText(topic, 'the topic')), options, CANCEL)
  }

  async _close(timeout) {
    await loop().call((tag) => this.#native.close(tag, timeout))
  }
}

module.exports = { Client, Producer }
