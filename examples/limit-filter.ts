/** How do I keep only the newest entries of a list? */
import { createServer } from 'ooo-cluster'
import { createClient } from 'ooo-cluster/client'
import { MemoryStorage } from 'ooo-cluster/storage/memory'

const server = createServer({ storage: new MemoryStorage(), port: 0, static: true })
// Opens the list for reads, writes and deletes. Older entries are hidden at once, then removed.
server.filters.limit('events/*', { limit: 3, maxAgeMs: 24 * 60 * 60 * 1000 })
await server.open()
const client = createClient({ url: server.address?.url ?? '' })

for (let i = 1; i <= 5; i++) await client.push('events/*', { number: i })
const events = await client.getList<{ readonly number: number }>('events/*')
console.log('events:', events.map(({ data }) => data.number).join(', '))

client.close()
await server.close()
