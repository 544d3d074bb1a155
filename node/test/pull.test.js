'use strict'
// Pull consumers and dead letters: positions of one's own, polling, iteration, aborts.

const assert = require('node:assert/strict')
const { it } = require('node:test')
const { ArgumentError, ClosedError, ConfigError, ConsumeResult, MqError } = require('@libmq/client')
const { fresh, until, world } = require('./world.js')

const here = world()

/** Sends as many messages to each queue of a new topic. */
async function filled(count) {
  const client = await here.connect()
  const topic = await here.topic()
  const producer = client.producer()
  const queues = await producer.queues(topic)
  for (const queue of queues) {
    for (let n = 0; n < count; n++) await producer.send({ topic, body: `${queue.queueId}-${n}` }, { queue })
  }
  return { client, topic, producer, queues, group: fresh('group') }
}

async function collect(consumer, count) {
  const found = []
  await until(async () => found.push(...(await consumer.poll({ timeout: 500 }))) >= count, `${count} messages`)
  return found
}

const ids = (messages) => new Set(messages.map((message) => message.messageId))

it('goes on where the group has committed', async () => {
  const { client, topic, producer, group } = await filled(3)
  const options = { group, subscriptions: { [topic]: '*' }, consumeFromWhere: 'FIRST' }
  const first = await client.pullConsumer({ ...options, autoCommit: false })
  assert.equal(first.assignment.length, 4)
  assert.equal(ids(await collect(first, 12)).size, 12)
  await first.commit()
  await first.close()
  await first.close()
  const second = await client.pullConsumer(options)
  assert.deepEqual(await second.poll({ timeout: 300 }), [])
  await producer.send({ topic, body: 'new' })
  assert.equal((await collect(second, 1))[0].body.toString(), 'new')
  await second[Symbol.asyncDispose]()
  await assert.rejects(second.poll(), ClosedError)
})

