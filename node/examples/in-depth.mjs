// Order, broadcast, audit, dead letters and trouble on purpose: `node in-depth.mjs`; it starts a broker of its own.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Client, ConsumeResult, testing } from '@libmq/client'

const broker = await testing.Broker.start()
for (const topic of ['steps', 'news', 'parcels']) await broker.createTopic(topic, { queues: 2 })
const client = await Client.connect(broker.address)
const producer = client.producer({ group: 'orders' })

// Steps of one order stay in order: one message group, an orderly consumer.
for (const step of ['created', 'paid', 'shipped']) {
  for (const order of ['order-1', 'order-2']) await producer.send({ topic: 'steps', body: step, keys: order, messageGroup: order })
}
const steps = []
const suspended = new Set()
await new Promise((done) => {
  const onMessage = (message) => {
    const [order] = message.keys
    if (message.body.toString() === 'paid' && !suspended.has(order)) {
      suspended.add(order)
      return ConsumeResult.suspend(100) // the bank is slow: this queue waits, others go on
    }
    if (steps.push([order, message.body.toString()]) === 6) done()
    return ConsumeResult.Success
  }
  client.pushConsumer({ group: 'shipping', subscriptions: { steps: '*' }, consumeMode: 'ORDERLY', consumeFromWhere: 'FIRST', onMessage })
})
console.log('order-1:', ...steps.filter(([order]) => order === 'order-1').map(([, step]) => step))

// Every member of a broadcasting group gets everything, up to ten messages at a time here.
const offsetDir = mkdtempSync(path.join(tmpdir(), 'screens-'))
let shown = 0
await new Promise((done) => {
  const onMessages = (messages) => (shown += messages.length) === 10 && done()
  const screen = { subscriptions: { news: '*' }, messageModel: 'BROADCASTING', offsetDir, consumeMessageBatchMaxSize: 10, onMessages }
  Promise.all(['left', 'right'].map((group) => client.pushConsumer({ group, ...screen }))).then(() =>
    producer.sendBatch(Array.from({ length: 5 }, (_, number) => ({ topic: 'news', body: String(number) }))),
  )
})
console.log('5 news on 2 screens')

// Reading a topic from its begin at one's own pace, with commits by hand.
const audit = await client.pullConsumer({ group: 'audit', autoCommit: false })
const queues = await audit.queues('steps')
await audit.assign(queues)
for (const queue of queues) await audit.seek(queue, 'begin')
let audited = 0
for await (const { queue, queueOffset } of audit) {
  await audit.commit([[queue, queueOffset + 1]])
  if (++audited === 6) break
}
console.log(`${audited} steps audited`)

// What a group has given up is read and sent again.
const deliveries = []
const picked = new Promise((done) => {
  const onMessage = (message) => {
    if (deliveries.push(message.body.toString()) === 1) return ConsumeResult.later(-1) // to the dead letters at once
    done()
  }
  client.pushConsumer({ group: 'picky', subscriptions: { parcels: '*' }, consumeFromWhere: 'FIRST', onMessage })
})
broker.faults.failNext('SEND_MESSAGE_V2', { code: 'SYSTEM_BUSY' }) // the producer sends again
await producer.send({ topic: 'parcels', body: 'a parcel' })
const letters = client.deadLetters('picky')
let found = []
while (found.length === 0) found = await letters.read()
await letters.resend(found[0])
await picked
console.log(`rescued ${deliveries[1]}`)

await client.close()
broker.clock.advance({ hours: 2 })
console.log(`the broker's clock is ${Math.round((broker.clock.now() - Date.now()) / 3_600_000)} hours ahead`)
await broker.close()
rmSync(offsetDir, { recursive: true })
