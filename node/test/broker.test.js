'use strict'
// The embedded broker: where it is, its data, its deaths, and the log of the core.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')
const { it } = require('node:test')
const { Client, ClosedError, ConfigError, MqError, ArgumentError, setLogHook, testing } = require('@libmq/client')
const { until } = require('./world.js')

function reachable(address) {
  const [host, port] = address.split(':')
  return new Promise((resolve) => {
    const socket = net.connect({ host, port: Number(port) }, () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}

it('starts on free ports with a temporary directory, and leaves nothing', async () => {
  const [one, two] = await Promise.all([testing.Broker.start(), testing.Broker.start()])
  const addresses = [one, two].flatMap((broker) => [broker.address, broker.brokerAddress])
  assert.equal(new Set(addresses).size, 4)
  for (const address of addresses) assert.ok(await reachable(address), address)
  assert.notEqual(one.dataDir, two.dataDir)
  assert.ok(fs.existsSync(one.dataDir))
  await one.stop()
  await one.stop()
  assert.ok(fs.existsSync(one.dataDir))
  await one.close()
  await one.close()
  await two[Symbol.asyncDispose]()
  for (const address of addresses) assert.ok(!(await reachable(address)), address)
  for (const broker of [one, two]) assert.ok(!fs.existsSync(broker.dataDir), broker.dataDir)
})

it('keeps its data in a given directory, over a kill and over a stop', async () => {
  const dataDir = fs.mkdtempSync(path.join(os.tmpdir(), 'libmq-node-'))
  const broker = await testing.Broker.start({ dataDir })
  try {
    assert.equal(broker.dataDir, dataDir)
    await broker.createTopic('kept', { queues: 1 })
    const offsets = []
    for (const end of ['kill', 'stop', 'kill']) {
      const client = await Client.connect(broker.address)
      offsets.push((await client.producer().send({ topic: 'kept', body: end })).queueOffset)
      await client.close()
      await broker[end]()
      await broker.restart()
    }
    assert.deepEqual(offsets, [0, 1, 2])
  } finally {
    await broker.close()
  }
  assert.ok(fs.readdirSync(dataDir).length)
  fs.rmSync(dataDir, { recursive: true })
})

it('says what it cannot do', async () => {
  await assert.rejects(testing.Broker.start({ listenPrt: 1 }), (e) => e instanceof ConfigError && /listenPrt/.test(e.message))
  await assert.rejects(testing.Broker.start({ listenPort: 'x' }), ConfigError)
  const taken = net.createServer()
  await new Promise((resolve) => taken.listen(0, '127.0.0.1', resolve))
  const { port } = taken.address()
  const error = await testing.Broker.start({ namesrvPort: port }).catch((e) => e)
  taken.close()
  assert.ok(error instanceof MqError && error.code === 'IO' && error.message.includes(`${port}`), error)
  const broker = await testing.Broker.start()
  await assert.rejects(broker.createTopic('white space'), ArgumentError)
  await broker.stop()
  await assert.rejects(broker.createTopic('late'), (e) => e instanceof MqError && e.code === 'STATE')
  await broker.close()
  await assert.rejects(broker.restart(), ClosedError)
})

it('tells its log to the hook', async () => {
  const lines = []
  setLogHook((record) => lines.push(record), 'debug')
  const broker = await testing.Broker.start()
  const client = await Client.connect(broker.address)
  await client.producer().send({ topic: 'logged', body: 'x' })
  await until(() => lines.length, 'a line')
  for (const { level, target, message } of lines) {
    assert.ok(['ERROR', 'WARN', 'INFO', 'DEBUG'].includes(level), level)
    assert.ok(target.startsWith('mq_') && message, target)
  }
  setLogHook(null)
  const before = lines.length
  await client.close()
  await broker.close()
  await new Promise(setImmediate)
  assert.equal(lines.length, before)
  assert.throws(() => setLogHook(() => {}, 'loud'), (e) => e instanceof ArgumentError && /LOUD/.test(e.message))
  assert.throws(() => setLogHook('console.log'), TypeError)
})
