import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { BatchOperation } from '../../../src/core/ports/storage-adapter.ts'
import { metaRow, sealRow, unsealRow } from '../../../src/store/format/rows.ts'
import { IN_STEP_ROW } from '../../../src/store/lineage/in-step.ts'
import { PLACEMENT_ROW, progressRow } from '../../../src/store/lineage/link-rows.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { backUp, restore } from '../../cluster/site-backup.ts'
import { type SiteNode, VirtualSite } from '../../cluster/virtual-site.ts'

const RETENTION_MS = 80_000
/** After so long no tombstone is left. */
const AGES_MS = 300_000
const OPTIONS = { retentionMs: RETENTION_MS }

let site: VirtualSite

beforeEach(() => {
  site = new VirtualSite()
})

afterEach(() => site.stop())

async function items(node: SiteNode): Promise<string[]> {
  return (await node.store.list('items/*')).map(({ key }) => key.slice('items/'.length)).sort()
}

async function tombstones(node: SiteNode): Promise<number> {
  const records = [...(await node.records()).values()]
  return records.filter(({ kind }) => kind === 'tombstone').length
}

/** A leader that is also known as `alias`, and a follower that has `kept` and `gone` from it, in step. */
async function inStep(): Promise<[SiteNode, SiteNode]> {
  const leader = await site.node('leader', { ...OPTIONS, aliases: ['alias'] })
  const follower = await site.node('follower', { ...OPTIONS, follows: 'leader' })
  for (const key of ['items/kept', 'items/gone']) await leader.store.set(key, '1')
  await follower.store.set('items/gone-too', '1')
  await site.agree()
  return [leader, follower]
}

/** The follower has stopped; what it holds is deleted, and the deletes are forgotten. */
async function deleteAll(leader: SiteNode): Promise<void> {
  await leader.store.delete('items/gone')
  await leader.store.delete('items/gone-too')
  await site.run(AGES_MS)
  expect(await tombstones(leader)).toBe(0)
}

async function startWith(node: SiteNode, follows: string | undefined): Promise<void> {
  node.follows = follows
  await node.start()
}

/** Writes while it follows somebody else, then goes back to `leader`. */
async function detour(node: SiteNode, follows: string | undefined, key: string): Promise<void> {
  await startWith(node, follows)
  await node.store.set(key, '"meanwhile"')
  await site.run(10_000)
  await node.stop()
  node.follows = 'leader'
}

async function joined(node: SiteNode): Promise<void> {
  await site.until('joined', () => node.isSettled)
  await site.run(10_000)
}

/** Earlier builds knew leaders by their addresses only. */
async function asEarlierBuild(storage: MemoryStorage): Promise<void> {
  const [link, placement] = [metaRow(progressRow('http://leader')), metaRow(PLACEMENT_ROW)]
  await storage.open()
  const rows: BatchOperation[] = [{ type: 'del', key: metaRow(IN_STEP_ROW) }]
  for (const key of [link, placement]) {
    const text = unsealRow(key, (await storage.get(key)) ?? '') ?? '{}'
    const { leader: _leader, until: _until, ...fields } = JSON.parse(text) as StoredFields
    rows.push({ type: 'put', key, value: sealRow(key, JSON.stringify(fields)) })
  }
  await storage.batch(rows)
  await storage.close()
}

interface StoredFields {
  readonly leader?: string
  readonly until?: number
}

