import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MemoryStorage } from '../../../../storage-adapters/memory/memory.ts'
import { type SiteNode, VirtualSite } from '../../../cluster/virtual-site.ts'

const RETENTION_MS = 80_000
const AGES_MS = 300_000

let site: VirtualSite

beforeEach(() => {
  site = new VirtualSite()
})

afterEach(() => site.stop())

async function tombstones(node: SiteNode): Promise<string[]> {
  const keys: string[] = []
  for (const record of (await node.records()).values()) {
    if (record.kind === 'tombstone') keys.push(record.key)
  }
  return keys
}

async function leaderAnd(...followers: string[]): Promise<[SiteNode, ...SiteNode[]]> {
  const options = { retentionMs: RETENTION_MS }
  const leader = await site.node('leader', options)
  const others: SiteNode[] = []
  for (const host of followers) {
    others.push(await site.node(host, { ...options, follows: 'leader' }))
  }
  return [leader, ...others]
}

/**
 * A delete of `settings` as old as now comes to the centre a minute later, from elsewhere, when `away` has
 * just gone. Ends when those that keep it for nobody may have removed it.
 */
async function deleteLate(centre: SiteNode, away: SiteNode): Promise<void> {
  await site.agree()
  const deleted = site.time.wallNs()
  await site.run(60_000)
  await away.stop()
  const late = { kind: 'tombstone' as const, key: 'settings', deleted, origin: 'other' }
  await centre.store.merge([late], { source: 'other' })
  await site.run(50_000)
}

function repairsOf(node: SiteNode): number {
  return node.engine.status().links[0]?.repairs ?? 0
}

describe('old tombstones', () => {
  test('are gone from all nodes in the end, and nobody takes that for a difference', async () => {
    const [leader, one, other] = await leaderAnd('one', 'other')
    for (const key of ['items/a', 'items/b', 'settings']) await leader.store.set(key, '1')
    await site.agree()
    await leader.store.delete('items/*')
    await one?.store.delete('settings')
    await site.agree()
    await site.run(AGES_MS)
    for (const node of [leader, one, other] as SiteNode[]) {
      expect(await tombstones(node)).toEqual([])
      expect(node.store.damageFindings).toEqual([])
    }
    expect([repairsOf(one as SiteNode), repairsOf(other as SiteNode)]).toEqual([0, 0])
    await leader.store.set('items/a', '2')
    await site.agree()
    expect(await other?.data('items/a')).toBe('2')
  })

  test('stay for at least the retention', async () => {
    const [leader] = await leaderAnd()
    await leader.store.set('settings', '1')
    await leader.store.delete('settings')
    await site.run(RETENTION_MS)
    expect(await tombstones(leader)).toEqual(['settings'])
    await site.run(RETENTION_MS)
    expect(await tombstones(leader)).toEqual([])
  })

  test('stay for a follower that is away for less than the retention, across a restart', async () => {
    const [leader, follower] = await leaderAnd('follower')
    for (let i = 0; i < 3; i++) await leader.store.set(`items/${i}`, '1')
    await site.agree()
    await follower?.stop()
    // Deletes that are old already: a region pushes them late.
    const old = [...(await leader.records()).values()].map(({ key }) => ({
      kind: 'tombstone' as const,
      key,
      deleted: site.time.wallNs(),
      origin: 'region',
    }))
    await site.run(60_000)
    await leader.store.merge(old, { source: 'region' })
    await leader.stop()
    await leader.start()
    await site.run(15_000)
    expect(await tombstones(leader)).toHaveLength(3)
    await follower?.start()
    await site.agree()
    expect(await follower?.store.list('items/*')).toEqual([])
    await site.run(AGES_MS)
    expect(await tombstones(leader)).toEqual([])
    expect(await tombstones(follower as SiteNode)).toEqual([])
  })

  test('are never removed with a retention of 0', async () => {
    const leader = await site.node('leader', { retentionMs: 0 })
    const follower = await site.node('follower', { follows: 'leader', retentionMs: RETENTION_MS })
    await leader.store.set('settings', '1')
    await leader.store.delete('settings')
    await site.agree()
    await site.run(AGES_MS)
    expect(await tombstones(leader)).toEqual(['settings'])
    expect(await tombstones(follower)).toEqual(['settings'])
  })

  test('that a region keeps for one follower are no difference to another, also after a restart', async () => {
    const options = { retentionMs: RETENTION_MS }
    const centre = await site.node('centre', options)
    const region = await site.node('region', { ...options, follows: 'centre' })
    const edge = await site.node('edge', { ...options, follows: 'region' })
    const away = await site.node('away', { ...options, follows: 'region' })
    await centre.store.set('settings', '1')
    await deleteLate(centre, away)
    expect(await tombstones(region)).toEqual(['settings'])
    expect(await tombstones(edge)).toEqual([])
    await region.stop()
    await centre.stop()
    await region.start()
    await site.run(15_000)
    expect(repairsOf(edge)).toBe(0)
    expect(await tombstones(edge)).toEqual([])
  })

  test('that only the centre still has come back to a region that took an older write for new', async () => {
    const options = { retentionMs: RETENTION_MS }
    const centre = await site.node('centre', options)
    const region = await site.node('region', { ...options, follows: 'centre' })
    const away = await site.node('away', { ...options, follows: 'centre' })
    const edge = await site.node('edge', { ...options, follows: 'region' })
    edge.isolate()
    await edge.store.set('settings', '"before the delete"')
    await edge.stop()
    await deleteLate(centre, away)
    expect([await tombstones(centre), await tombstones(region)]).toEqual([['settings'], []])
    site.network.healAll()
    await edge.start()
    await site.until('the write went up', () => edge.isSettled && region.isSettled)
    await site.until('the delete came down', async () => {
      const data = [await region.data('settings'), await edge.data('settings')]
      return data.every((value) => value === undefined)
    })
    await site.run(AGES_MS)
    expect([repairsOf(region), repairsOf(edge)]).toEqual([0, 0])
    for (const node of [centre, region, edge]) {
      expect(await node.data('settings')).toBeUndefined()
      expect(await tombstones(node)).toEqual([])
    }
  })

  test('that are owed stay until the leader has them', async () => {
    const [leader, follower] = await leaderAnd('follower')
    await leader.store.set('settings', '1')
    await site.agree()
    follower?.isolate()
    await follower?.store.delete('settings')
    await site.run(AGES_MS)
    expect(await tombstones(follower as SiteNode)).toEqual(['settings'])
    site.network.healAll()
    await site.until('deleted', async () => (await leader.data('settings')) === undefined)
  })
})

