/** How do I run a server, and read and write its state? */
import { createServer } from 'ooo-cluster'
import { createClient } from 'ooo-cluster/client'
import { MemoryStorage } from 'ooo-cluster/storage/memory'

interface Settings {
  readonly theme: string
  readonly volume: number
}

const server = createServer({ storage: new MemoryStorage(), port: 0 })
await server.open()
const client = createClient({ url: server.address?.url ?? '' })

// A plain key holds one value.
await client.set('settings', { theme: 'dark', volume: 3 })
await client.patch('settings', { volume: 7 })
const settings = await client.get<Settings>('settings')
console.log('settings:', settings?.data)

// A list is every key that a glob covers; a push makes the key.
await client.push('items/*', { title: 'first' })
await client.push('items/*', { title: 'second' })
const items = await client.getList<{ readonly title: string }>('items/*')
console.log('items, newest first:', items.map((item) => item.data.title).join(', '))

// What is not there is undefined, not an error.
await client.delete('settings')
console.log('after delete:', await client.get('settings'))

await server.close()
