'use strict'
// Making and closing clients, settings, and what everything says after it was closed.

const assert = require('node:assert/strict')
const { it } = require('node:test')
const libmq = require('@libmq/client')
const { fresh, world } = require('./world.js')

const { Client, ClosedError, ConfigError, ArgumentError, MqError } = libmq
const here = world()

it('has the same names for import and require', async () => {
  const esm = await import('@libmq/client')
  for (const name of Object.keys(libmq)) assert.equal(esm[name], libmq[name], name)
  assert.deepEqual(Object.keys(esm).sort(), Object.keys(libmq).sort())
  assert.match(libmq.version, /^\d+\.\d+\.\d+/)
})

it('takes an address, a list of addresses or options', async () => {
  const address = here.broker.address
  for (const options of [address, [address, address], { namesrv: address }, { namesrv: [address] }, { namesrvAddr: address }]) {
    const client = await Client.connect(options)
    const topic = await here.topic()
    assert.equal((await client.producer().send({ topic, body: 'x' })).topic, topic)
    await client.close()
  }
})

it('refuses settings that are unknown or bad, and says which was meant', async () => {
  const bad = [
    [{}, ConfigError, /namesrv/],
    [undefined, ConfigError, /namesrv/],
    [{ namesrv: 'nowhere' }, ConfigError, /nowhere/],
    [{ namesrv: 'host:0x1' }, ConfigError, /0x1/],
    [{ namesrv: 'a:1', requestTimeot: 3 }, ConfigError, /'requestTimeot'.*request_timeout/],
    [{ namesrv: 'a:1', settings: { request_timeot: 3 } }, ConfigError, /'request_timeot'.*'request_timeout'/],
    [{ namesrv: 'a:1', requestTimeout: 'soon' }, ConfigError, /soon/],
    [{ namesrv: 'a:1', requestTimeout: 0 }, ConfigError, /0/],
    [{ namesrv: 'a:1', sendTimeout: 1 }, ConfigError, /producer/],
    [{ namesrv: 'a:1', requestTimeout: {} }, ArgumentError, /requestTimeout/],
    [{ namesrv: null }, ArgumentError, /namesrv/],
  ]
  for (const [options, type, message] of bad) {
    const error = await Client.connect(options).then(() => assert.fail(`${JSON.stringify(options)} was accepted`), (e) => e)
    assert.ok(error instanceof type && error instanceof MqError && error instanceof Error, error)
    assert.match(error.message, message)
    assert.equal(error.name, type.name)
    assert.equal(error.code, type === ConfigError ? 'CONFIG' : 'ARGUMENT')
    assert.deepEqual([error.brokerCode, error.retryable, error.throttled, error.fatal], [null, false, false, false])
  }
})

it('takes settings in camel case, in snake case and by the names of the Java client', async () => {
  const client = await here.connect({ requestTimeout: 5000, connect_timeout: '5s', settings: { pollNameServerInterval: 10_000 } })
  for (const options of [{ sendTimeout: 2000 }, { send_timeout: '2s' }, { sendMsgTimeout: 2000 }, { settings: { sendTimeout: 2000 } }]) {
    await client.producer({ group: 'g', ...options }).close()
  }
  assert.throws(() => client.producer({ sendTimeout: '2 parsecs' }), (e) => e instanceof ConfigError && /parsecs/.test(e.message))
  assert.throws(() => client.producer({ group: 'white space' }), (e) => e instanceof ArgumentError && /white space/.test(e.message))
})

it('closes once, however often it is asked to', async () => {
  const client = await here.connect()
  const producer = client.producer()
  await Promise.all([producer.close(), producer.close()])
  await Promise.all([client.close(), client.close()])
  await client.close()
  await assert.rejects(client.close({ timeout: -1 }), ArgumentError)
})

it('says that it is closed', async () => {
  const topic = await here.topic()
  const client = await here.connect()
  const [first, second] = [client.producer(), client.producer()]
  const consumer = await here.consume(client, topic, () => {})
  await first.close()
  await assert.rejects(first.send({ topic, body: 'x' }), ClosedError)
  await second.send({ topic, body: 'x' })
  await client.close()
  for (const call of [
    () => second.send({ topic, body: 'x' }),
    () => second.sendOneway({ topic, body: 'x' }),
    () => second.sendBatch([{ topic, body: 'x' }]),
    async () => client.producer(),
    () => here.consume(client, topic, () => {}),
  ]) {
    await assert.rejects(call(), (e) => e instanceof ClosedError && e.code === 'CLOSED' && e.fatal && /closed/.test(e.message))
  }
  await consumer.close()
  await second.close()
})

it('is disposed of by await using', async () => {
  const client = await here.connect()
  const producer = client.producer()
  await producer[Symbol.asyncDispose]()
  await assert.rejects(producer.send({ topic: fresh('t'), body: 'x' }), ClosedError)
  await client[Symbol.asyncDispose]()
  assert.throws(() => client.producer(), ClosedError)
})

it('makes any number of clients side by side', async () => {
  const topic = await here.topic()
  const clients = await Promise.all(Array.from({ length: 5 }, () => here.connect()))
  const receipts = await Promise.all(clients.map((client) => client.producer().send({ topic, body: 'x' })))
  assert.equal(new Set(receipts.map((receipt) => receipt.messageId)).size, 5)
  await Promise.all(clients.map((client) => client.close()))
})
