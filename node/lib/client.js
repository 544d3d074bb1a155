'use strict'
// Client, Producer and PushConsumer.

const { inspect } = require('node:util')
const { ArgumentError, native } = require('./errors.js')
const { loop } = require('./loop.js')
const { ConsumeResult, toNative } = require('./message.js')

/** Options as the core's settings: a flat list of names and texts. What is `undefined` counts as not given. */
function toSettings({ settings, ...options }) {
  const flat = []
  for (const [name, value] of [...Object.entries(options), ...Object.entries(settings ?? {})]) {
    if (value === undefined) continue
    if (value === null || (typeof value === 'object' && !Array.isArray(value)) || typeof value === 'function') {
      throw new ArgumentError(`option '${name}' is ${inspect(value, { depth: 0 })}; give a string, a number or a boolean`)
    }
    flat.push(name, Array.isArray(value) ? value.join(name === 'namesrv' ? ';' : ',') : String(value))
  }
  return flat
}

/** A time limit in milliseconds; undefined for the default. */
function toTimeout(options) {
  const timeout = options?.timeout
  if (timeout !== undefined && !(typeof timeout === 'number' && timeout > 0 && Number.isFinite(timeout))) {
    throw new ArgumentError(`option 'timeout' is ${inspect(timeout)}; give a number of milliseconds above 0`)
  }
  return timeout
}

/** What clients, producers and consumers have in common: they are closed once. */
class Closeable {
  #closing = null

  /** Closes once; later calls wait for the first one. */
  async close(options) {
    const timeout = toTimeout(options)
    return (this.#closing ??= this._close(timeout))
  }

  [Symbol.asyncDispose]() {
    return this.close()
  }
}

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
    return new Client(native(() => new NativeClient(loop().queue, toSettings(given ?? {}))))
  }

  producer(options = {}) {
    return new Producer(native(() => this.#native.producer(toSettings(options))))
  }

  async pushConsumer({ subscriptions, onMessage, onMessages, onError, ...options } = {}, { signal, timeout } = {}) {
    const consumer = new PushConsumer(
      { onMessage, onMessages, onError },
      (tag) => native(() => this.#native.pushConsumer(toSettings(options), Object.entries(subscriptions ?? {}).flat(), tag)),
      () => this.#consumers.delete(consumer),
    )
    this.#consumers.add(consumer)
    try {
      await consumer._start(signal, toTimeout({ timeout }))
    } catch (error) {
      consumer.close().catch(() => {}) // whoever gave up does not wait for it
      throw error
    }
    return consumer
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

  send(message, options) {
    return loop().call((tag) => this.#native.send(tag, toNative(message), toTimeout(options)), options?.signal, this.#cancel)
  }

  sendOneway(message, options) {
    return loop().call((tag) => this.#native.sendOneway(tag, toNative(message)), options?.signal, this.#cancel)
  }

  sendBatch(messages, options) {
    return loop().call(
      (tag) => this.#native.sendBatch(tag, Array.from(messages, toNative), toTimeout(options)),
      options?.signal,
      this.#cancel,
    )
  }

  async _close(timeout) {
    await loop().call((tag) => this.#native.close(tag, timeout))
  }
}

class PushConsumer extends Closeable {
  #native
  #tag
  #listener
  #onError
  #left

  constructor({ onMessage, onMessages, onError }, open, left) {
    super()
    if ((typeof onMessage === 'function') === (typeof onMessages === 'function')) {
      throw new ArgumentError('a push consumer needs a listener: give one function, onMessage or onMessages')
    }
    this.#listener = onMessages ?? ((messages) => (messages.length === 1 ? onMessage(messages[0]) : oneByOne(messages, onMessage)))
    this.#onError = onError ?? warn
    this.#left = left
    this.#tag = loop().listen((messages, token) => this.#consume(messages, token))
    try {
      this.#native = open(this.#tag)
    } catch (error) {
      loop().unlisten(this.#tag)
      throw error
    }
  }

  suspend() {
    native(() => this.#native.suspend())
  }

  resume() {
    native(() => this.#native.resume())
  }

  _start(signal, timeout) {
    return loop().call((tag) => this.#native.start(tag, timeout), signal)
  }

  async _close(timeout) {
    try {
      await loop().call((tag) => this.#native.close(tag, timeout))
    } finally {
      this._silence()
    }
  }

  /** From now on the listener is not called any more. */
  _silence() {
    loop().unlisten(this.#tag)
    this.#left()
  }

  #consume(messages, token) {
    let result
    try {
      result = this.#listener(messages)
    } catch (error) {
      return this.#failed(error, messages, token)
    }
    if (typeof result?.then !== 'function') return answer(token, result)
    result.then(
      (value) => answer(token, value),
      (error) => this.#failed(error, messages, token),
    )
  }

  #failed(error, messages, token) {
    answer(token, ConsumeResult.Later)
    this.#onError(error, messages[0])
  }
}

/** Anything but a ConsumeResult that says otherwise is success: listeners may return what they like. */
function answer(token, result) {
  const later = result instanceof ConsumeResult && result.later
  loop().queue.reply(token, later, later ? result.delayLevel : 0)
}

/** A list for a listener of single messages: the first one that is put off puts off the list. */
async function oneByOne(messages, onMessage) {
  for (const message of messages) {
    const result = await onMessage(message)
    if (result instanceof ConsumeResult && result.later) return result
  }
  return ConsumeResult.Success
}

function warn(error, message) {
  const what = error instanceof Error ? (error.stack ?? error.message) : inspect(error)
  process.emitWarning(`the listener failed for message ${message.messageId} of ${message.topic}, which comes again later: ${what}`, {
    type: 'MqListenerWarning',
  })
}

module.exports = { Client, Producer, PushConsumer, toSettings }
