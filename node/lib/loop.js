'use strict'
// The bridge to the native completion queue: one for each JavaScript thread, made when it is first needed.

const { inspect } = require('node:util')
const { ArgumentError, mqError, native } = require('./errors.js')
const { MessageView, textAt, toQueues, toReceipt } = require('./message.js')
const { toOptions } = require('./options.js')

const BATCH = 256 // events taken over in one native call
const TURN = 4096 // events worked off before other things on the event loop have their turn
const LONGEST = 2 ** 31 - 1
const KIND = { DONE: 0, SENT: 1, FAILED: 2, MESSAGE: 3, LOG: 4, POLLED: 5, OFFSET: 6, QUEUES: 7, WARNING: 8, CHANGE: 9 }
const HEAD = 13 // kind, length, tag

class Loop {
  #queue
  #pending = new Map()
  #signals = new Map() // AbortSignal to what its abort ends
  #listeners = new Map()
  #logHook = null
  #nextTag = 1
  #holds = 0
  #timer = null

  constructor() {
    const { Queue } = require('./native.js')
    this.#queue = new Queue(() => this.#drain())
  }

  /** The native queue, for the native calls that want one. */
  get queue() {
    return this.#queue
  }

  /** Keeps the process alive until as many calls of `release`. */
  hold() {
    if (++this.#holds > 1) return
    // The wake-up itself is weak; a timer that never fires in practice is the handle that Node.js counts.
    if (this.#timer) this.#timer.ref()
    else this.#timer = setInterval(() => {}, LONGEST)
  }

  release() {
    if (--this.#holds === 0) this.#timer.unref()
  }

  /**
   * Starts an asynchronous native call with a fresh tag; resolves with its completion. Its options, if it takes any, have these
   * `names`. When the `signal` among them aborts, `cancel` is told the tag and the promise is rejected, at once or, if
   * `patient`, when the core has given the call up and nothing came of it.
   */
  call(start, options, names, cancel, patient = false) {
    return new Promise((resolve, reject) => {
      const signal = options === undefined ? undefined : toSignal(toOptions(options, names))
      signal?.throwIfAborted()
      const tag = this.#nextTag++
      native(() => start(tag))
      const pending = { resolve, reject, forget: null }
      this.#pending.set(tag, pending)
      this.hold()
      if (!signal) return
      pending.forget = this.#onAbort(signal, () => {
        if (patient) pending.reject = (error) => reject(error.code === 'CANCELLED' ? signal.reason : error)
        else if (this.#take(tag)) reject(signal.reason)
        cancel?.(tag)
      })
    })
  }

  /** Has `abort` called when the signal aborts, unless the returned function was. One listener a signal serves many calls. */
  #onAbort(signal, abort) {
    let entry = this.#signals.get(signal)
    if (!entry) {
      const aborts = new Set()
      entry = { aborts, listener: () => aborts.forEach((each) => each()) }
      this.#signals.set(signal, entry)
      signal.addEventListener('abort', entry.listener, { once: true })
    }
    entry.aborts.add(abort)
    return () => {
      entry.aborts.delete(abort)
      if (entry.aborts.size > 0) return
      this.#signals.delete(signal)
      signal.removeEventListener('abort', entry.listener)
    }
  }

  /** Registers what events with the tag that it returns go to: `deliver(messages, token)`, `warn(warning)`, `change(change)`. */
  listen(listener) {
    const tag = this.#nextTag++
    this.#listeners.set(tag, listener)
    return tag
  }

  unlisten(tag) {
    this.#listeners.delete(tag)
  }

  log(hook, level) {
    native(() => this.#queue.log(hook ? level : 'OFF'))
    this.#logHook = hook
  }

  #take(tag) {
    const pending = this.#pending.get(tag)
    if (!pending) return undefined
    this.#pending.delete(tag)
    pending.forget?.()
    this.release()
    return pending
  }

  #drain() {
    for (let done = 0; done < TURN; ) {
      const batch = this.#queue.drain(BATCH)
      if (batch === null) return
      done += this.#dispatch(batch)
    }
    setImmediate(() => this.#drain())
  }

  #dispatch(batch) {
    let count = 0
    for (let at = 0; at < batch.length; count++) {
      const kind = batch[at]
      const end = at + batch.readUInt32LE(at + 1)
      const tag = batch.readDoubleLE(at + 5)
      try {
        this.#event(kind, tag, batch, at + HEAD)
      } catch (error) {
        // A hook that throws: the others in the batch still get theirs.
        queueMicrotask(() => { throw error })
      }
      at = end
    }
    return count
  }

