'use strict'
// The library and the process: when it may end, how it ends, threads, signals and the example.

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { describe, it } = require('node:test')
const { Worker } = require('node:worker_threads')
const { until, world } = require('./world.js')

const here = world()

/** Runs a program; its status, signal and output. It is killed after a minute. */
function run(args, { send, env } = {}) {
  const child = spawn(process.execPath, args, { cwd: __dirname, env: { ...process.env, ...env }, timeout: 60_000, killSignal: 'SIGKILL' })
  const result = { out: '', err: '' }
  child.stdout.on('data', (data) => {
    result.out += data
    if (!send || !result.out.includes(send.after)) return
    child.kill(send.signal)
    send = undefined
  })
  child.stderr.on('data', (data) => (result.err += data))
  return once(child, 'close').then(([status, signal]) => ({ ...result, status, signal }))
}

/** Runs a script with a client to the broker of this file. */
function script(body, options) {
  const prelude = `
    const { Client, testing } = require('@libmq/client')
    const namesrv = ${JSON.stringify(here.broker.address)}
    const say = (text) => require('node:fs').writeSync(1, text + '\\n')
    ;(async () => { ${body} })()`
  return run(['-e', prelude], options)
}

async function wellEnded(child) {
  const { status, signal, out, err } = await child
  assert.deepEqual({ status, signal, err }, { status: 0, signal: null, err: '' }, out)
  return out
}

describe('the process', () => {
  it('starts nothing and writes nothing when the library is loaded', async () => {
    const home = fs.mkdtempSync(path.join(os.tmpdir(), 'libmq-home-'))
    const count = "require('node:fs').readdirSync('/proc/self/task').length"
    const out = await wellEnded(
      run(['-e', `const before = ${count}; require('@libmq/client'); console.log(${count} - before)`], { env: { HOME: home } }),
    )
    assert.equal(out, '0\n')
    assert.deepEqual(fs.readdirSync(home), [])
    fs.rmSync(home, { recursive: true })
  })

  it('ends by itself once everything is closed', async () => {
    const topic = await here.topic()
    await wellEnded(
      script(`
        const client = await Client.connect(namesrv)
        await client.pushConsumer({ group: 'ends', subscriptions: { '${topic}': '*' }, onMessage() {} })
        await client.producer().send({ topic: '${topic}', body: 'x' })
        await client.close()`),
    )
  })

  it('stays alive while a client is open', async () => {
    const topic = await here.topic()
    const child = script(`
      const client = await Client.connect(namesrv)
      await client.pushConsumer({ group: 'stays', subscriptions: { '${topic}': '*' }, consumeFromWhere: 'FIRST',
        onMessage: async (message) => { say(message.body.toString()); client.close() } })
      say('open')`)
    await (await here.connect()).producer().send({ topic, body: 'wake up' })
    assert.match(await wellEnded(child), /wake up/)
  })

  it('ends while an unreferenced client is open, but not in the middle of a send', async () => {
    const topic = await here.topic()
    const out = await wellEnded(
      script(`
        const client = (await Client.connect(namesrv)).unref().unref().ref().unref()
        await client.pushConsumer({ group: 'unref', subscriptions: { '${topic}': '*' }, onMessage() {} })
        const receipt = await client.producer().send({ topic: '${topic}', body: 'x' })
        say(receipt.status)`),
    )
    assert.equal(out, 'Ok\n')
  })

  it('may exit at any time', async () => {
    const topic = await here.topic()
    const codes = await Promise.all(
      [0, 1, 2, 3].map((n) =>
        script(`
          const client = await Client.connect(namesrv)
          const producer = client.producer()
          let received = 0
          await client.pushConsumer({ group: 'exit${n}', subscriptions: { '${topic}': '*' }, onMessage() { if (++received > 50 * ${n}) process.exit(3) } })
          for (;;) { for (let n = 0; n < 100; n++) producer.send({ topic: '${topic}', body: 'x' }).catch(() => {}); await producer.send({ topic: '${topic}', body: 'x' }) }`),
      ),
    )
    for (const { status, signal, err } of codes) assert.deepEqual({ status, signal, err }, { status: 3, signal: null, err: '' })
  })

  it('removes the data of a broker that was not stopped', async () => {
    const out = await wellEnded(script("const broker = await testing.Broker.start(); say(broker.dataDir); process.exit(0)"))
    assert.ok(path.isAbsolute(out.trim()) && !fs.existsSync(out.trim()), out)
    await wellEnded(script('await testing.Broker.start()'))
  })

  it('dies of Ctrl-C by default and can close on it', async () => {
    const topic = await here.topic()
    const consume = `
      const client = await Client.connect(namesrv)
      await client.pushConsumer({ group: 'interrupted', subscriptions: { '${topic}': '*' }, onMessage: () => new Promise(() => {}) })
      say('ready')`
    const send = { after: 'ready', signal: 'SIGINT' }
    const killed = await script(consume, { send })
    assert.equal(killed.signal, 'SIGINT')
    const closed = await script(
      `process.on('SIGINT', async () => { await client.close({ timeout: 2000 }).catch(() => {}); say('closed') }); ${consume}`,
      { send },
    )
    assert.deepEqual([closed.status, closed.out.includes('closed')], [0, true], closed.err)
  })

  it('stops at what a log hook throws', async () => {
    const { status, err } = await script(`
      require('@libmq/client').setLogHook(() => { throw new Error('bad hook') }, 'trace')
      const client = await Client.connect(namesrv)
      await client.producer().send({ topic: 'hooked', body: 'x' })
      await client.close()`)
    assert.notEqual(status, 0)
    assert.match(err, /bad hook/)
  })

  it('shows no unhandled rejection for what was awaited', async () => {
    await wellEnded(
      script(`
        const client = await Client.connect('127.0.0.1:1')
        await client.producer().send({ topic: 't', body: 'x' }).catch((error) => say(error.code))
        await client.pushConsumer({ group: 'a b', subscriptions: { t: '*' }, onMessage() {} }).catch((error) => say(error.code))
        await client.close()`),
    )
  })
})

