'use strict'
// What is not an option, a list, a name or a function is refused, and never taken for something else.

const assert = require('node:assert/strict')
const { inspect } = require('node:util')
const { describe, it } = require('node:test')
const { ArgumentError, Client, ClosedError, MqError, testing } = require('@libmq/client')
const { fresh, until, world } = require('./world.js')

const here = world()

/** Expects an ArgumentError that names what was wrong, thrown or as a rejection. */
async function refused(call, text, what) {
  const error = await (async () => call())().then((value) => assert.fail(`${what} was accepted: ${inspect(value)}`), (e) => e)
  assert.ok(error instanceof ArgumentError, `${what}: ${error.stack}`)
  assert.match(error.message, text, what)
}

describe('options', () => {
  it('are objects', async () => {
    const client = await here.connect()
    for (const options of [5, 'name', true, ['list'], () => {}]) {
      const text = inspect(options)
      if (typeof options !== 'string' && !Array.isArray(options)) await refused(() => Client.connect(options), /options/, `connect(${text})`)
      await refused(() => client.producer(options), /options/, `producer(${text})`)
      await refused(() => client.pushConsumer(options), /options/, `pushConsumer(${text})`)
      await refused(() => client.pullConsumer(options), /options/, `pullConsumer(${text})`)
      await refused(() => testing.Broker.start(options), /options/, `Broker.start(${text})`)
      await refused(() => client.producer({ settings: options }), /options/, `settings: ${text}`)
      await refused(() => client.producer().send({ topic: 't', body: 'x' }, options), /options/, `send(…, ${text})`)
      await refused(() => client.close(options), /options/, `close(${text})`)
    }
    client.producer(null) // as undefined: none
    here.broker.faults.dropNext('SEND_MESSAGE', { times: 0, code: undefined })
  })

  it('of calls are those that the call has', async () => {
    const topic = await here.topic()
    const client = await here.connect()
    const producer = client.producer()
    const consumer = await client.pullConsumer({ group: fresh('group') })
    const letters = client.deadLetters('g')
    const message = { topic, body: 'x' }
    const calls = {
      send: () => producer.send(message, { timout: 5 }),
      sendBatch: () => producer.sendBatch([message], { queue: {} }),
      sendOneway: () => producer.sendOneway(message, { timeout: 5 }),
      queues: () => producer.queues(topic, { max: 5 }),
      poll: () => consumer.poll({ time: 5 }),
      messages: () => consumer.messages({ timeout: 5 }).next(),
      committed: () => consumer.committed({ topic, brokerName: 'b', queueId: 0 }, { timeout: 5 }),
      read: () => letters.read({ maximum: 5 }),
      rewind: () => letters.rewind({ max: 5 }),
      close: () => consumer.close({ signal: null }),
      pushConsumer: () => client.pushConsumer({ group: 'g', subscriptions: { t: '*' }, onMessage() {} }, { timout: 5 }),
      createTopic: () => here.broker.createTopic('t', { queue: 5 }),
      failNext: () => here.broker.faults.failNext('SEND_MESSAGE', { code: 'SYSTEM_BUSY', time: 5 }),
      delayNext: () => here.broker.faults.delayNext('SEND_MESSAGE', { delay: 5, code: 5 }),
      advance: () => here.broker.clock.advance({ hour: 2 }),
    }
    for (const [name, call] of Object.entries(calls)) await refused(call, /is not an option of this call; the options? (is|are) \w+/, name)
  })

  it('that are signals must be signals', async () => {
    const producer = (await here.connect()).producer()
    for (const signal of ['x', {}, 5]) await refused(() => producer.send({ topic: 't', body: 'x' }, { signal }), /signal/, inspect(signal))
  })

  it('that are functions must be functions', async () => {
    const client = await here.connect()
    const consumer = { group: fresh('group'), subscriptions: { t: '*' }, onMessage() {} }
    await refused(() => client.pushConsumer({ ...consumer, onError: 'log' }), /onError/, 'onError')
    await refused(() => client.pushConsumer({ ...consumer, onWarning: {} }), /onWarning/, 'onWarning')
    const pulling = await client.pullConsumer({ group: fresh('group') })
    for (const callback of [undefined, null, 'log']) await refused(() => pulling.onQueueChange('t', callback), /function/, inspect(callback))
  })
})

