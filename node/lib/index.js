'use strict'
// The package. Everything native is loaded when it is first used: `require` does no work.

const { Client, Producer } = require('./client.js')
const { PullConsumer, DeadLetters } = require('./pull.js')
const { PushConsumer } = require('./push.js')
const { classes } = require('./errors.js')
const { ConsumeResult, MessageView, SendStatus } = require('./message.js')
const { Broker } = require('./testing.js')
const { setLogHook } = require('./loop.js')

const { MqError, TimeoutError, ClosedError, NotFoundError, DeniedError, ThrottledError, TooLargeError } = classes
const { ForkedError, ArgumentError, ConfigError } = classes
const testing = { Broker }
const { version } = require('../package.json')

// One plain list of names: Node.js reads it for `import`, without running this.
module.exports = {
  Client,
  Producer,
  PushConsumer,
  PullConsumer,
  DeadLetters,
  MessageView,
  ConsumeResult,
  SendStatus,
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
  setLogHook,
  testing,
  version,
}
