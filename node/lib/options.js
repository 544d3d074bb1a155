'use strict'
// What users hand over, as the core takes it; and what is closed once.

const { inspect } = require('node:util')
const { ArgumentError } = require('./errors.js')

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
function toTimeout(options, least = Number.MIN_VALUE) {
  const timeout = options?.timeout
  if (timeout !== undefined && !(typeof timeout === 'number' && timeout >= least && Number.isFinite(timeout))) {
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

/** A queue as it came from this library; its fields are all that counts. */
function toQueue(queue) {
  const { topic, brokerName, queueId } = queue ?? {}
  if (typeof topic !== 'string' || typeof brokerName !== 'string' || !Number.isInteger(queueId)) {
    throw new ArgumentError(`a queue is { topic, brokerName, queueId }, not ${inspect(queue, { depth: 0 })}`)
  }
  return { topic, brokerName, queueId }
}

/** An offset or a time: a whole number of at least 0. */
function toOffset(value, name) {
  if (Number.isSafeInteger(value) && value >= 0) return value
  throw new ArgumentError(`${name} is ${inspect(value)}; give a whole number of at least 0`)
}

module.exports = { Closeable, toOffset, toQueue, toSettings, toTimeout }
