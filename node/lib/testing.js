'use strict'
// The embedded broker, for tests.

const { native, mqError } = require('./errors.js')

const open = new Set()

/** A process that ends without having closed its brokers leaves no temporary directories behind. */
function watch(handle) {
  if (open.size === 0) process.on('exit', closeAll)
  open.add(handle)
}

function forget(handle) {
  open.delete(handle)
  if (open.size === 0) process.off('exit', closeAll)
}

function closeAll() {
  for (const handle of open) handle.closeNow()
}

async function settled(start) {
  try {
    return await native(start)
  } catch (error) {
    throw error.mq ? mqError(error) : error
  }
}

class Broker {
  #native

  /** Use Broker.start. */
  constructor(handle) {
    this.#native = handle
    this.#locate()
    watch(handle)
  }

  static async start(options = {}) {
    const { Broker: NativeBroker } = require('./native.js')
    const { toSettings } = require('./client.js')
    return new Broker(await settled(() => NativeBroker.start(toSettings(options))))
  }

  #locate() {
    ;[this.address, this.brokerAddress, this.dataDir] = this.#native.place()
  }

  async createTopic(name, { queues = 4 } = {}) {
    await settled(() => this.#native.createTopic(name, queues))
  }

  async stop() {
    await settled(() => this.#native.stop())
  }

  async kill() {
    await settled(() => this.#native.kill())
  }

  async restart() {
    await settled(() => this.#native.restart())
    this.#locate()
  }

  async close() {
    await settled(() => this.#native.close())
    forget(this.#native)
  }

  [Symbol.asyncDispose]() {
    return this.close()
  }
}

module.exports = { Broker }
