/** How do I bound a list and check what goes into it? */
import { createServer } from 'ooo-cluster'
import { createClient, isStateError } from 'ooo-cluster/client'
import { MemoryStorage } from 'ooo-cluster/storage/memory'

const server = createServer({ storage: new MemoryStorage(), port: 0 })
const schema = {
  type: 'object',
  required: ['sensor', 'value'],
  properties: { sensor: { type: 'string' }, value: { type: 'number' } },
}
// The first write filter of a path decides, so the check comes before the limit.
server.filters.write('readings/*', () => undefined, { schema })
server.filters.limit('readings/*', { limit: 2, order: 'asc' })
await server.open()
const client = createClient({ url: server.address?.url ?? '' })

for (const value of [20, 21, 22]) await client.push('readings/*', { sensor: 'attic', value })
try {
  await client.push('readings/*', { sensor: 'attic', value: 'warm' })
} catch (error) {
  console.log('refused:', isStateError(error), String(error).includes('value'))
}
const readings = await client.getList<{ readonly value: number }>('readings/*')
console.log('oldest first:', readings.map(({ data }) => data.value).join(', '))

client.close()
await server.close()
