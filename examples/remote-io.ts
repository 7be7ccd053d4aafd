/** How do I use the state of another machine, over a network that fails now and then? */
import { createServer } from 'ooo-cluster'
import { createClient, isStateError } from 'ooo-cluster/client'
import { MemoryStorage } from 'ooo-cluster/storage/memory'

const server = createServer({ storage: new MemoryStorage(), port: 0 })
await server.open()

// The first attempt of each call fails here; the client tries again, with growing delays.
let attempts = 0
const client = createClient({
  url: server.address?.url ?? '',
  requestTimeoutMs: 5000,
  retries: 3,
  retryBackoff: { initialMs: 10 },
  fetch: (input, init) => {
    attempts++
    if (attempts % 2 === 1) return Promise.reject(new TypeError('connection lost'))
    return fetch(input, init)
  },
})

await client.set('thermostat', { degrees: 21 })
await client.patch('thermostat', { mode: 'eco' })
console.log('thermostat:', (await client.get('thermostat'))?.data)
console.log('attempts for three calls:', attempts)

// What the server refuses is not tried again.
try {
  await client.patch('absent', {})
} catch (error) {
  console.log('refused:', isStateError(error) ? error.code : error)
}

client.close()
await server.close()
