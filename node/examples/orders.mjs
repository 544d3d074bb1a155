// Sends orders and consumes them: `node orders.mjs [host:port of a NameServer]`; without one it starts a broker of its own.
import { once } from 'node:events'
import { Client, testing } from '@libmq/client'

const broker = process.argv[2] ? null : await testing.Broker.start()
await broker?.createTopic('orders')
const client = await Client.connect(process.argv[2] ?? broker.address)

const done = new EventTarget()
let paid = 0
await client.pushConsumer({
  group: 'billing',
  subscriptions: { orders: 'paid || refunded' },
  consumeFromWhere: 'FIRST',
  onMessage: async (message) => {
    console.log(`charging order ${message.keys[0]}: ${message.body}`)
    if (++paid === 3) done.dispatchEvent(new Event('done'))
  },
})

const all = once(done, 'done')
const producer = client.producer({ group: 'orders' })
for (const [number, fruit] of ['apples', 'pears', 'plums'].entries()) {
  const receipt = await producer.send({ topic: 'orders', body: `42 ${fruit}`, tag: 'paid', keys: `order-${number}` })
  console.log(`order-${number} is message ${receipt.messageId} in queue ${receipt.queueId}`)
}
await producer.send({ topic: 'orders', body: 'a quince', tag: 'cancelled' }) // nobody subscribes to this tag
await all

await client.close()
await broker?.close()
console.log('3 orders charged')
