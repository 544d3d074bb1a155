'use strict'
// Sending: every way, what receipts say, what is refused, what happens when the broker or the time is gone.

const assert = require('node:assert/strict')
const { describe, it } = require('node:test')
const { Client, SendStatus, testing, ...errors } = require('@libmq/client')
const { fresh, silentServer, until, world } = require('./world.js')

const here = world()

describe('send', () => {
  it('gives a receipt', async () => {
    const topic = await here.topic(2)
    const producer = (await here.connect()).producer({ group: 'senders' })
    const receipt = await producer.send({ topic, body: 'text', tag: 'a', keys: ['k1', 'k2'], properties: { größe: 'XL' } })
    assert.equal(receipt.status, SendStatus.Ok)
    assert.equal(receipt.topic, topic)
    assert.match(receipt.messageId, /^[0-9A-F]{32}$/)
    assert.match(receipt.offsetMessageId, /^[0-9A-F]{32}$/)
    assert.ok(receipt.brokerName)
    assert.ok(receipt.queueId === 0 || receipt.queueId === 1)
    assert.equal(receipt.queueOffset, 0)
  })

  it('takes strings, buffers and other byte arrays', async () => {
    const topic = await here.topic()
    const client = await here.connect()
    const producer = client.producer()
    const whole = new Uint8Array([0, 1, 2, 255, 254])
    const bodies = ['größe 大', Buffer.from('buffer'), whole.subarray(1, 4), 'x'.repeat(100_000)]
    for (const [number, body] of bodies.entries()) await producer.send({ topic, body, keys: String(number) })
    const got = new Map()
    await here.consume(client, topic, (message) => void got.set(message.keys[0], message.body))
    await until(() => got.size === bodies.length, 'all bodies')
    for (const [number, body] of bodies.entries()) assert.deepEqual(got.get(String(number)), Buffer.from(body))
  })

  it('keeps what was handed over when the buffer is used again', async () => {
    const topic = await here.topic(1)
    const client = await here.connect()
    const producer = client.producer()
    const buffer = Buffer.from('first')
    const sent = producer.send({ topic, body: buffer })
    buffer.fill('x')
    await sent
    const got = []
    await here.consume(client, topic, (message) => got.push(message.body.toString()))
    await until(() => got.length, 'the message')
    assert.deepEqual(got, ['first'])
  })

  it('has many in flight', async () => {
    const topic = await here.topic()
    const producer = (await here.connect()).producer()
    const receipts = await Promise.all(Array.from({ length: 2000 }, (_, n) => producer.send({ topic, body: `message ${n}` })))
    assert.equal(new Set(receipts.map((receipt) => receipt.messageId)).size, 2000)
    assert.equal(new Set(receipts.map((receipt) => `${receipt.queueId}/${receipt.queueOffset}`)).size, 2000)
  })

  it('sends messages of one group to one queue', async () => {
    const topic = await here.topic(8)
    const producer = (await here.connect()).producer()
    const receipts = await Promise.all(Array.from({ length: 20 }, () => producer.send({ topic, body: 'x', messageGroup: 'order-7' })))
    assert.equal(new Set(receipts.map((receipt) => receipt.queueId)).size, 1)
  })

  it('refuses messages that are not acceptable', async () => {
    const producer = (await here.connect()).producer({ maxMessageSize: 1000 })
    const { ArgumentError, TooLargeError } = errors
    const bad = [
      [undefined, ArgumentError, /undefined/],
      ['text', ArgumentError, /object/],
      [{ body: 'x' }, ArgumentError, /topic/],
      [{ topic: 7, body: 'x' }, ArgumentError, /topic/],
      [{ topic: '', body: 'x' }, ArgumentError, /topic/],
      [{ topic: 'white space', body: 'x' }, ArgumentError, /white space/],
      [{ topic: 'x'.repeat(300), body: 'x' }, ArgumentError, /300|long/],
      [{ topic: 't' }, ArgumentError, /body/],
      [{ topic: 't', body: 7 }, ArgumentError, /body/],
      [{ topic: 't', body: '' }, ArgumentError, /empty/],
      [{ topic: 't', body: 'x', tag: ' ' }, ArgumentError, /tag/],
      [{ topic: 't', body: 'x', tag: 7 }, ArgumentError, /tag/],
      [{ topic: 't', body: 'x', tags: 'a' }, ArgumentError, /'tags'.*tag/],
      [{ topic: 't', body: 'x', keys: ['a b'] }, ArgumentError, /a b/],
      [{ topic: 't', body: 'x', keys: [1] }, ArgumentError, /keys/],
      [{ topic: 't', body: 'x', properties: { a: 1 } }, ArgumentError, /properties\.a/],
      [{ topic: 't', body: 'x', properties: { TAGS: 'a' } }, ArgumentError, /TAGS/],
      [{ topic: 't', body: 'x', properties: { a: '\u0001' } }, ArgumentError, /control/],
      [{ topic: 't', body: 'x', delayLevel: 'soon' }, ArgumentError, /delayLevel/],
      [{ topic: 't', body: 'x'.repeat(1001) }, TooLargeError, /1001/],
    ]
    for (const [message, type, text] of bad) {
      for (const send of ['send', 'sendOneway']) {
        const error = await producer[send](message).then(() => assert.fail(`${JSON.stringify(message)} was accepted`), (e) => e)
        assert.ok(error instanceof type, `${JSON.stringify(message)}: ${error.stack}`)
        assert.match(error.message, text)
      }
    }
  })

  it('goes on after a refusal', async () => {
    const topic = await here.topic()
    const producer = (await here.connect()).producer()
    await assert.rejects(producer.send({ topic, body: Buffer.alloc(5 * 1024 * 1024) }), errors.TooLargeError)
    await producer.send({ topic, body: 'x' })
  })
})

