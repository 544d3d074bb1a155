'use strict'
// The embedded broker: where it is, its data, its deaths, and the log of the core.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')
const { it } = require('node:test')
const { ArgumentError, Client, ClosedError, ConfigError, ConsumeResult, MqError, ThrottledError, TimeoutError, setLogHook, testing } = require('@libmq/client')
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

/** A broker with a topic, and a producer without retries that knows the way. */
async function tested(test) {
  const broker = await testing.Broker.start()
  const client = await Client.connect(broker.address)
  test.after(async () => {
    await client.close()
    await broker.close()
  })
  await broker.createTopic('t', { queues: 1 })
  const producer = client.producer({ retryTimesWhenSendFailed: 0 })
  const send = (body, options) => producer.send({ topic: 't', body }, options)
  await send('first')
  return { broker, client, send }
}

it('lets requests fail', async (test) => {
  const { broker, send } = await tested(test)
  broker.faults.failNext('SEND_MESSAGE', { code: 'SYSTEM_BUSY', times: 2 })
  for (let n = 0; n < 2; n++) await assert.rejects(send('refused'), (e) => e instanceof ThrottledError && e.brokerCode === 2)
  assert.equal((await send('taken')).queueOffset, 1)
  broker.faults.failNext(310, { code: 16 })
  await assert.rejects(send('refused'), (e) => e instanceof MqError && e.brokerCode === 16)
})

it('loses and delays answers, cuts connections, refuses new ones', async (test) => {
  const { broker, send } = await tested(test)
  broker.faults.loseAnswerNext('SEND_MESSAGE')
  await assert.rejects(send('stored', { timeout: 300 }), TimeoutError)
  assert.equal((await send('after')).queueOffset, 2)
  broker.faults.delayNext('SEND_MESSAGE', { delay: 30_000 })
  await assert.rejects(send('late', { timeout: 300 }), TimeoutError)
  broker.faults.dropNext('SEND_MESSAGE')
  await assert.rejects(send('cut'), (e) => e instanceof MqError && e.code === 'NETWORK' && e.retryable)
  broker.faults.failNext('SEND_MESSAGE', { code: 'SYSTEM_BUSY', times: 1000 })
  broker.faults.clear()
  await send('again')
  broker.faults.refuseConnections()
  const other = await Client.connect(broker.address)
  await assert.rejects(other.producer().send({ topic: 't', body: 'x' }, { timeout: 1000 }), (e) => e.retryable)
  broker.faults.refuseConnections(false)
  await other.producer().send({ topic: 't', body: 'x' })
  await other.close()
})

it('moves its clock, and what is due comes', async (test) => {
  const { broker, client, send } = await tested(test)
  const attempts = []
  const before = broker.clock.now()
  await client.pushConsumer({
    group: 'g',
    subscriptions: { t: '*' },
    onMessage: (message) => {
      if (message.body.toString() === 'first') return ConsumeResult.Success
      attempts.push(message.deliveryAttempt)
      return message.deliveryAttempt === 1 ? ConsumeResult.later(18) : ConsumeResult.Success
    },
  })
  await client.producer().send({ topic: 't', body: 'in two hours', delayLevel: 18 })
  broker.clock.advance({ hours: 1, minutes: 59 })
  assert.deepEqual(attempts, [])
  broker.clock.advance(61_000)
  await until(() => attempts.length, 'the message')
  assert.ok(broker.clock.now() - before >= 2 * 3_600_000)
  await until(() => (broker.clock.advance({ hours: 2 }), attempts.length > 1), 'the retry')
  assert.deepEqual(attempts.slice(0, 2), [1, 2])
  const date = new Date('2040-01-01T00:00:00Z')
  broker.clock.set(date)
  assert.ok(broker.clock.now() - date.getTime() < 60_000)
  await send('then')
})

it('says which faults there are', async () => {
  const broker = await testing.Broker.start()
  assert.throws(() => broker.faults.failNext('SEND_MESAGE', { code: 'SYSTEM_BUSY' }), (e) => e instanceof ArgumentError && /SEND_MESAGE/.test(e.message))
  assert.throws(() => broker.faults.failNext('SEND_MESSAGE', { code: 'TOO_BUSY' }), ArgumentError)
  assert.throws(() => broker.faults.failNext('SEND_MESSAGE'), ArgumentError)
  assert.throws(() => broker.faults.dropNext('SEND_MESSAGE', { times: -1 }), ArgumentError)
  assert.throws(() => broker.faults.delayNext('SEND_MESSAGE', {}), ArgumentError)
  for (const time of [-1, NaN, 'x']) assert.throws(() => broker.clock.advance(time), ArgumentError)
  assert.throws(() => broker.clock.set(new Date(NaN)), ArgumentError)
  await broker.close()
  for (const call of [() => broker.faults.clear(), () => broker.clock.now(), () => broker.clock.advance(1)]) assert.throws(call, ClosedError)
})
