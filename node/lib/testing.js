'use strict'
// The embedded broker, for tests.

const { inspect } = require('node:util')
const { ArgumentError, native, mqError } = require('./errors.js')
const { toSettings } = require('./options.js')

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
    this.faults = new Faults(handle)
    this.clock = new Clock(handle)
    this.#locate()
    watch(handle)
  }

  static async start(options = {}) {
    const { Broker: NativeBroker } = require('./native.js')
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

/** A number of at least 0, or an ArgumentError. */
function positive(value, name) {
  if (typeof value === 'number' && value >= 0 && Number.isFinite(value)) return value
  throw new ArgumentError(`${name} is ${inspect(value)}; give a number of at least 0`)
}

class Faults {
  #set
  #native

  constructor(handle) {
    this.#native = handle
    this.#set = (kind, request, { times = 1, code, delay }) =>
      native(() => handle.fault(kind, String(request), positive(times, 'times'), code === undefined ? code : String(code), delay))
  }

  failNext(request, { code, times } = {}) {
    if (code === undefined) throw new ArgumentError("failNext needs a code such as 'SYSTEM_BUSY'")
    this.#set('fail', request, { code, times })
  }

  delayNext(request, { delay, times } = {}) {
    this.#set('delay', request, { delay: positive(delay, 'delay'), times })
  }

  dropNext(request, { times } = {}) {
    this.#set('drop', request, { times })
  }

  loseAnswerNext(request, { times } = {}) {
    this.#set('lose_answer', request, { times })
  }

  refuseConnections(refuse = true) {
    native(() => this.#native.refuseConnections(refuse))
  }

  clear() {
    native(() => this.#native.clearFaults())
  }
}

class Clock {
  #native

  constructor(handle) {
    this.#native = handle
  }

  now() {
    return native(() => this.#native.clock())
  }

  advance(time) {
    const parts = typeof time === 'object' && time !== null ? time : { milliseconds: time }
    const { milliseconds = 0, seconds = 0, minutes = 0, hours = 0, days = 0 } = parts
    const total = milliseconds + 1000 * (seconds + 60 * (minutes + 60 * (hours + 24 * days)))
    native(() => this.#native.advanceClock(positive(total, 'the time to advance')))
  }

  set(time) {
    native(() => this.#native.setClock(Math.round(positive(Number(time), 'the time'))))
  }
}

module.exports = { Broker }
