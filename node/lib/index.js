'use strict'
// The public names of the package; index.d.ts documents them.

const { Client, Producer, PushConsumer } = require('./client.js')
const errors = require('./errors.js')
const { ConsumeResult, MessageView, SendStatus } = require('./message.js')
const { Broker } = require('./testing.js')
const { setLogHook } = require('./loop.js')

module.exports = {
  Client,
  Producer,
  PushConsumer,
  MessageView,
  ConsumeResult,
  SendStatus,
  ...errors.classes,
  setLogHook,
  testing: { Broker },
  version: require('../package.json').version,
}