it('takes queues and positions of ones choice', async () => {
  const { client, topic, queues, group } = await filled(10)
  const consumer = await client.pullConsumer({ group })
  assert.deepEqual(await consumer.queues(topic), queues)
  const [queue, other] = queues
  await consumer.assign([queue])
  assert.deepEqual(consumer.assignment, [queue])
  await consumer.seek(queue, 'begin')
  const found = await collect(consumer, 10)
  assert.deepEqual(found.map((message) => message.queueOffset), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  assert.deepEqual(found[0].queue, queue)
  assert.equal(await consumer.position(queue), 10)
  await consumer.seek(queue, 8)
  assert.deepEqual((await collect(consumer, 2)).map((message) => message.body.toString()), ['0-8', '0-9'])
  await consumer.commit(new Map([[queue, 4]]))
  assert.equal(await consumer.committed(queue), 4)
  const early = new Date(found[0].storeTimestamp - 10_000)
  assert.equal(await consumer.offsetForTime(queue, early), 0)
  await consumer.seek(queue, early)
  assert.equal((await collect(consumer, 10))[0].queueOffset, 0)
  await consumer.seek(queue, 'end')
  assert.deepEqual(await consumer.poll({ timeout: 0 }), [])
  await assert.rejects(consumer.seek(other, 0), (e) => e instanceof MqError && e.code === 'STATE')
  for (const wrong of ['middle', -1, 0.5, undefined]) await assert.rejects(consumer.seek(queue, wrong), ArgumentError)
  for (const wrong of [{}, null, 'queue']) await assert.rejects(consumer.seek(wrong, 0), ArgumentError)
})

it('pauses queues', async () => {
  const { client, topic, producer, queues, group } = await filled(0)
  const consumer = await client.pullConsumer({ group, subscriptions: { [topic]: '*' } })
  consumer.pause(queues.slice(1))
  for (const queue of queues) await producer.send({ topic, body: 'x' }, { queue })
  assert.deepEqual((await collect(consumer, 1)).map((message) => message.queueId), [0])
  assert.deepEqual(await consumer.poll({ timeout: 300 }), [])
  consumer.resume(queues)
  assert.equal((await collect(consumer, 3)).length, 3)
})

it('iterates, goes on after a break, and ends when it is closed', async () => {
  const { client, topic, group } = await filled(5)
  const consumer = await client.pullConsumer({ group, subscriptions: { [topic]: '*' }, consumeFromWhere: 'FIRST' })
  const found = []
  for await (const message of consumer) if (found.push(message) === 7) break
  for await (const message of consumer.messages()) if (found.push(message) === 19) break
  found.push(...(await consumer.poll()))
  assert.equal(ids(found).size, 20)
  const signal = AbortSignal.timeout(50)
  await assert.rejects(async () => { for await (const message of consumer.messages({ signal })) found.push(message) }, { name: 'TimeoutError' })
  setTimeout(() => consumer.close(), 100)
  for await (const message of consumer) found.push(message)
  assert.equal(found.length, 20)
})

it('loses no message to an aborted poll', async () => {
  const { client, topic, producer, group } = await filled(0)
  const consumer = await client.pullConsumer({ group, subscriptions: { [topic]: '*' } })
  const found = []
  for (let n = 0; n < 20; n++) {
    const control = new AbortController()
    const polled = consumer.poll({ timeout: 30_000, signal: control.signal }).then((got) => found.push(...got), (e) => assert.equal(e.name, 'AbortError'))
    const sent = producer.send({ topic, body: String(n) })
    if (n % 2) await sent
    control.abort()
    await Promise.all([polled, sent])
  }
  await until(async () => found.push(...(await consumer.poll({ timeout: 200 }))) >= 20, '20 messages')
  assert.equal(ids(found).size, 20)
  await assert.rejects(consumer.poll({ signal: AbortSignal.abort() }), { name: 'AbortError' })
})

it('tells of queues that come and go', async () => {
  const { client, topic, group } = await filled(0)
  const changes = []
  const consumer = await client.pullConsumer({ group })
  await consumer.subscribe(topic)
  await consumer.onQueueChange(topic, (change) => changes.push(change))
  const second = await here.connect()
  const other = await second.pullConsumer({ group, subscriptions: { [topic]: '*' } })
  await until(() => changes.some((change) => change.assigned.length === 2), 'the share of two')
  await other.close()
  await until(() => changes.at(-1).assigned.length === 4, 'the share of one')
  assert.deepEqual([changes.at(-1).topic, changes.at(-1).queues.length], [topic, 4])
  await consumer.unsubscribe(topic)
  await assert.rejects(consumer.onQueueChange(topic), ArgumentError)
})

it('checks settings and names', async () => {
  const client = await here.connect()
  await assert.rejects(client.pullConsumer({ group: 'g', autoComit: false }), (e) => e instanceof ConfigError && /auto/.test(e.message))
  await assert.rejects(client.pullConsumer({ group: 'a b' }), ArgumentError)
  await assert.rejects(client.pullConsumer({ group: 'g', subscriptions: { 'a b': '*' } }), ArgumentError)
  assert.throws(() => client.deadLetters('a b'), ArgumentError)
  assert.throws(() => client.deadLetters(), ArgumentError)
})

it('reads dead letters and sends them again', async () => {
  const { client, topic, producer, group } = await filled(0)
  let refused = 0
  const refuse = () => (refused++, ConsumeResult.later(-1))
  const consumer = await client.pushConsumer({ group, subscriptions: { [topic]: '*' }, consumeFromWhere: 'FIRST', onMessage: refuse })
  for (let n = 0; n < 3; n++) await producer.send({ topic, body: `bad ${n}`, tag: 'bad' })
  await until(() => refused === 3, 'three deliveries')
  await consumer.close()
  const letters = client.deadLetters(group)
  const found = []
  await until(async () => found.push(...(await letters.read({ max: 2 }))) >= 3, 'three dead letters')
  assert.deepEqual(await letters.read(), [])
  await assert.rejects(letters.resend(found[0]), ArgumentError)
  await letters.rewind()
  const again = []
  await here.consume(client, topic, (message) => again.push(message.tag), { group, consumeFromWhere: 'LAST' })
  const [first] = await letters.read()
  assert.equal((await letters.resend(first)).topic, topic)
  await until(() => again.length === 1, 'the message')
  assert.deepEqual(again, ['bad'])
  assert.deepEqual(await client.deadLetters(fresh('group')).read(), [])
})