describe('sendBatch and sendOneway', () => {
  it('stores a list as one', async () => {
    const topic = await here.topic()
    const client = await here.connect()
    const producer = client.producer()
    const receipt = await producer.sendBatch(Array.from({ length: 10 }, (_, n) => ({ topic, body: `${n}`, tag: n % 2 ? 'odd' : 'even' })))
    assert.equal(receipt.messageId.split(',').length, 10)
    const got = []
    await here.consume(client, topic, (message) => got.push(message), { subscriptions: { [topic]: 'odd' } })
    await until(() => got.length >= 5, 'the odd ones')
    assert.deepEqual(got.map((message) => message.body.toString()).sort(), ['1', '3', '5', '7', '9'])
    assert.equal(new Set(got.map((message) => message.queueId)).size, 1)
  })

  it('refuses lists that are no batch', async () => {
    const producer = (await here.connect()).producer({ maxMessageSize: 1000 })
    await assert.rejects(producer.sendBatch([]), errors.ArgumentError)
    await assert.rejects(producer.sendBatch([{ topic: 'a', body: 'x' }, { topic: 'b', body: 'x' }]), errors.ArgumentError)
    await assert.rejects(producer.sendBatch([{ topic: 'a', body: 'x' }, { topic: 'a' }]), errors.ArgumentError)
    const half = { topic: 'a', body: 'x'.repeat(600) }
    await assert.rejects(producer.sendBatch([half, half]), errors.TooLargeError)
  })

  it('sends one-way', async () => {
    const topic = await here.topic()
    const client = await here.connect()
    const producer = client.producer()
    for (let n = 0; n < 10; n++) assert.equal(await producer.sendOneway({ topic, body: `${n}` }), undefined)
    const got = new Set()
    await here.consume(client, topic, (message) => got.add(message.body.toString()))
    await until(() => got.size === 10, 'ten messages')
  })
})

