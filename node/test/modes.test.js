'use strict'
// Ways to send and to consume: queues by hand, divided lists, order, broadcast, suspension, warnings.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { it } = require('node:test')
const { ArgumentError, ClosedError, ConsumeResult, TooLargeError } = require('@libmq/client')
const { fresh, until, world } = require('./world.js')

const here = world()

it('sends to a queue of ones choice', async () => {
  const client = await here.connect()
  const topic = await here.topic()
  const producer = client.producer()
  const queues = await producer.queues(topic)
  assert.deepEqual(queues.map((queue) => queue.queueId), [0, 1, 2, 3])
  for (const queue of queues) {
    const { brokerName, queueId } = await producer.send({ topic, body: 'x', waitStore: false }, { queue })
    assert.deepEqual({ topic, brokerName, queueId }, queue)
  }
  for (const queue of [1, null, { topic }]) await assert.rejects(producer.send({ topic, body: 'x' }, { queue }), ArgumentError)
  await assert.rejects(producer.queues('a b'), ArgumentError)
  await producer.close()
  await assert.rejects(producer.queues(topic), ClosedError)
})

it('divides long lists', async () => {
  const client = await here.connect()
  const topic = await here.topic(1)
  const producer = client.producer({ maxMessageSize: 4000 })
  const messages = Array.from({ length: 40 }, (_, n) => ({ topic, body: String(n).padEnd(500, '.') }))
  const lists = producer.split(messages)
  assert.ok(lists.length >= 6 && lists.length <= 12, String(lists.length))
  assert.deepEqual(lists.flat(), messages)
  for (const list of lists) assert.equal((await producer.sendBatch(list)).status, 'Ok')
  await assert.rejects(producer.sendBatch(messages), TooLargeError)
  assert.throws(() => producer.split([{ topic, body: '.'.repeat(5000) }]), TooLargeError)
  assert.throws(() => producer.split(['x']), ArgumentError)
})

it('changes its subscriptions while it runs', async () => {
  const client = await here.connect()
  const [one, two] = [await here.topic(2), await here.topic(2)]
  const producer = client.producer()
  const got = []
  const take = async (body) => {
    await until(() => got.length > 0, body)
    assert.equal(got.shift(), body)
  }
  const consumer = await here.consume(client, one, (message) => void got.push(message.body.toString()))
  const queuesOf = (topic) => consumer.assignment.filter((queue) => queue.topic === topic).length
  await consumer.subscribe(two, 'a')
  assert.deepEqual([queuesOf(one), queuesOf(two)], [2, 2])
  await producer.send({ topic: two, tag: 'x', body: 'not wanted' })
  await producer.send({ topic: two, tag: 'a', body: 'a' })
  await take('a')
  await consumer.subscribe(two, 'b || c', { signal: AbortSignal.timeout(60_000) })
  await producer.send({ topic: two, tag: 'a', body: 'not wanted any more' })
  await producer.send({ topic: two, tag: 'b', body: 'b' })
  await take('b')
  await consumer.unsubscribe(one)
  await consumer.unsubscribe(two)
  await consumer.unsubscribe(two)
  assert.deepEqual([queuesOf(one), queuesOf(two)], [0, 0])
  await producer.send({ topic: one, body: 'meanwhile' })
  await consumer.subscribe(one)
  await take('meanwhile')
  await assert.rejects(consumer.subscribe('a b'), ArgumentError)
  await assert.rejects(consumer.subscribe(one, ' || '), ArgumentError)
  await assert.rejects(consumer.subscribe(one, '*', { signal: AbortSignal.abort() }), { name: 'AbortError' })
  await consumer.close()
  await assert.rejects(consumer.subscribe(one), ClosedError)
  await assert.rejects(consumer.unsubscribe(one), ClosedError)
  assert.deepEqual(got, [])
})

it('keeps the order of a queue that is suspended', async () => {
  const client = await here.connect()
  const topic = await here.topic(1)
  const producer = client.producer()
  for (let n = 0; n < 5; n++) await producer.send({ topic, body: String(n) })
  const got = []
  const consumer = await here.consume(
    client,
    topic,
    async (message) => {
      const body = message.body.toString()
      return got.push(body) && got.filter((each) => each === body).length === 1 ? ConsumeResult.suspend(30) : ConsumeResult.Success
    },
    { consumeMode: 'ORDERLY' },
  )
  await until(() => got.length >= 10, 'ten deliveries')
  assert.deepEqual(got, ['0', '0', '1', '1', '2', '2', '3', '3', '4', '4'])
  assert.deepEqual(consumer.assignment.filter((queue) => queue.topic === topic).map((queue) => queue.queueId), [0])
  consumer.suspend()
  consumer.resume()
  await consumer.close()
  assert.deepEqual(consumer.assignment, [])
  for (const wrong of [0, -1, NaN, '1s']) assert.throws(() => ConsumeResult.suspend(wrong), ArgumentError)
})

it('broadcasts, and warns of what it drops', async () => {
  const topic = await here.topic(1)
  const group = fresh('group')
  const offsetDir = fs.mkdtempSync(path.join(os.tmpdir(), 'libmq-node-'))
  const warnings = []
  const got = []
  const settings = { group, messageModel: 'BROADCASTING' }
  const [one, two] = [await here.connect(), await here.connect()]
  const fail = () => Promise.reject(new Error('not today'))
  const told = { onError: () => {}, onWarning: (warning) => warnings.push(warning) }
  const first = await here.consume(one, topic, fail, { ...settings, ...told, offsetDir: path.join(offsetDir, 'one') })
  const second = await here.consume(two, topic, (message) => got.push(message.body.toString()), { ...settings, offsetDir: path.join(offsetDir, 'two') })
  const { messageId } = await one.producer().send({ topic, body: 'to everyone' })
  await until(() => warnings.length && got.length, 'both')
  assert.deepEqual(got, ['to everyone'])
  assert.equal(warnings[0].name, 'MESSAGE_DROPPED')
  assert.ok(warnings[0].message.includes(messageId), warnings[0].message)
  await Promise.all([first.close(), second.close()])
  assert.ok(fs.readdirSync(path.join(offsetDir, 'one')).length && fs.readdirSync(path.join(offsetDir, 'two')).length)
  fs.rmSync(offsetDir, { recursive: true })
})
