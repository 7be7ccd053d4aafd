/** How do I add routes of my own next to the data? */
import { createServer } from 'ooo-cluster'
import { MemoryStorage } from 'ooo-cluster/storage/memory'

interface Account {
  readonly balance: number
}

const server = createServer({ storage: new MemoryStorage(), port: 0 })

server.endpoint({
  path: '/accounts/{id}/deposit',
  description: 'Adds to the balance of an account',
  methods: {
    POST: {
      request: {
        type: 'object',
        required: ['amount'],
        properties: { amount: { type: 'number', exclusiveMinimum: 0 } },
      },
    },
  },
  // The body has been checked against the schema by now.
  fetch: async (_request, { variables, body, io }) => {
    const { amount } = body as { readonly amount: number }
    const { data } = await io.update<Account>(
      `accounts/${variables.id}`,
      ({ balance }) => ({ balance: balance + amount }),
      { initial: { balance: 0 } },
    )
    return Response.json(data)
  },
})
await server.open()

await deposit({ amount: 5 })
await deposit({ amount: -1 })
// Of those that come at once none is lost.
await Promise.all(Array.from({ length: 20 }, () => deposit({ amount: 1 })))
const stored = await fetch(`${server.address?.url}/accounts/ann`)
console.log('stored:', ((await stored.json()) as { data: Account }).data)

await server.close()

async function deposit(body: object): Promise<void> {
  const url = `${server.address?.url}/accounts/ann/deposit`
  const answer = await fetch(url, { method: 'POST', body: JSON.stringify(body) })
  console.log(answer.status, await answer.text())
}