  #event(kind, tag, batch, at) {
    switch (kind) {
      case KIND.DONE:
        return this.#take(tag)?.resolve()
      case KIND.SENT:
        return this.#take(tag)?.resolve(toReceipt(batch, at))
      case KIND.FAILED:
        return this.#take(tag)?.reject(toError(batch, at))
      case KIND.MESSAGE:
        return this.#deliver(tag, batch, at)
      case KIND.POLLED:
        return this.#take(tag)?.resolve(toMessages(batch, at))
      case KIND.OFFSET: {
        const offset = batch.readDoubleLE(at)
        return this.#take(tag)?.resolve(offset < 0 ? undefined : offset)
      }
      case KIND.QUEUES:
        return this.#take(tag)?.resolve(toQueues(batch, at, 1, 0))
      case KIND.WARNING:
        return this.#listeners.get(tag)?.warn({ name: textAt(batch, at, 2, 0), message: textAt(batch, at, 2, 1) ?? '' })
      case KIND.CHANGE:
        return this.#listeners.get(tag)?.change({
          topic: textAt(batch, at, 3, 0),
          queues: toQueues(batch, at, 3, 1),
          assigned: toQueues(batch, at, 3, 2),
        })
      case KIND.LOG:
        return this.#logHook?.({
          level: textAt(batch, at, 3, 0),
          target: textAt(batch, at, 3, 1) ?? '',
          message: textAt(batch, at, 3, 2) ?? '',
        })
    }
  }

  #deliver(tag, batch, at) {
    const token = batch.readDoubleLE(at)
    const listener = this.#listeners.get(tag)
    if (listener) listener.deliver(toMessages(batch, at), token)
    else this.#queue.reply(token, 1, 0)
  }
}

function toSignal({ signal }) {
  if (signal === undefined || signal === null || typeof signal.throwIfAborted === 'function') return signal
  throw new ArgumentError(`option 'signal' is ${inspect(signal, { depth: 0 })}; give an AbortSignal`)
}

/** The messages of a delivery or a poll. */
function toMessages(batch, at) {
  const messages = new Array(batch.readUInt32LE(at + 8))
  at += 12
  for (let index = 0; index < messages.length; index++) {
    const end = at + 4 + batch.readUInt32LE(at)
    messages[index] = new MessageView(batch, at + 4, end)
    at = end
  }
  return messages
}

function toError(batch, at) {
  const flags = batch[at]
  const table = at + 5
  return mqError({
    brokerCode: flags & 8 ? batch.readInt32LE(at + 1) : null,
    retryable: (flags & 1) !== 0,
    throttled: (flags & 2) !== 0,
    fatal: (flags & 4) !== 0,
    code: textAt(batch, table, 2, 0),
    message: textAt(batch, table, 2, 1) ?? '',
  })
}

let shared

/** This thread's loop. */
function loop() {
  return (shared ??= new Loop())
}

function setLogHook(hook, level = 'INFO') {
  if (hook !== null && typeof hook !== 'function') throw new TypeError('the log hook must be a function, or null to take it away')
  if (hook || shared) loop().log(hook, String(level).toUpperCase())
}

module.exports = { loop, setLogHook }