describe('worker threads', () => {
  const code = `
    const { parentPort, workerData } = require('node:worker_threads')
    const { Client } = require('@libmq/client')
    ;(async () => {
      const client = await Client.connect(workerData.namesrv)
      const { topic, group, close } = workerData
      let received = 0
      const ten = new Promise((resolve) => {
        const onMessage = () => { if (++received === 10) resolve() }
        client.pushConsumer({ group, subscriptions: { [topic]: '*' }, consumeFromWhere: 'FIRST', onMessage })
      })
      const producer = client.producer()
      await Promise.all(Array.from({ length: 10 }, () => producer.send({ topic, body: 'x' })))
      await ten
      if (close) await client.close()
      parentPort.postMessage('done')
    })()`

  it('have clients of their own', async () => {
    const workers = await Promise.all(
      [0, 1, 2].map(async (n) => {
        const workerData = { namesrv: here.broker.address, topic: await here.topic(), group: `worker${n}`, close: true }
        return new Worker(code, { eval: true, workerData })
      }),
    )
    const exits = workers.map((worker) => once(worker, 'exit'))
    assert.deepEqual((await Promise.all(exits)).map(([status]) => status), [0, 0, 0])
  })

  it('can be terminated while they consume; others go on', async () => {
    const client = await here.connect()
    const topic = await here.topic()
    let got = 0
    await here.consume(client, topic, () => void got++)
    for (let n = 0; n < 3; n++) {
      const workerData = { namesrv: here.broker.address, topic, group: `terminated${n}`, close: false }
      const worker = new Worker(code, { eval: true, workerData })
      await once(worker, 'message')
      await worker.terminate()
    }
    await until(() => got === 30, 'what the workers sent')
  })
})

describe('the examples', () => {
  for (const [name, last] of [['orders.mjs', /3 orders charged/], ['in-depth.mjs', /rescued a parcel\nthe broker's clock is 2 hours ahead/]]) {
    it(name, async () => {
      assert.match(await wellEnded(run([path.join(__dirname, '..', 'examples', name)])), last)
    })
  }
})
