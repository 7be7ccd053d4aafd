/** How do I serve only chosen paths, check what is written, and ask for an API key? */
import { createServer, StateError } from 'ooo-cluster'
import { MemoryStorage } from 'ooo-cluster/storage/memory'

const API_KEY = 'let-me-in'

// In static mode nothing is served but what a filter opens.
const server = createServer({ storage: new MemoryStorage(), port: 0, static: true })

// Read by anyone, written through a filter that may refuse or change the value.
server.filters.open('notes/*')
server.filters.write('prices/*', (_key, data) => {
  const { amount } = data as { readonly amount?: unknown }
  if (typeof amount !== 'number' || amount < 0) throw new Error('amount must not be negative')
  return { amount, currency: 'EUR' }
})
server.filters.readList('prices/*', (_glob, entries) => entries)

// Every request passes the middleware, WebSocket handshakes too.
server.use((request, _response, next) => {
  if (request.headers['x-api-key'] !== API_KEY) {
    throw new StateError('unauthorized', 'the header X-Api-Key is missing or wrong')
  }
  return next()
})
await server.open()

await call('GET', '/notes/*', '')
await call('POST', '/notes/one', API_KEY, '"hello"')
await call('POST', '/prices/tea', API_KEY, '{"amount":-1}')
await call('POST', '/prices/tea', API_KEY, '{"amount":3}')
await call('POST', '/elsewhere', API_KEY, '1')
const prices = await fetch(`${server.address?.url}/prices/*`, { headers: { 'x-api-key': API_KEY } })
console.log('prices:', ((await prices.json()) as { data: unknown }[])[0]?.data)

await server.close()

async function call(method: string, path: string, key: string, body?: string): Promise<void> {
  const answer = await fetch(`${server.address?.url}${path}`, {
    method,
    headers: { 'x-api-key': key },
    body: body ?? null,
  })
  console.log(method, path, answer.status, await answer.text())
}
