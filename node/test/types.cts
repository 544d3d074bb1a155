// Compiled, not run: the types by require.
import libmq = require('@libmq/client')

async function main(): Promise<number> {
  const client = await libmq.Client.connect({ namesrv: 'localhost:9876' })
  const error: libmq.MqError | undefined = undefined
  const receipt: libmq.SendReceipt = await client.producer().send({ topic: 't', body: 'x' })
  return error ?? receipt.queueOffset
}
void main