describe('trouble', () => {
  it('says when nobody is there', async () => {
    const silent = await silentServer()
    await silent.close()
    const producer = (await here.connect({ namesrv: silent.address })).producer()
    const error = await producer.send({ topic: 't', body: 'x' }).catch((e) => e)
    assert.ok(error instanceof errors.MqError && error.code === 'NETWORK' && error.retryable, error)
    assert.ok(error.message.includes(silent.address), error.message)
  })

  it('gives up in time', async () => {
    const silent = await silentServer()
    try {
      const producer = (await here.connect({ namesrv: silent.address })).producer()
      const error = await producer.send({ topic: 't', body: 'x' }, { timeout: 200 }).catch((e) => e)
      assert.ok(error instanceof errors.TimeoutError && error.code === 'TIMEOUT' && error.retryable, error)
      for (const timeout of [0, -1, NaN, Infinity, '1']) {
        await assert.rejects(producer.send({ topic: 't', body: 'x' }, { timeout }), errors.ArgumentError)
      }
    } finally {
      await silent.close()
    }
  })

  it('stops waiting when the signal aborts', async () => {
    const silent = await silentServer()
    try {
      const producer = (await here.connect({ namesrv: silent.address })).producer()
      const controller = new AbortController()
      const warned = []
      const warn = (warning) => warned.push(warning)
      process.on('warning', warn)
      const sends = Array.from({ length: 50 }, () => producer.send({ topic: 't', body: 'x' }, { signal: controller.signal }))
      const reason = new Error('enough')
      controller.abort(reason)
      for (const send of sends) assert.equal(await send.catch((e) => e), reason)
      assert.equal(await producer.send({ topic: 't', body: 'x' }, { signal: controller.signal }).catch((e) => e), reason)
      const timedOut = await producer.send({ topic: 't', body: 'x' }, { signal: AbortSignal.timeout(20) }).catch((e) => e)
      assert.equal(timedOut.name, 'TimeoutError')
      await new Promise(setImmediate)
      process.off('warning', warn)
      assert.deepEqual(warned, [])
    } finally {
      await silent.close()
    }
  })

  it('lets signals go when it is done', async () => {
    const topic = await here.topic()
    const producer = (await here.connect()).producer()
    const { signal } = new AbortController()
    let listeners = 0
    const { addEventListener, removeEventListener } = signal
    signal.addEventListener = (...args) => (listeners++, addEventListener.apply(signal, args))
    signal.removeEventListener = (...args) => (listeners--, removeEventListener.apply(signal, args))
    await producer.send({ topic, body: 'x' }, { signal })
    await producer.send({ topic: '', body: 'x' }, { signal }).catch(() => {})
    assert.equal(listeners, 0)
  })

  it('says that there is no such topic', async () => {
    const broker = await testing.Broker.start({ autoCreateTopicEnable: false })
    const client = await Client.connect(broker.address)
    try {
      const error = await client.producer().send({ topic: 'missing', body: 'x' }).catch((e) => e)
      assert.ok(error instanceof errors.NotFoundError && error.message.includes('missing'), error)
    } finally {
      await client.close()
      await broker.close()
    }
  })

  it('survives a broker that dies and comes back; nothing acknowledged is lost', async () => {
    const broker = await testing.Broker.start()
    const client = await Client.connect(broker.address)
    try {
      const topic = fresh('topic')
      await broker.createTopic(topic)
      const producer = client.producer({ sendTimeout: 1000 })
      const stored = new Set()
      const failures = []
      let going = true
      const load = (async () => {
        for (let n = 0; going; n++) {
          await producer.send({ topic, body: `${n}` }).then(() => stored.add(`${n}`), (error) => failures.push(error))
        }
      })()
      await until(() => stored.size > 50, 'sends before the kill')
      await broker.kill()
      await until(() => failures.length, 'a failure')
      await broker.restart()
      const before = stored.size
      await until(() => stored.size > before + 50, 'sends after the restart')
      going = false
      await load
      for (const error of failures) assert.ok(error instanceof errors.MqError, error)
      const got = new Set()
      await here.consume(client, topic, (message) => got.add(message.body.toString()))
      await until(() => [...stored].every((body) => got.has(body)), 'all that was acknowledged')
    } finally {
      await client.close()
      await broker.close()
    }
  })

  it('gives every send its end when it is closed in the middle', async () => {
    const topic = await here.topic()
    const client = await here.connect()
    const producer = client.producer()
    await producer.send({ topic, body: 'x' })
    const sends = Array.from({ length: 1000 }, () => producer.send({ topic, body: 'x' }))
    const closing = client.close()
    const ends = await Promise.allSettled(sends)
    await closing
    for (const end of ends) assert.ok(end.status === 'fulfilled' || end.reason instanceof errors.ClosedError, end.reason)
  })
})
