import { afterEach, expect, test } from 'vitest'
import { cluster } from '../../../cluster/index.ts'
import { createServer, type Server } from '../../../src/server/server.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { waitForValue } from '../../support/wait.ts'

const servers: Server[] = []

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()))
})

/** A node that replicates `items/*` and keeps its newest three. */
async function startNode(clusterUrl?: string): Promise<Server> {
  const upstream = clusterUrl === undefined ? {} : { clusterUrl }
  const plugins = [cluster({ keys: [{ path: 'items/*' }], ...upstream })]
  const server = createServer({ storage: new MemoryStorage(), port: 0, plugins })
  server.filters.limit('items/*', { limit: 3 })
  await server.open()
  servers.push(server)
  return server
}

const stored = async (server: Server): Promise<string[]> =>
  (await server.store.list('items/*')).map((entry) => entry.data)

test('the leader alone thins out a limited list, also what followers have written', async () => {
  const leader = await startNode()
  const follower = await startNode(leader.address?.url)
  for (let i = 1; i <= 5; i++) await follower.push('items/*', i)
  for (const server of [leader, follower]) {
    await waitForValue(() => stored(server), ['5', '4', '3'], { what: 'the newest three' })
  }
})

test('a follower without its leader hides what is beyond the limit and deletes nothing', async () => {
  const leader = await startNode()
  const follower = await startNode(leader.address?.url)
  await leader.close()
  for (let i = 1; i <= 5; i++) await follower.push('items/*', i)
  expect(await stored(follower)).toEqual(['5', '4', '3', '2', '1'])
  expect((await follower.getList('items/*')).map(({ data }) => data)).toEqual([5, 4, 3])
})
