/** How do I read and write the store directly, and follow the server's clock? */
import { createServer } from 'ooo-cluster'
import { createClient } from 'ooo-cluster/client'
import { MemoryStorage } from 'ooo-cluster/storage/memory'
import WebSocket from 'ws'

const server = createServer({ storage: new MemoryStorage(), port: 0, tickMs: 50 })
await server.open()

// The store takes and gives JSON text; no filter looks at it. Stamps are nanoseconds, as bigint.
const { store } = server
await store.set('lamp', '{"on":true}')
const { index } = await store.push('log/*', '"switched on"')
console.log('lamp:', (await store.get('lamp'))?.data)
console.log(
  'keys:',
  (await store.keys()).length,
  'the log index is hexadecimal:',
  /^[0-9a-f]+$/.test(index),
)

// Subscribers hear of it like of any write.
const client = createClient({ url: server.address?.url ?? '', WebSocket })
const created = (await store.get('lamp'))?.created ?? 0n
await new Promise<void>((resolve) => {
  let ticks = 0
  client.clock((now) => {
    if (now > created && ++ticks === 2) resolve()
  })
})
console.log('the clock has ticked twice after the write')

client.close()
await server.close()
