// Compiled, not run: the types as an application in strict TypeScript sees them.
import { Client, ConsumeResult, MqError, SendStatus, TimeoutError, setLogHook, testing, version } from '@libmq/client'
import type { ConsumerWarning, MessageQueue, Message, MessageView, QueueChange, SendReceipt } from '@libmq/client'

const broker: testing.Broker = await testing.Broker.start({ dataDir: '/tmp/x', flushDiskType: 'SYNC_FLUSH', listenPort: 0 })
await broker.createTopic('t', { queues: 4 })
broker.faults.failNext('SEND_MESSAGE', { code: 'SYSTEM_BUSY', times: 3 })
broker.faults.loseAnswerNext(310)
broker.clock.advance({ hours: 2 })
broker.clock.set(broker.clock.now() + 1000)
await using client = await Client.connect({ namesrv: [broker.address], requestTimeout: 3000, settings: { poll_name_server_interval: '30s' } })
const short: Client = await Client.connect(broker.address)
short.ref().unref()

await using producer = client.producer({ group: 'g', sendTimeout: 1000 })
const message: Message = { topic: 't', body: new Uint8Array(3), keys: ['a'], properties: { a: 'b' } }
const receipt: SendReceipt = await producer.send(message, { signal: AbortSignal.timeout(1000), timeout: 500 })
if (receipt.status === SendStatus.Ok) console.log(receipt.messageId.length + receipt.queueOffset)
await producer.sendBatch([message, { topic: 't', body: 'text' }])
await producer.sendOneway(message, {})
const queues: MessageQueue[] = await producer.queues('t', { signal: AbortSignal.timeout(1000) })
await producer.send(message, { queue: queues[0], timeout: 500 })
for (const list of producer.split([message])) await producer.sendBatch(list)
const nothing: void = await producer.close({ timeout: 100 })

const received: MessageView[] = []
await using consumer = await client.pushConsumer({
  group: 'g',
  subscriptions: { t: '*' },
  consumeFromWhere: 'FIRST',
  onMessage: async (view) => {
    const body: Buffer = view.body
    const tag: string | undefined = view.tag
    return body.length > 0 && tag ? ConsumeResult.Success : ConsumeResult.later(3)
  },
  onError: (error, view) => console.error(error, view.messageId),
})
consumer.suspend()
consumer.resume()
await consumer.subscribe('u')
await consumer.subscribe('u', 'a || b', { signal: AbortSignal.timeout(1000) })
await consumer.unsubscribe('u', {})
await client.pushConsumer({ group: 'g', subscriptions: { t: '*' }, onMessage: (view) => received.push(view) })
await client.pushConsumer({ group: 'g', subscriptions: { t: '*' }, onMessages: (views) => { received.push(...views) } })

await client.pushConsumer({
  group: 'g',
  subscriptions: { t: '*' },
  consumeMode: 'ORDERLY',
  onMessages: () => ConsumeResult.suspend(100),
  onWarning: (warning: ConsumerWarning) => console.warn(warning.name, warning.message),
})
await using puller = await client.pullConsumer({ group: 'g', autoCommit: false })
await puller.assign(queues)
for (const queue of puller.assignment) await puller.seek(queue, 'begin')
await puller.seek({ topic: 't', brokerName: 'b', queueId: 0 }, new Date())
for await (const view of puller) console.log(view.body)
const polled: MessageView[] = await puller.poll({ timeout: 0 })
await puller.commit(new Map([[queues[0]!, 3]]))
const committed: number | undefined = await puller.committed(queues[0]!)
await puller.onQueueChange('t', (change: QueueChange) => console.log(change.assigned.length, committed))
for (const letter of await client.deadLetters('g').read({ max: 3 })) await client.deadLetters('g').resend(letter)

try {
  await producer.send(message)
} catch (error) {
  if (error instanceof TimeoutError) console.log(error.retryable, error.brokerCode?.toFixed())
  else if (error instanceof MqError && error.code === 'QUEUE_FULL') console.log(error.message)
}
setLogHook(({ level, target, message }) => console.log(level === 'WARN', target, message), 'debug')
setLogHook(null)
console.log(version, nothing, polled.length)

// @ts-expect-error a message needs a body
await producer.send({ topic: 't' })
// @ts-expect-error a fault needs its answer
broker.faults.failNext('SEND_MESSAGE')
// @ts-expect-error no such place in a queue
await puller.seek(queues[0]!, 'middle')
// @ts-expect-error an expression is a text
await consumer.subscribe('u', ['a', 'b'])
// @ts-expect-error a misspelt field
await producer.send({ topic: 't', body: 'x', tags: 'a' })
// @ts-expect-error an unknown option; `settings` takes the others
client.producer({ sendTimeot: 1 })
// @ts-expect-error clients are made by Client.connect
new Client()
// @ts-expect-error a listener is a function
await client.pushConsumer({ group: 'g', subscriptions: {}, onMessage: 'x' })
