'use strict'
// PullConsumer and DeadLetters: what an application asks for itself.

const { inspect } = require('node:util')
const { ArgumentError, ClosedError, native } = require('./errors.js')
const { loop } = require('./loop.js')
const { Closeable, toFunction, toList, toOptions, toQueue, toText, toTimeout, toWhole } = require('./options.js')

const CANCEL = ['signal']
const POLL = ['signal', 'timeout']

class PullConsumer extends Closeable {
  #native
  #cancel = (tag) => this.#native.cancel(tag)
  #watches = new Set()
  #ahead = [] // polled by an iteration that ended before it gave them out

  /** Use Client.pullConsumer. */
  constructor(handle) {
    super()
    this.#native = handle
  }

  #call(start, options) {
    return loop().call(start, options, CANCEL, this.#cancel)
  }

  #onTopic(call, topic, options, expression = '') {
    const start = (tag) => this.#native.onTopic(tag, call, toText(topic, 'the topic'), toText(expression, 'the expression'))
    return this.#call(start, options)
  }

  #onQueue(call, queue, options, value = 0) {
    return this.#call((tag) => this.#native.onQueue(tag, call, toQueue(queue), value), options)
  }

  async _start(subscriptions, options) {
    for (const [topic, expression] of subscriptions) await this.subscribe(topic, expression)
    await loop().call((tag) => this.#native.start(tag, toTimeout(options)), options, undefined, this.#cancel)
  }

  subscribe(topic, expression = '*', options) {
    return this.#onTopic('subscribe', topic, options, expression)
  }

  unsubscribe(topic, options) {
    return this.#onTopic('unsubscribe', topic, options)
  }

  queues(topic, options) {
    return this.#onTopic('queues', topic, options)
  }

  assign(queues, options) {
    return this.#call((tag) => this.#native.assign(tag, toList(queues, 'queues', toQueue)), options)
  }

  get assignment() {
    return native(() => this.#native.assignment())
  }

  async poll(options) {
    if (this.#ahead.length > 0) return this.#ahead.splice(0)
    // An abort asks the core to give up, and waits for its word: what it had given out by then is not lost.
    return loop().call((tag) => this.#native.poll(tag, toTimeout(options, 0)), options, POLL, this.#cancel, true)
  }

  async *messages(options) {
    const { signal } = toOptions(options, CANCEL)
    try {
      for (;;) {
        const polled = await this.poll({ signal })
        try {
          while (polled.length > 0) yield polled.shift()
        } finally {
          this.#ahead.unshift(...polled)
        }
      }
    } catch (error) {
      if (!(error instanceof ClosedError)) throw error
    }
  }

  [Symbol.asyncIterator]() {
    return this.messages()
  }

  async seek(queue, to, options) {
    if (to === 'begin') await this.#onQueue('seekToBegin', queue, options)
    else if (to === 'end') await this.#onQueue('seekToEnd', queue, options)
    else if (to instanceof Date) await this.#onQueue('seekToTime', queue, options, toWhole(to.getTime(), 'the time'))
    else if (typeof to === 'number') await this.#onQueue('seek', queue, options, toWhole(to, 'the offset'))
    else throw new ArgumentError(`${inspect(to, { depth: 0 })} is no place in a queue; give an offset, 'begin', 'end' or a Date`)
    const { topic, brokerName, queueId } = queue
    const other = (message) => message.queueId !== queueId || message.brokerName !== brokerName || message.topic !== topic
    this.#ahead = this.#ahead.filter(other)
  }

  async offsetForTime(queue, time, options) {
    return this.#onQueue('offsetForTime', queue, options, toWhole(time instanceof Date ? time.getTime() : time, 'the time'))
  }

  committed(queue, options) {
    return this.#onQueue('committed', queue, options)
  }

  position(queue, options) {
    return this.#onQueue('position', queue, options)
  }

  pause(queues) {
    native(() => this.#native.pause(toList(queues, 'queues', toQueue)))
  }

  resume(queues) {
    native(() => this.#native.resume(toList(queues, 'queues', toQueue)))
  }

  async commit(offsets, options) {
    const pairs = offsets == null ? undefined : toList(offsets, 'offsets', toPair)
    const queues = pairs?.map(([queue]) => queue)
    return this.#call((tag) => this.#native.commit(tag, queues, pairs?.map(([, offset]) => offset) ?? []), options)
  }

  async onQueueChange(topic, callback, options) {
    if (callback == null) throw new ArgumentError('onQueueChange needs a function')
    const watch = loop().listen({ change: toFunction(callback, 'the callback') })
    this.#watches.add(watch)
    await this.#call((tag) => this.#native.watch(tag, toText(topic, 'the topic'), watch), options)
  }

  async _close(timeout) {
    try {
      await loop().call((tag) => this.#native.close(tag, timeout))
    } finally {
      this._silence()
    }
  }

  /** From now on no callback is called any more. */
  _silence() {
    for (const watch of this.#watches) loop().unlisten(watch)
    this._left()
  }
}

/** A queue with the offset to commit for it. */
function toPair(pair) {
  if (!Array.isArray(pair)) throw new ArgumentError(`offsets are a Map, or a list of [queue, offset]; ${inspect(pair, { depth: 0 })} is not one`)
  return [toQueue(pair[0]), toWhole(pair[1], 'the offset')]
}

class DeadLetters {
  #native
  #cancel = (tag) => this.#native.cancel(tag)
  #numbers = new WeakMap() // of the messages of the last read, which the native side keeps

  /** Use Client.deadLetters. */
  constructor(handle) {
    this.#native = handle
  }

  async read(options) {
    const start = (tag) => this.#native.read(loop().queue, tag, toWhole(options?.max ?? 32, "option 'max'", 2 ** 31 - 1))
    const messages = await loop().call(start, options, ['max', 'signal'], this.#cancel)
    this.#numbers = new WeakMap(messages.map((message, index) => [message, index]))
    return messages
  }

  rewind(options) {
    return loop().call((tag) => this.#native.rewind(tag), options, CANCEL, this.#cancel)
  }

  async resend(message, options) {
    const index = this.#numbers.get(message)
    if (index === undefined) throw new ArgumentError('this message was not given by the last read of this reader; read it again')
    return loop().call((tag) => this.#native.resend(tag, index), options, CANCEL, this.#cancel)
  }
}

module.exports = { DeadLetters, PullConsumer }