describe('a follower away for longer than the retention', () => {
  async function awayWhileDeleted(): Promise<[SiteNode, SiteNode]> {
    const [leader, follower] = await leaderAnd('follower')
    if (follower === undefined) throw new Error('no follower')
    await leader.store.set('items/kept', '1')
    await leader.store.set('items/gone', '1')
    await follower.store.set('items/gone2', '1')
    await site.agree()
    await follower.stop()
    await leader.store.delete('items/gone')
    await leader.store.delete('items/gone2')
    await site.run(AGES_MS)
    expect(await tombstones(leader)).toEqual([])
    return [leader, follower]
  }

  test('drops what was deleted meanwhile, tells its subscribers, and brings nothing back', async () => {
    const [leader, follower] = await awayWhileDeleted()
    await follower.start()
    const deleted: string[] = []
    follower.store.onCommit(({ changes }) => {
      for (const { key, before, after } of changes) {
        if (before !== undefined && after.kind === 'tombstone') deleted.push(key)
      }
    })
    await site.until('joined', () => follower.isSettled)
    await site.run(10_000)
    for (const node of [leader, follower]) {
      expect((await node.store.list('items/*')).map(({ key }) => key)).toEqual(['items/kept'])
    }
    expect(deleted.sort()).toEqual(['items/gone', 'items/gone2'])
    await site.run(AGES_MS)
    await site.agree()
    expect(await tombstones(follower)).toEqual([])
  })

  test('keeps its outbox: what it wrote while away reaches the leader', async () => {
    const [leader, follower] = await awayWhileDeleted()
    follower.isolate()
    await follower.start()
    await follower.store.set('items/gone', '"written while away"')
    await follower.store.set('items/new', '1')
    site.network.healAll()
    await site.until('pushed', () => follower.isSettled)
    await site.run(10_000)
    for (const node of [leader, follower]) {
      expect(await node.data('items/gone')).toBe('"written while away"')
      expect(await node.data('items/new')).toBe('1')
      expect(await node.data('items/gone2')).toBeUndefined()
    }
  })

  test('still knows after the comparison was broken off, and after a restart in its middle', async () => {
    const [leader, follower] = await awayWhileDeleted()
    for (let i = 0; i < 500; i++) await leader.store.set(`items/n${i}`, '1')
    await follower.start()
    await site.until(
      'comparing',
      () => follower.engine.status().links[0]?.state === 'comparing',
      2000,
    )
    await follower.stop()
    await follower.start()
    await site.until('joined', () => follower.isSettled)
    await site.run(10_000)
    expect(await leader.data('items/gone')).toBeUndefined()
    expect(await follower.data('items/gone')).toBeUndefined()
    expect(await follower.data('items/n499')).toBe('1')
  })

  test('tells its own followers', async () => {
    const [leader, region] = await leaderAnd('region')
    if (region === undefined) throw new Error('no region')
    const edge = await site.node('edge', { follows: 'region', retentionMs: RETENTION_MS })
    await leader.store.set('items/gone', '1')
    await leader.store.set('items/kept', '1')
    await site.agree()
    site.network.cut('leader', 'region')
    site.network.cut('region', 'leader')
    await leader.store.delete('items/gone')
    await site.run(AGES_MS)
    expect(await edge.data('items/gone')).toBe('1')
    site.network.healAll()
    await site.until('joined', () => region.isSettled)
    await site.run(AGES_MS)
    await site.agree()
    for (const node of [leader, region, edge]) {
      expect((await node.store.list('items/*')).map(({ key }) => key)).toEqual(['items/kept'])
      expect(await tombstones(node)).toEqual([])
    }
  })

  test('also when it left in the middle of its first copy', async () => {
    const [leader] = await leaderAnd()
    for (let i = 0; i < 500; i++) await leader.store.set(`items/${i}`, '1')
    const follower = await site.node('follower', { follows: 'leader', retentionMs: RETENTION_MS })
    const held = async (): Promise<number> => (await follower.store.list('items/*')).length
    await site.until('copying', async () => (await held()) > 0)
    expect(await held()).toBeLessThan(500)
    await follower.stop()
    await leader.store.delete('items/*')
    await leader.store.set('items/new', '1')
    await site.run(AGES_MS)
    await follower.start()
    await site.until('joined', () => follower.isSettled)
    await site.run(10_000)
    for (const node of [leader, follower]) {
      expect((await node.store.list('items/*')).map(({ key }) => key)).toEqual(['items/new'])
    }
  })

  test('drops nothing that the leader never had: what a node led itself before', async () => {
    const [leader, former] = await leaderAnd('former')
    if (former === undefined) throw new Error('no follower')
    await former.stop()
    former.follows = undefined
    await former.start()
    await former.store.set('items/own', '1')
    await leader.store.set('items/gone', '1')
    await leader.store.delete('items/gone')
    await site.run(AGES_MS)
    expect(leader.store.retention.floor).toBeGreaterThan(0)
    await former.stop()
    former.follows = 'leader'
    await former.start()
    await site.agree()
    expect(await leader.data('items/own')).toBe('1')
  })

  test('refills a leader whose disk was lost meanwhile, and drops nothing', async () => {
    const [leader, follower] = await awayWhileDeleted()
    await leader.stop()
    leader.storage = new MemoryStorage()
    await leader.start()
    await follower.start()
    await site.agree()
    expect(await leader.data('items/kept')).toBe('1')
    expect(await follower.data('items/kept')).toBe('1')
  })
})

test('a follower is remembered with its place while it is away, and forgotten after the retention', async () => {
  const [leader, follower] = await leaderAnd('follower')
  await leader.store.set('settings', '1')
  await site.agree()
  await site.run(5000)
  await follower?.stop()
  await leader.stop()
  await leader.start()
  const [known] = leader.engine.status().registered
  expect(known).toMatchObject({ name: 'follower', cursor: { seq: leader.store.head } })
  await site.run(AGES_MS)
  expect(leader.engine.status().registered).toEqual([])
  expect(leader.logged.join()).toContain('away too long')
})
