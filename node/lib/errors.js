'use strict'
// One error class, and subclasses for what applications catch.

/** What went wrong; index.d.ts documents the fields. */
class MqError extends Error {
  constructor(message, { code = 'INTERNAL', brokerCode = null, retryable = false, throttled = false, fatal = false } = {}) {
    super(message)
    Object.assign(this, { code, brokerCode, retryable, throttled, fatal })
  }
}

const CODES = ['TIMEOUT', 'CLOSED', 'NOT_FOUND', 'DENIED', 'THROTTLED', 'TOO_LARGE', 'FORKED', 'ARGUMENT', 'CONFIG']
const classes = { MqError }
const byCode = {}

for (const code of CODES) {
  const name = code.toLowerCase().replace(/(^|_)(.)/g, (_match, _gap, letter) => letter.toUpperCase()) + 'Error'
  // Some are also made in JavaScript, for what never gets to the core: with the code of their class.
  const made = class extends MqError {
    constructor(message, fields) {
      super(message, { code, ...fields })
    }
  }
  Object.defineProperty(made, 'name', { value: name })
  classes[name] = byCode[code] = made
}

// On the prototype, as with the language's own errors: not an own field of each error.
for (const [name, { prototype }] of Object.entries(classes)) {
  Object.defineProperty(prototype, 'name', { value: name, configurable: true, writable: true })
}

/** The error object for what the core reports. */
function mqError(fields) {
  return new (byCode[fields.code] ?? MqError)(fields.message, fields)
}

/** Runs a native call; what it throws on behalf of the core becomes an MqError. */
function native(call) {
  try {
    return call()
  } catch (error) {
    throw error.mq ? mqError(error) : error
  }
}

module.exports = { classes, mqError, native, ...classes }