describe('arguments', () => {
  it('that are subscriptions are an object of texts', async () => {
    const client = await here.connect()
    for (const subscriptions of ['orders', ['orders'], new Map([['orders', '*']]), 5, { orders: null }, { orders: undefined }, { orders: ['a', 'b'] }]) {
      const text = inspect(subscriptions)
      await refused(() => client.pushConsumer({ group: fresh('group'), subscriptions, onMessage() {} }), /subscriptions|expression/, text)
      await refused(() => client.pullConsumer({ group: fresh('group'), subscriptions }), /subscriptions|expression/, text)
    }
  })

  it('that are topics are texts', async () => {
    const client = await here.connect()
    const producer = client.producer()
    const consumer = await client.pullConsumer({ group: fresh('group') })
    for (const topic of [undefined, null, 5]) {
      const text = inspect(topic)
      await refused(() => producer.queues(topic), /topic/, text)
      await refused(() => consumer.queues(topic), /topic/, text)
      await refused(() => consumer.subscribe(topic), /topic/, text)
      await refused(() => consumer.unsubscribe(topic), /topic/, text)
      await refused(() => consumer.onQueueChange(topic, () => {}), /topic/, text)
      await refused(() => here.broker.createTopic(topic), /topic/, text)
    }
    await refused(() => consumer.subscribe('t', 5), /expression/, 'expression')
  })

  it('that are lists are lists', async () => {
    const client = await here.connect()
    const producer = client.producer()
    const consumer = await client.pullConsumer({ group: fresh('group') })
    for (const list of [undefined, null, 5, 'x', {}]) {
      const text = inspect(list)
      await refused(() => producer.sendBatch(list), /messages/, text)
      await refused(() => producer.split(list), /messages/, text)
      await refused(() => consumer.assign(list), /queues/, text)
      await refused(() => consumer.pause(list), /queues/, text)
      if (list != null) await refused(() => consumer.commit(list), /offsets/, text)
    }
    await refused(() => consumer.commit([1]), /offsets/, 'no pairs')
  })

  it('that are fields of messages are what they must be', async () => {
    const producer = (await here.connect()).producer()
    const fields = [
      [{ keys: 5 }, /keys/],
      [{ keys: {} }, /keys/],
      [{ properties: 'x' }, /properties/],
      [{ properties: new Map([['a', 'b']]) }, /properties/],
      [{ properties: ['a'] }, /properties/],
      [{ delayLevel: 2 ** 31 }, /delayLevel/],
      [{ delayLevel: 1.5 }, /delayLevel/],
      [{ waitStore: 'no' }, /waitStore/],
    ]
    for (const [field, text] of fields) await refused(() => producer.send({ topic: 't', body: 'x', ...field }), text, inspect(field))
  })

  it('that are numbers do not wrap around', async () => {
    const client = await here.connect()
    const queue = { topic: 't', brokerName: 'b', queueId: 2 ** 32 }
    await refused(() => client.producer().send({ topic: 't', body: 'x' }, { queue }), /4294967296/, 'a queue')
    await refused(() => client.deadLetters('g').read({ max: 2 ** 32 }), /4294967296/, 'max')
    await refused(() => here.broker.createTopic('t', { queues: 2 ** 32 + 4 }), /4294967300/, 'queues')
    await refused(() => here.broker.faults.dropNext('SEND_MESSAGE', { times: 1.5 }), /1.5/, 'times')
    for (const time of [undefined, null, '5']) await refused(() => here.broker.clock.advance(time), /advance/, inspect(time))
  })
})

describe('places in a queue', () => {
  it('are what they must be', async () => {
    const client = await here.connect()
    const topic = await here.topic()
    const consumer = await client.pullConsumer({ group: fresh('group') })
    const [queue] = await consumer.queues(topic)
    await consumer.assign([queue])
    for (const to of [null, undefined, 'middle', true, 5n, { time: 5 }]) {
      await refused(() => consumer.seek(queue, to), /no place in a queue/, inspect(to))
    }
    for (const to of [-1, 1.5, NaN, new Date(NaN)]) await refused(() => consumer.seek(queue, to), /whole number/, inspect(to))
    for (const time of [null, undefined, '5', true, -5, 1.5, new Date(NaN)]) {
      await refused(() => consumer.offsetForTime(queue, time), /the time is/, inspect(time))
    }
  })
})

describe('listeners that answer with something that has a `then`', () => {
  const odd = {
    'that throws': () => ({ then() { throw new Error('odd') } }),
    'that cannot be read': () => ({ get then() { throw new Error('odd') } }),
    'that rejects after it has thrown': () => ({ then(_resolve, reject) { reject(new Error('odd')); throw new Error('twice') } }),
  }
  for (const [what, answer] of Object.entries(odd)) {
    it(what, async () => {
      const topic = await here.topic(1)
      const client = await here.connect()
      await client.producer().send({ topic, body: 'x' })
      const errors = []
      const consumer = await here.consume(client, topic, answer, { onError: (error) => errors.push(error.message) })
      await until(() => errors.length, 'the error')
      assert.deepEqual(errors, ['odd'])
      await consumer.close() // nothing is owed that it would wait for
    })
  }
})

it('a broker may be closed by many at once', async () => {
  const broker = await testing.Broker.start()
  await Promise.all([broker.close(), broker.close(), broker.stop().catch((error) => assert.ok(error instanceof ClosedError, error))])
  await assert.rejects(broker.stop(), ClosedError)
  assert.throws(() => broker.clock.now(), MqError)
})