describe('a follower away for longer than the retention brings nothing back', () => {
  test('when it is given another name of its leader', async () => {
    const [leader, follower] = await inStep()
    await follower.stop()
    await deleteAll(leader)
    await startWith(follower, 'alias')
    await joined(follower)
    expect(await items(leader)).toEqual(['kept'])
    expect(await items(follower)).toEqual(['kept'])
  })

  test('when it is given another name after a crash', async () => {
    const [leader, follower] = await inStep()
    follower.kill()
    await deleteAll(leader)
    await startWith(follower, 'alias')
    await joined(follower)
    expect(await items(leader)).toEqual(['kept'])
  })

  test.each(['leader', 'alias'])(
    'when its storage was written by an earlier build, at %s',
    async (host) => {
      const [leader, follower] = await inStep()
      await follower.stop()
      await asEarlierBuild(follower.storage)
      await deleteAll(leader)
      await startWith(follower, host)
      await joined(follower)
      expect(await items(leader)).toEqual(['kept'])
      expect(await items(follower)).toEqual(['kept'])
    },
  )

  test('when it had a wrong address once, and wrote in that time', async () => {
    const [leader, follower] = await inStep()
    await follower.stop()
    await detour(follower, 'nowhere', 'items/new')
    await deleteAll(leader)
    await follower.start()
    await joined(follower)
    expect(await items(leader)).toEqual(['kept', 'new'])
    expect(await items(follower)).toEqual(['kept', 'new'])
  })

  test('when it led itself for a while, and what it wrote then is kept', async () => {
    const [leader, follower] = await inStep()
    await follower.stop()
    await detour(follower, undefined, 'items/new')
    await deleteAll(leader)
    await follower.start()
    await joined(follower)
    expect(await items(leader)).toEqual(['kept', 'new'])
  })

  test('when it followed an unrelated node, which took what it wrote', async () => {
    const [leader, follower] = await inStep()
    const other = await site.node('other', OPTIONS)
    follower.isolate()
    await follower.store.set('items/owed', '1')
    await follower.stop()
    site.network.healAll()
    await detour(follower, 'other', 'items/new')
    expect(await items(other)).toContain('owed')
    await deleteAll(leader)
    // Deletes that were made after all of these writes are forgotten too.
    await leader.store.set('items/later', '1')
    await leader.store.delete('items/later')
    await site.run(AGES_MS)
    await follower.start()
    await joined(follower)
    expect(await items(leader)).toEqual(['kept', 'new', 'owed'])
  })

  test('when another node answered under the address of its leader', async () => {
    const [leader, follower] = await inStep()
    const other = await site.node('other', OPTIONS)
    await leader.stop()
    other.answersAs('leader')
    await site.until('joined the other', async () => (await items(other)).includes('kept'))
    await joined(follower)
    await follower.store.set('items/new', '1')
    await joined(follower)
    await follower.stop()
    site.network.unlisten('leader')
    await leader.start()
    await deleteAll(leader)
    await follower.start()
    await joined(follower)
    expect(await items(leader)).toEqual(['kept', 'new'])
  })

  test('when its comparison under the new name was broken off, and it was away again', async () => {
    const [leader, follower] = await inStep()
    await follower.stop()
    await deleteAll(leader)
    for (let i = 0; i < 500; i++) await leader.store.set(`items/n${i}`, '1')
    await startWith(follower, 'alias')
    const isComparing = (): boolean => follower.engine.status().links[0]?.state === 'comparing'
    await site.until('some came', async () => isComparing() && (await items(follower)).length > 20)
    await follower.stop()
    await leader.store.delete('items/n*')
    await site.run(AGES_MS)
    await startWith(follower, 'leader')
    await joined(follower)
    expect(await items(leader)).toEqual(['kept'])
    expect(await items(follower)).toEqual(['kept'])
  })

  test('when it is restored from a backup of its own, but for what it owed in it', async () => {
    const [leader, follower] = await inStep()
    follower.isolate()
    await follower.store.set('items/owed', '1')
    const backup = await backUp(site, follower)
    site.network.healAll()
    await follower.stop()
    await deleteAll(leader)
    await restore(site, follower, backup)
    await follower.start()
    await joined(follower)
    expect(await items(leader)).toEqual(['kept', 'owed'])
    expect(await items(follower)).toEqual(['kept', 'owed'])
  })

  test('when it is made from an old backup of its leader', async () => {
    const [leader, follower] = await inStep()
    const backup = await backUp(site, leader)
    await follower.stop()
    await deleteAll(leader)
    const copy = await site.node('copy', OPTIONS)
    await copy.stop()
    await restore(site, copy, backup, true)
    await startWith(copy, 'leader')
    await joined(copy)
    expect(await items(leader)).toEqual(['kept'])
    expect(await items(copy)).toEqual(['kept'])
  })
})

