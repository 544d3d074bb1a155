'use strict'
// The embedded broker, for tests.

const { inspect } = require('node:util')
const { ArgumentError, native, mqError } = require('./errors.js')
const { Closeable, toOptions, toSettings, toText, toWhole } = require('./options.js')

const MOST = 2 ** 31 - 1
const UNITS = { milliseconds: 1, seconds: 1000, minutes: 60_000, hours: 3_600_000, days: 86_400_000 }

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

class Broker extends Closeable {
  #native

  /** Use Broker.start. */
  constructor(handle) {
    super()
    this.#native = handle
    this.faults = new Faults(handle)
    this.clock = new Clock(handle)
    this.#locate()
    watch(handle)
  }

  static async start(options) {
    const { Broker: NativeBroker } = require('./native.js')
    return new Broker(await settled(() => NativeBroker.start(toSettings(options))))
  }

  #locate() {
    ;[this.address, this.brokerAddress, this.dataDir] = this.#native.place()
  }

  async createTopic(name, options) {
    const { queues = 4 } = toOptions(options, ['queues'])
    const wanted = toWhole(queues, "option 'queues'", MOST)
    await settled(() => this.#native.createTopic(toText(name, 'the topic'), wanted))
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

  async _close() {
    await settled(() => this.#native.close())
    forget(this.#native)
  }
}

/** A number of at least 0, or an ArgumentError. */
function positive(value, name) {
  if (typeof value === 'number' && value >= 0 && Number.isFinite(value)) return value
  throw new ArgumentError(`${name} is ${inspect(value)}; give a number of at least 0`)
}

class Faults {
  #native

  constructor(handle) {
    this.#native = handle
  }

  #set(kind, request, options, ...names) {
    const { times = 1, code, delay } = toOptions(options, [...names, 'times'])
    const count = toWhole(times, "option 'times'", MOST)
    native(() => this.#native.fault(kind, typeof request === 'number' ? String(request) : toText(request, 'the request'), count, code === undefined ? code : String(code), delay))
  }

  failNext(request, options) {
    if (options?.code == null) throw new ArgumentError("failNext needs a code such as 'SYSTEM_BUSY'")
    this.#set('fail', request, options, 'code')
  }

  delayNext(request, options) {
    positive(options?.delay, "option 'delay'")
    this.#set('delay', request, options, 'delay')
  }

  dropNext(request, options) {
    this.#set('drop', request, options)
  }

  loseAnswerNext(request, options) {
    this.#set('lose_answer', request, options)
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
    const parts = typeof time === 'object' && time !== null ? toOptions(time, Object.keys(UNITS)) : { milliseconds: time }
    const total = Object.entries(parts).reduce((sum, [unit, value]) => sum + positive(value, `the time to advance in ${unit}`) * UNITS[unit], 0)
    native(() => this.#native.advanceClock(total))
  }

  set(time) {
    native(() => this.#native.setClock(Math.round(positive(Number(time), 'the time'))))
  }
}

module.exports = { Broker }
