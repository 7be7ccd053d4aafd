/** What is sent to a leader of which nothing tells whether it was deleted is told; what is refilled as usual is not. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { type SiteNode, VirtualSite } from '../../cluster/virtual-site.ts'

const RETENTION_MS = 80_000
const OPTIONS = { retentionMs: RETENTION_MS }
/** After so long no tombstone is left. */
const AGES_MS = 300_000

let site: VirtualSite

beforeEach(() => {
  site = new VirtualSite()
})

afterEach(() => site.stop())

async function loseDisk(node: SiteNode): Promise<void> {
  node.kill()
  node.storage = new MemoryStorage()
  await node.start()
}

function unproven(node: SiteNode): number {
  return node.engine.status().links[0]?.unproven ?? 0
}

async function joined(...nodes: readonly SiteNode[]): Promise<void> {
  await site.until('joined', () => nodes.every((node) => node.isSettled))
  await site.run(10_000)
}

/** A leader with followers in step, of which `away` has stopped; `gone` was deleted meanwhile and is forgotten. */
async function withOneAway(): Promise<[leader: SiteNode, follower: SiteNode, away: SiteNode]> {
  const leader = await site.node('leader', OPTIONS)
  const follower = await site.node('follower', { ...OPTIONS, follows: 'leader' })
  const away = await site.node('away', { ...OPTIONS, follows: 'leader' })
  for (const key of ['items/kept', 'items/gone']) await leader.store.set(key, '1')
  await site.agree()
  await away.stop()
  await leader.store.delete('items/gone')
  await site.run(AGES_MS)
  return [leader, follower, away]
}

describe('a leader whose disk was lost', () => {
  test('is refilled by its followers without a word', async () => {
    const [leader, follower] = await withOneAway()
    const other = await site.node('other', { ...OPTIONS, follows: 'leader' })
    await joined(other)
    // Nothing is written in the meantime.
    await site.run(AGES_MS)
    await loseDisk(leader)
    await joined(follower, other)
    expect(await leader.data('items/kept')).toBe('1')
    expect([unproven(follower), unproven(other)]).toEqual([0, 0])
  })

  test('gets entries from one that was away, which says so', async () => {
    const [leader, follower, away] = await withOneAway()
    await loseDisk(leader)
    await joined(follower)
    await away.start()
    await joined(away)
    expect(await leader.data('items/gone')).toBe('1')
    expect(unproven(away)).toBe(1)
    expect(away.logged.join()).toContain('nothing tells whether they were deleted')
  })

  test('gets entries from one that was away and comes first, which says so', async () => {
    const [leader, follower, away] = await withOneAway()
    await follower.stop()
    await loseDisk(leader)
    await away.start()
    await joined(away)
    expect(unproven(away)).toBe(2)
  })

  test('in the middle of a tree: from one that was away, which says so', async () => {
    const root = await site.node('root', OPTIONS)
    const middle = await site.node('middle', { ...OPTIONS, follows: 'root' })
    const away = await site.node('away', { ...OPTIONS, follows: 'middle' })
    const edge = await site.node('edge', { ...OPTIONS, follows: 'middle' })
    for (const key of ['items/kept', 'items/gone']) await root.store.set(key, '1')
    await site.agree()
    await away.stop()
    await root.store.delete('items/gone')
    await site.run(AGES_MS)
    await loseDisk(middle)
    await joined(middle, edge)
    await away.start()
    await joined(away, middle)
    expect(await root.data('items/gone')).toBe('1')
    expect([unproven(away), unproven(edge)]).toEqual([1, 0])
  })

  test('gets what was written while away without a word', async () => {
    const [leader, follower, away] = await withOneAway()
    await away.start()
    await joined(away)
    away.isolate()
    await away.store.set('items/new', '1')
    await site.run(RETENTION_MS * 2)
    await loseDisk(leader)
    await joined(follower)
    site.network.healAll()
    await joined(away)
    expect(await leader.data('items/new')).toBe('1')
    expect(unproven(away)).toBe(0)
  })
})
