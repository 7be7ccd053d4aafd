/** How do I follow several lists at once, and act when any of them changes? */
import { createServer } from 'ooo-cluster'
import { type ClientEntry, createClient } from 'ooo-cluster/client'
import { MemoryStorage } from 'ooo-cluster/storage/memory'
import WebSocket from 'ws'

const server = createServer({ storage: new MemoryStorage(), port: 0 })
await server.open()
const client = createClient({ url: server.address?.url ?? '', WebSocket })

const lists = ['users/*', 'rooms/*', 'messages/*'] as const
const state = new Map<string, readonly ClientEntry[]>()
let wanted = { path: '', size: 0, done: (): void => undefined }

for (const path of lists) {
  client.subscribe(path, {
    onState: (entries) => {
      state.set(path, entries)
      if (path === wanted.path && entries.length === wanted.size) wanted.done()
    },
  })
}

await add('users/*', 'ann')
await add('rooms/*', 'kitchen')
await add('users/*', 'bob')
await add('messages/*', 'hello')

client.close()
await server.close()

/** Adds an entry and shows the size of every list once the change is seen. */
async function add(path: (typeof lists)[number], value: string): Promise<void> {
  const seen = new Promise<void>((done) => {
    wanted = { path, size: (state.get(path)?.length ?? 0) + 1, done }
  })
  await client.push(path, value)
  await seen
  const sizes = lists.map((list) => `${list} ${state.get(list)?.length ?? 0}`)
  console.log(`${path} changed:`, sizes.join(', '))
}
