/** A voter whose data was copied: two nodes with one id and one name do not count as two. */
import { expect, it } from 'vitest'
import type { ElectedOptions } from '../../../cluster/election/options.ts'
import { createSystemTime } from '../../../src/server/process/system-time.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { LeaseServer, leaseOver } from '../../support/virtual-lease.ts'
import { waitFor } from '../../support/wait.ts'
import { startNode, type TestNode } from '../nodes.ts'

/** Long enough that no lease lapses because the machine is busy. */
const LEASE_MS = 15_000

async function copyOf(storage: MemoryStorage): Promise<MemoryStorage> {
  const copy = new MemoryStorage()
  await Promise.all([storage.open(), copy.open()])
  for await (const [key, value] of storage.iterate())
    await copy.batch([{ type: 'put', key, value }])
  await Promise.all([storage.close(), copy.close()])
  return copy
}

async function reasonsOf(node: TestNode): Promise<string> {
  return (await node.request('GET', '/-/readyz')).body
}

it('a clone of a voter does not vote, also when the voter is gone', async () => {
  const server = new LeaseServer(createSystemTime(), LEASE_MS)
  const election = (voter: string): ElectedOptions => ({
    kind: 'custom',
    make: (self) => leaseOver(server, self, async () => undefined),
    ...{ voter, voters: ['a', 'b', 'c'] },
  })
  const storage = new MemoryStorage()
  const leader = await startNode({ name: 'a', election: election('a') })
  await waitFor(() => leader.plugin.status()?.lease?.state === 'leader')
  const other = await startNode({ name: 'b', election: election('b') })
  const first = await startNode({ name: 'c', election: election('c'), storage })
  const votes = (): number => {
    const { attendance = [], decides } = leader.plugin.status()?.voters ?? {}
    return decides ? attendance.filter(({ connected }) => connected).length : 0
  }
  await waitFor(() => votes() === 3, { what: 'three voters' })
  await first.server.close()
  const copy = await copyOf(storage)
  const original = await startNode({ name: 'c', election: election('c'), storage })
  await waitFor(() => votes() === 3, { what: 'the voter to be back' })
  const clone = await startNode({ name: 'c', election: election('c'), storage: copy })
  expect(clone.id).toBe(original.id)
  await waitFor(async () => (await reasonsOf(clone)).includes('new-identity'))
  await waitFor(async () => (await reasonsOf(leader)).includes('new-identity'))
  expect(votes()).toBe(3)

  await Promise.all([other.server.close(), original.server.close()])
  await waitFor(() => votes() === 1, { what: 'the voters to be gone' })
  const refusals = (): number => leader.plugin.status()?.refusals.counts.duplicate_node ?? 0
  const before = refusals()
  await waitFor(() => refusals() > before + 2, { what: 'the clone to try again' })
  expect(votes()).toBe(1)
  const write = '/items/x?ack=majority&ackTimeoutMs=300'
  expect((await leader.request('POST', write, '1')).status).toBe(504)
})
