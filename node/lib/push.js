'use strict'
// PushConsumer: calls a listener with messages and answers for it.

const { inspect } = require('node:util')
const { ArgumentError, native } = require('./errors.js')
const { loop } = require('./loop.js')
const { ConsumeResult } = require('./message.js')
const { Closeable, toFunction, toText, toTimeout } = require('./options.js')

const CANCEL = ['signal']

class PushConsumer extends Closeable {
  #native
  #tag
  #listener
  #onError
  #onWarning
  #cancel = (tag) => this.#native.cancel(tag)

  /** Use Client.pushConsumer. */
  constructor({ onMessage, onMessages, onError, onWarning }, open) {
    super()
    if ((typeof onMessage === 'function') === (typeof onMessages === 'function')) {
      throw new ArgumentError('a push consumer needs a listener: give one function, onMessage or onMessages')
    }
    this.#listener = onMessages ?? ((messages) => (messages.length === 1 ? onMessage(messages[0]) : oneByOne(messages, onMessage)))
    this.#onError = toFunction(onError, 'onError', failed)
    this.#onWarning = toFunction(onWarning, 'onWarning', warned)
    this.#tag = loop().listen({ deliver: (messages, token) => this.#consume(messages, token), warn: (warning) => this.#onWarning(warning) })
    try {
      this.#native = native(() => open(this.#tag))
    } catch (error) {
      loop().unlisten(this.#tag)
      throw error
    }
  }

  get assignment() {
    return native(() => this.#native.assignment())
  }

  subscribe(topic, expression = '*', options) {
    const start = (tag) => this.#native.subscribe(tag, toText(topic, 'the topic'), toText(expression, 'the expression'))
    return this.#call(start, options)
  }

  unsubscribe(topic, options) {
    return this.#call((tag) => this.#native.unsubscribe(tag, toText(topic, 'the topic')), options)
  }

  #call(start, options) {
    return loop().call(start, options, CANCEL, this.#cancel)
  }

  suspend() {
    native(() => this.#native.suspend())
  }

  resume() {
    native(() => this.#native.resume())
  }

  async _start(subscriptions, options) {
    for (const [topic, expression] of subscriptions) await this.subscribe(topic, expression)
    await loop().call((tag) => this.#native.start(tag, toTimeout(options)), options, undefined, this.#cancel)
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
    this._left()
  }

  #consume(messages, token) {
    let result
    let later
    try {
      result = this.#listener(messages)
      later = typeof result?.then === 'function'
    } catch (error) {
      return this.#failed(error, messages, token)
    }
    if (!later) return answer(token, result)
    // Whatever it is that has a `then`: what that throws is a rejection.
    Promise.resolve(result).then(
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
  if (result instanceof ConsumeResult) loop().queue.reply(token, result.answer, result.value)
  else loop().queue.reply(token, 0, 0)
}

/** A list for a listener of single messages: the first one that is put off puts off the list. */
async function oneByOne(messages, onMessage) {
  for (const message of messages) {
    const result = await onMessage(message)
    if (result instanceof ConsumeResult && result.answer !== 0) return result
  }
  return ConsumeResult.Success
}

function failed(error, message) {
  const what = error instanceof Error ? (error.stack ?? error.message) : inspect(error)
  process.emitWarning(`the listener failed for message ${message.messageId} of ${message.topic}, which comes again later: ${what}`, {
    type: 'MqListenerWarning',
  })
}

function warned({ name, message }) {
  process.emitWarning(`${name}: ${message}`, { type: 'MqConsumerWarning' })
}

module.exports = { PushConsumer }
