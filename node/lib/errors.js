'use strict'
// One error class, and subclasses for what applications catch.

/** What went wrong; index.d.ts documents the fields. */
class MqError extends Error {
  constructor(message, fields = {}) {
    super(message)
    this.code = fields.code ?? 'INTERNAL'
    this.brokerCode = fields.brokerCode ?? null
    this.retryable = fields.retryable ?? false
    this.throttled = fields.throttled ?? false
    this.fatal = fields.fatal ?? false
  }
}

class TimeoutError extends MqError {}
class ClosedError extends MqError {}
class NotFoundError extends MqError {}
class DeniedError extends MqError {}
class ThrottledError extends MqError {}
class TooLargeError extends MqError {}
class ForkedError extends MqError {}
class ArgumentError extends MqError {
  // This one is also made in JavaScript, for what never gets to the core.
  constructor(message, fields = { code: 'ARGUMENT' }) {
    super(message, fields)
  }
}
class ConfigError extends MqError {}

const classes = {
  MqError,
  TimeoutError,
  ClosedError,
  NotFoundError,
  DeniedError,
  ThrottledError,
  TooLargeError,
  ForkedError,
  ArgumentError,
  ConfigError,
}

// On the prototype, as with the language's own errors: not an own field of each error.
for (const [name, value] of Object.entries(classes)) {
  Object.defineProperty(value.prototype, 'name', { value: name, configurable: true, writable: true })
}

const byCode = {
  TIMEOUT: TimeoutError,
  CLOSED: ClosedError,
  NOT_FOUND: NotFoundError,
  DENIED: DeniedError,
  THROTTLED: ThrottledError,
  TOO_LARGE: TooLargeError,
  FORKED: ForkedError,
  ARGUMENT: ArgumentError,
  CONFIG: ConfigError,
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
