'use strict'
// What the tests share: a broker for a file, clients that are closed whatever happens, waiting for conditions.

const net = require('node:net')
const { after, before } = require('node:test')
const { setTimeout: sleep } = require('node:timers/promises')
const { Client, testing } = require('@libmq/client')

const PATIENCE = 60_000

/** Waits until `condition()` is truthy and returns its value; fails after a minute. */
async function until(condition, what) {
  const deadline = Date.now() + PATIENCE
  for (;;) {
    const value = await condition()
    if (value) return value
    if (Date.now() > deadline) throw new Error(`waited a minute for ${what}`)
    await sleep(5)
  }
}

let names = 0

/** A name that nothing else uses. */
function fresh(what) {
  return `${what}-${process.pid}-${++names}`
}

/** A broker for the tests of a file, stopped at the end with the clients that were made. */
function world() {
  const open = []
  const self = {
    broker: undefined,
    /** A client that is closed after the tests. */
    async connect(options = {}) {
      const client = await Client.connect({ namesrv: self.broker.address, ...options })
      open.push(client)
      return client
    },
    /** A new topic. */
    async topic(queues = 4) {
      const name = fresh('topic')
      await self.broker.createTopic(name, { queues })
      return name
    },
    /** A consumer in a group of its own that begins at the start. */
    consume(client, topic, onMessage, more = {}) {
      const options = { group: fresh('group'), subscriptions: { [topic]: '*' }, consumeFromWhere: 'FIRST', onMessage, ...more }
      return client.pushConsumer(options)
    },
  }
  before(async () => {
    self.broker = await testing.Broker.start()
  })
  after(async () => {
    await Promise.allSettled(open.map((client) => client.close({ timeout: 2000 })))
    await self.broker?.close()
  })
  return self
}

/** A port on which somebody listens and never answers; `close` ends it. */
async function silentServer() {
  const sockets = new Set()
  const server = net.createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    address: `127.0.0.1:${server.address().port}`,
    close() {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => server.close(resolve))
    },
  }
}

module.exports = { fresh, silentServer, until, world }
