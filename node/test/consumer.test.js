'use strict'
// Consuming: what listeners get and may do, retries, bounds, and quiet after the close.

const assert = require('node:assert/strict')
const { inspect } = require('node:util')
const { describe, it } = require('node:test')
const { setTimeout: sleep } = require('node:timers/promises')
const { ArgumentError, ConfigError, ConsumeResult, MessageView } = require('@libmq/client')
const { fresh, silentServer, until, world } = require('./world.js')

const here = world()

async function sendAll(client, topic, bodies, more = {}) {
  const producer = client.producer()
  await Promise.all(bodies.map((body) => producer.send({ topic, body, ...more })))
}

describe('messages', () => {
  it('arrive as they were sent', async () => {
    const topic = await here.topic()
    const client = await here.connect()
    const sent = { topic, body: 'größe', tag: 'a', keys: ['k1', 'k2'], properties: { región: 'eu', __proto__x: 'b=c' }, messageGroup: 'g' }
    const before = Date.now()
    const receipt = await client.producer().send(sent)
    const got = []
    await here.consume(client, topic, (message) => got.push(message))
    const message = await until(() => got[0], 'the message')
    assert.ok(message instanceof MessageView)
    assert.equal(message.topic, topic)
    assert.ok(Buffer.isBuffer(message.body))
    assert.equal(message.body.toString(), 'größe')
    assert.equal(message.tag, 'a')
    assert.deepEqual(message.keys, ['k1', 'k2'])
    assert.equal(message.properties.región, 'eu')
    assert.equal(message.properties.__proto__x, 'b=c')
    assert.equal(message.properties, message.properties)
    assert.equal(message.messageGroup, 'g')
    for (const field of ['messageId', 'offsetMessageId', 'queueId', 'queueOffset', 'brokerName']) {
      assert.equal(message[field], receipt[field], field)
    }
    assert.equal(message.reconsumeTimes, 0)
    assert.equal(message.deliveryAttempt, 1)
    for (const time of [message.bornTimestamp, message.storeTimestamp]) assert.ok(time >= before - 1000 && time <= Date.now() + 1000, time)
    assert.match(message.bornHost, /^127\.0\.0\.1:\d+$/)
    assert.equal(message.storeHost, here.broker.brokerAddress)
    const json = JSON.parse(JSON.stringify(message))
    assert.equal(json.messageId, receipt.messageId)
    assert.deepEqual(Buffer.from(json.body), message.body)
    assert.match(inspect(message), /^MessageView \{.*messageId/s)
  })

  it('have neither tag nor keys nor group when none was given', async () => {
    const topic = await here.topic()
    const client = await here.connect()
    await sendAll(client, topic, ['bare'])
    const got = []
    await here.consume(client, topic, (message) => got.push(message))
    const message = await until(() => got[0], 'the message')
    assert.deepEqual([message.tag, message.keys, message.messageGroup], [undefined, [], undefined])
  })

  it('stay readable after the listener returned and the client closed', async () => {
    const topic = await here.topic()
    const client = await here.connect()
    const bodies = Array.from({ length: 300 }, (_, n) => `${n}:`.padEnd(2000, 'x'))
    await sendAll(client, topic, bodies)
    const got = []
    await here.consume(client, topic, (message) => got.push(message))
    await until(() => got.length >= bodies.length, 'all')
    await client.close()
    globalThis.gc?.()
    assert.deepEqual(new Set(got.map((message) => message.body.toString())), new Set(bodies))
  })

  it('larger than a batch arrive whole', async () => {
    const topic = await here.topic()
    const client = await here.connect()
    const bodies = [1, 2, 3].map((n) => Buffer.alloc(1_000_000 * n, n))
    await sendAll(client, topic, bodies)
    const sizes = []
    await here.consume(client, topic, ({ body }) => {
      assert.ok(body.every((byte) => byte === body[0]))
      sizes.push(body.length)
    })
    await until(() => sizes.length === 3, 'three large messages')
    assert.deepEqual(sizes.sort(), [1_000_000, 2_000_000, 3_000_000])
  })
})

describe('listeners', () => {
  it('may return anything: that is success', async () => {
    const topic = await here.topic()
    const client = await here.connect()
    const answers = [undefined, null, true, false, 0, 'text', ConsumeResult.Success, Promise.resolve(), Promise.resolve(ConsumeResult.Success)]
    await sendAll(client, topic, answers.map((_, n) => `${n}`))
    const attempts = []
    const consumer = await here.consume(client, topic, (message) => {
      attempts.push(message.deliveryAttempt)
      return answers[Number(message.body)]
    })
    await until(() => attempts.length === answers.length, 'all')
    await sleep(1500)
    await consumer.close()
    assert.deepEqual(new Set(attempts), new Set([1]))
    assert.equal(attempts.length, answers.length)
  })

  it('that put off, throw or reject get the message again', async () => {
    const topic = await here.topic()
    const client = await here.connect()
    const ways = {
      later: () => ConsumeResult.Later,
      'later async': async () => ConsumeResult.Later,
      level: () => ConsumeResult.later(1),
      throws: () => { throw new Error('boom') },
      'throws null': () => { throw null },
      rejects: async () => { throw new Error('async boom') },
    }
    await sendAll(client, topic, Object.keys(ways))
    const done = []
    const told = []
    await here.consume(
      client,
      topic,
      (message) => {
        const way = message.body.toString()
        if (message.deliveryAttempt === 1) return ways[way]()
        done.push([way, message.topic, message.deliveryAttempt])
      },
      { onError: (error, message) => told.push([error?.message, message.body.toString()]) },
    )
    await until(() => done.length === Object.keys(ways).length, 'all again')
    assert.deepEqual(done.sort(), Object.keys(ways).map((way) => [way, topic, 2]).sort())
    assert.deepEqual(told.sort(), [['boom', 'throws'], ['async boom', 'rejects'], [undefined, 'throws null']].sort())
  })

  it('that throw are warned about when nobody asked', async () => {
    const topic = await here.topic()
    const client = await here.connect()
    await sendAll(client, topic, ['x'])
    const warnings = []
    const warn = (warning) => warnings.push(warning)
    process.on('warning', warn)
    let again = false
    await here.consume(client, topic, (message) => {
      if (message.deliveryAttempt > 1) return void (again = true)
      throw new Error('unexpected fruit')
    })
    await until(() => again && warnings.length, 'the warning')
    process.off('warning', warn)
    assert.equal(warnings[0].name, 'MqListenerWarning')
    assert.match(warnings[0].message, /unexpected fruit/)
  })

  it('run side by side up to the limit', async () => {
    const topic = await here.topic()
    const client = await here.connect()
    await sendAll(client, topic, Array.from({ length: 30 }, (_, n) => `${n}`))
    let running = 0
    let most = 0
    let done = 0
    const release = []
    const onMessage = async () => {
      most = Math.max(most, ++running)
      if (done < 5) await new Promise((resolve) => release.push(resolve))
      running--
      done++
    }
    await here.consume(client, topic, onMessage, { consumeThreadMin: 1, consumeThreadMax: 5 })
    await until(() => running === 5, 'five at a time')
    await sleep(300)
    assert.equal(running, 5)
    for (const resolve of release.splice(0)) resolve()
    await until(() => {
      for (const resolve of release.splice(0)) resolve()
      return done === 30
    }, 'all')
    assert.equal(most, 5)
  })

  it('take lists', async () => {
    const topic = await here.topic(1)
    const client = await here.connect()
    await sendAll(client, topic, Array.from({ length: 100 }, (_, n) => `${n}`))
    const sizes = []
    const onMessages = async (messages) => void sizes.push(messages.length)
    await here.consume(client, topic, undefined, { onMessages, consumeMessageBatchMaxSize: 10 })
    await until(() => sizes.reduce((sum, size) => sum + size, 0) === 100, 'all')
    assert.ok(Math.max(...sizes) > 1 && Math.max(...sizes) <= 10, sizes)
  })

  it('of single messages cope with lists', async () => {
    const topic = await here.topic(1)
    const client = await here.connect()
    await sendAll(client, topic, Array.from({ length: 20 }, (_, n) => `${n}`))
    const got = new Set()
    await here.consume(client, topic, (message) => void got.add(message.body.toString()), { consumeMessageBatchMaxSize: 8 })
    await until(() => got.size === 20, 'all')
  })

  it('must be there, once, and be functions', async () => {
    const client = await here.connect()
    const bad = [{}, { onMessage: 7 }, { onMessage() {}, onMessages() {} }]
    for (const listeners of bad) {
      await assert.rejects(client.pushConsumer({ group: 'g', subscriptions: { t: '*' }, ...listeners }), ArgumentError)
    }
  })

  it('that never return do not keep the consumer open, and their message comes again', async () => {
    const topic = await here.topic(1)
    const group = fresh('group')
    const client = await here.connect()
    await sendAll(client, topic, ['stuck'])
    let calls = 0
    const hanging = await here.consume(client, topic, () => new Promise(() => calls++), { group })
    await until(() => calls, 'the call')
    await hanging.close({ timeout: 300 }).catch((error) => assert.equal(error.code, 'TIMEOUT'))
    const got = []
    await here.consume(client, topic, (message) => got.push(message.body.toString()), { group })
    await until(() => got.length, 'the message again')
    assert.deepEqual(got, ['stuck'])
  })
})

describe('consumers', () => {
  it('filter by tags', async () => {
    const topic = await here.topic()
    const client = await here.connect()
    const got = []
    await here.consume(client, topic, (message) => got.push(message.tag), { subscriptions: { [topic]: 'a || c' } })
    for (const tag of ['a', 'b', 'c', undefined]) await sendAll(client, topic, ['x'], { tag })
    await until(() => got.length === 2, 'two of them')
    await sleep(500)
    assert.deepEqual(got.sort(), ['a', 'c'])
  })

  it('go on where their group stopped', async () => {
    const topic = await here.topic()
    const group = fresh('group')
    const client = await here.connect()
    const got = []
    const onMessage = async (message) => got.push(message.body.toString())
    await sendAll(client, topic, ['1', '2'])
    const first = await here.consume(client, topic, onMessage, { group })
    await until(() => got.length === 2, 'both')
    await first.close()
    await sendAll(client, topic, ['3'])
    await here.consume(client, topic, onMessage, { group })
    await until(() => got.length >= 3, 'the third')
    await sleep(500)
    assert.deepEqual(got.sort(), ['1', '2', '3'])
  })

  it('share the queues of a group', async () => {
    const topic = await here.topic(8)
    const group = fresh('group')
    const client = await here.connect()
    const got = [[], []]
    for (const mine of got) {
      const member = await here.connect()
      await here.consume(member, topic, (message) => mine.push(message.body.toString()), { group })
    }
    let sent = 0
    await until(async () => {
      await sendAll(client, topic, Array.from({ length: 16 }, () => `${sent++}`))
      return got[0].length && got[1].length
    }, 'a message for each member')
    await until(() => new Set(got.flat()).size === sent, 'all')
  })

  it('fetch nothing while suspended', async () => {
    const topic = await here.topic(1)
    const client = await here.connect()
    const got = []
    const consumer = await here.consume(client, topic, (message) => got.push(message.body.toString()))
    await sendAll(client, topic, ['1'])
    await until(() => got.length === 1, 'the first')
    consumer.suspend()
    // The broker may hold a pull that was sent before; the next message ends it.
    await sendAll(client, topic, ['2'])
    await sleep(500)
    await sendAll(client, topic, ['3'])
    await sleep(500)
    assert.ok(!got.includes('3'), got)
    consumer.resume()
    await until(() => got.length === 3, 'the others')
    assert.deepEqual(got, ['1', '2', '3'])
  })

  it('wait for their listeners when they close, and are quiet then', async () => {
    const topic = await here.topic()
    const client = await here.connect()
    await sendAll(client, topic, Array.from({ length: 200 }, (_, n) => `${n}`))
    let running = 0
    let calls = 0
    const consumer = await here.consume(client, topic, async () => {
      calls++
      running++
      await sleep(50)
      running--
    })
    await until(() => running, 'a call')
    await consumer.close()
    assert.equal(running, 0)
    const before = calls
    await sendAll(client, topic, ['late'])
    await sleep(300)
    assert.equal(calls, before)
  })

  it('refuse what is not acceptable', async () => {
    const client = await here.connect()
    const ok = { group: 'g', subscriptions: { t: '*' }, onMessage() {} }
    const bad = [
      [{ group: '' }, ArgumentError, /group/],
      [{ group: undefined }, ArgumentError, /group/],
      [{ group: 'a b' }, ArgumentError, /a b/],
      [{ subscriptions: { 'a b': '*' } }, ArgumentError, /a b/],
      [{ consumeThreadMx: 7 }, ConfigError, /consumeThreadM(x|ax)/],
      [{ consumeFromWhere: 'MIDDLE' }, ConfigError, /MIDDLE/],
    ]
    for (const [options, type, message] of bad) {
      const error = await client.pushConsumer({ ...ok, ...options }).then(() => assert.fail(inspect(options)), (e) => e)
      assert.ok(error instanceof type, error)
      assert.match(error.message, message)
    }
    await assert.rejects(client.pushConsumer({ ...ok, subscriptions: {} }), (error) => /subscri/.test(error.message))
  })

  it('can be given up while they start', async () => {
    const silent = await silentServer()
    try {
      const client = await here.connect({ namesrv: silent.address })
      const options = { group: 'g', subscriptions: { t: '*' }, onMessage() {} }
      const error = await client.pushConsumer(options, { signal: AbortSignal.timeout(50) }).catch((e) => e)
      if (error instanceof Error) assert.ok(['TimeoutError', 'MqError'].includes(error.name), error)
      await client.close({ timeout: 500 }).catch(() => {})
    } finally {
      await silent.close()
    }
  })
})
