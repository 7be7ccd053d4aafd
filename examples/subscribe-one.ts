/** How do I follow one value, also while it does not exist? */
import { createServer } from 'ooo-cluster'
import { createClient } from 'ooo-cluster/client'
import { MemoryStorage } from 'ooo-cluster/storage/memory'
import WebSocket from 'ws'

interface Settings {
  readonly theme: string
  readonly volume: number
}

const server = createServer({ storage: new MemoryStorage(), port: 0 })
await server.open()
const client = createClient({ url: server.address?.url ?? '', WebSocket })

let next: (() => void) | undefined
const subscription = client.subscribe<Settings>('settings', {
  // An absent key is undefined. Each state is a new object; those handed out before never change.
  onState: (entry) => {
    console.log('settings:', entry === undefined ? 'none' : JSON.stringify(entry.data))
    next?.()
  },
})
await seen(async () => undefined)
await seen(() => client.set('settings', { theme: 'dark', volume: 3 }))
await seen(() => client.patch('settings', { volume: 7 }))
await seen(() => client.delete('settings'))

subscription.close()
await server.close()

/** Does something and waits for the state that follows. */
async function seen(work: () => Promise<unknown>): Promise<void> {
  const heard = new Promise<void>((resolve) => {
    next = resolve
  })
  await work()
  await heard
}