describe('under another leader that had followed the one before', () => {
  /** `next` has been in step with `leader` all the time; it leads now. */
  async function succeed(leader: SiteNode, next: SiteNode): Promise<void> {
    const isInStep = (): boolean => next.engine.status().links[0]?.cursor === leader.store.head
    await site.until('in step', () => next.isSettled && isInStep())
    await leader.stop()
    await next.stop()
    await startWith(next, undefined)
  }

  test('a follower that was away brings nothing back, but for what it wrote', async () => {
    const [leader, follower] = await inStep()
    const next = await site.node('next', { ...OPTIONS, follows: 'leader' })
    await site.agree()
    await follower.stop()
    await detour(follower, 'nowhere', 'items/new')
    await deleteAll(leader)
    await succeed(leader, next)
    await startWith(follower, 'next')
    await joined(follower)
    expect(await items(next)).toEqual(['kept', 'new'])
    expect(await items(follower)).toEqual(['kept', 'new'])
  })

  test('the leader before brings nothing back', async () => {
    const [leader, next] = await inStep()
    await succeed(leader, next)
    await deleteAll(next)
    await startWith(leader, undefined)
    await leader.store.set('items/new', '1')
    await leader.stop()
    await startWith(leader, 'follower')
    await joined(leader)
    expect(await items(next)).toEqual(['kept', 'new'])
  })

  test('what that did not take before it led is kept', async () => {
    const [leader, follower] = await inStep()
    const next = await site.node('next', { ...OPTIONS, follows: 'leader' })
    await site.agree()
    await next.stop()
    await leader.store.set('items/unseen', '1')
    await site.agree()
    await follower.stop()
    await leader.stop()
    await startWith(next, undefined)
    await next.store.set('items/other', '1')
    await next.store.delete('items/other')
    await site.run(AGES_MS)
    await startWith(follower, 'next')
    await joined(follower)
    expect(await items(next)).toContain('unseen')
  })
})

describe('a leader restored from a backup', () => {
  test('that was made after the deletes were forgotten: they stay deleted', async () => {
    const [leader, follower] = await inStep()
    await follower.stop()
    await deleteAll(leader)
    const backup = await backUp(site, leader)
    await leader.store.set('items/lost', '1')
    await leader.stop()
    await restore(site, leader, backup)
    await leader.start()
    await follower.start()
    await joined(follower)
    expect(await items(leader)).toEqual(['kept'])
    expect(await items(follower)).toEqual(['kept'])
  })

  test('of a restored leader: places of either log are known', async () => {
    const [leader, follower] = await inStep()
    await follower.stop()
    await deleteAll(leader)
    for (let i = 0; i < 2; i++) {
      const backup = await backUp(site, leader)
      await leader.stop()
      await restore(site, leader, backup)
      await leader.start()
    }
    await follower.start()
    await joined(follower)
    expect(await items(leader)).toEqual(['kept'])
  })

  test('that was made before a write gets that back, whatever was forgotten before', async () => {
    const [leader, follower] = await inStep()
    const away = await site.node('away', { ...OPTIONS, follows: 'leader' })
    await site.agree()
    await away.stop()
    await deleteAll(leader)
    await site.agree()
    const backup = await backUp(site, leader)
    await follower.store.set('items/acknowledged', '1')
    await leader.store.set('items/later', '1')
    await site.agree()
    await follower.stop()
    await leader.stop()
    await restore(site, leader, backup)
    await leader.start()
    await away.start()
    await follower.start()
    await site.agree()
    await site.run(10_000)
    for (const node of [leader, away, follower]) {
      expect(await items(node)).toEqual(['acknowledged', 'kept', 'later'])
    }
  })

  test('is told from one whose disk was lost, which gets everything', async () => {
    const [leader, follower] = await inStep()
    await follower.stop()
    await deleteAll(leader)
    await leader.stop()
    leader.storage = new MemoryStorage()
    await leader.start()
    await follower.start()
    await joined(follower)
    expect(await items(leader)).toEqual(['gone', 'gone-too', 'kept'])
  })
})

test('what is taken back without proof is told', async () => {
  const [leader, follower] = await inStep()
  const records = [...(await follower.records()).values()]
  await follower.stop()
  await deleteAll(leader)
  const stranger = await site.node('stranger', OPTIONS)
  await stranger.store.merge(records, { source: 'elsewhere' })
  await stranger.stop()
  await startWith(stranger, 'leader')
  await joined(stranger)
  expect(await items(leader)).toEqual(['gone', 'gone-too', 'kept'])
  expect(stranger.engine.status().links[0]?.unproven).toBe(2)
  expect(stranger.logged.join()).toContain('nothing tells whether they were deleted')
})
