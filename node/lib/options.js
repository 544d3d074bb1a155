'use strict'
// What users hand over, as the core takes it; and what is closed once.

const { inspect } = require('node:util')
const { ArgumentError } = require('./errors.js')

/** An object of options, or nothing; with `names`, one that has no others. What is `undefined` counts as not given. */
function toOptions(options, names) {
  if (options === undefined || options === null) return {}
  if (typeof options !== 'object' || Symbol.iterator in options) {
    throw new ArgumentError(`options are ${inspect(options, { depth: 0 })}; give an object${names ? ` such as { ${names[0]}: … }` : ''}`)
  }
  if (!names) return options
  for (const name in options) {
    if (options[name] !== undefined && !names.includes(name)) {
      throw new ArgumentError(`'${name}' is not an option of this call; ${names.length > 1 ? 'the options are' : 'the option is'} ${names.join(', ')}`)
    }
  }
  return options
}

/** Options as the core's settings: a flat list of names and texts. What is `undefined` counts as not given. */
function toSettings(given) {
  const { settings, ...options } = toOptions(given)
  const flat = []
  for (const [name, value] of [...Object.entries(options), ...Object.entries(toOptions(settings))]) {
    if (value === undefined) continue
    if (value === null || (typeof value === 'object' && !Array.isArray(value)) || typeof value === 'function') {
      throw new ArgumentError(`option '${name}' is ${inspect(value, { depth: 0 })}; give a string, a number or a boolean`)
    }
    flat.push(name, Array.isArray(value) ? value.join(name === 'namesrv' ? ';' : ',') : String(value))
  }
  return flat
}

/** Topics and their expressions, as pairs. */
function toSubscriptions(subscriptions) {
  if (subscriptions === undefined || subscriptions === null) return []
  if (typeof subscriptions !== 'object' || Symbol.iterator in subscriptions) {
    throw new ArgumentError(`subscriptions are ${inspect(subscriptions, { depth: 0 })}; give an object such as { topic: '*' }`)
  }
  return Object.entries(subscriptions).map(([topic, expression]) => [topic, toText(expression, `the expression for topic '${topic}'`)])
}

/** A time limit in milliseconds; undefined for the default. */
function toTimeout(options, least = Number.MIN_VALUE) {
  const timeout = options?.timeout
  if (timeout !== undefined && !(typeof timeout === 'number' && timeout >= least && Number.isFinite(timeout))) {
    const range = least === 0 ? 'of at least 0' : 'above 0'
    throw new ArgumentError(`option 'timeout' is ${inspect(timeout)}; give a number of milliseconds ${range}`)
  }
  return timeout
}

function toText(value, name) {
  if (typeof value === 'string') return value
  throw new ArgumentError(`${name} is ${inspect(value, { depth: 0 })}; it must be a string`)
}

/** A function, or what counts without one. */
function toFunction(value, name, otherwise) {
  if (value === undefined || value === null) return otherwise
  if (typeof value === 'function') return value
  throw new ArgumentError(`${name} is ${inspect(value, { depth: 0 })}; it must be a function`)
}

/** A list of what `convert` makes of each. */
function toList(values, name, convert) {
  if (typeof values?.[Symbol.iterator] === 'function' && typeof values !== 'string') return Array.from(values, (value) => convert(value))
  throw new ArgumentError(`${name} are ${inspect(values, { depth: 0 })}; give a list`)
}

/** What clients, producers and consumers have in common: they are closed once. */
class Closeable {
  #closing = null

  /** Closes once; later calls wait for the first one. */
  async close(options) {
    const timeout = toTimeout(toOptions(options, ['timeout']))
    return (this.#closing ??= this._close(timeout))
  }

  [Symbol.asyncDispose]() {
    return this.close()
  }
}

/** A queue as it came from this library; its fields are all that counts. */
function toQueue(queue) {
  const { topic, brokerName, queueId } = queue ?? {}
  if (typeof topic !== 'string' || typeof brokerName !== 'string' || !(Number.isInteger(queueId) && queueId >= 0 && queueId < 2 ** 31)) {
    throw new ArgumentError(`a queue is { topic, brokerName, queueId }, not ${inspect(queue, { depth: 0 })}`)
  }
  return { topic, brokerName, queueId }
}

/** An offset, a time or a number of things: a whole number of at least 0. */
function toWhole(value, name, most = Number.MAX_SAFE_INTEGER) {
  if (Number.isSafeInteger(value) && value >= 0 && value <= most) return value
  throw new ArgumentError(`${name} is ${inspect(value, { depth: 0 })}; give a whole number from 0 to ${most}`)
}

module.exports = {
  Closeable,
  toFunction,
  toList,
  toOptions,
  toQueue,
  toSettings,
  toSubscriptions,
  toText,
  toTimeout,
  toWhole,
}
