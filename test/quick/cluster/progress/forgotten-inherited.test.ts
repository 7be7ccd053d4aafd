/**
 * A node that followed a leader has lost what that had forgotten, though it removed no tombstone itself. When it
 * leads, what was away brings nothing back.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { backUp, restore } from '../../../cluster/site-backup.ts'
import { type SiteNode, VirtualSite } from '../../../cluster/virtual-site.ts'

const OPTIONS = { retentionMs: 80_000 }
/** After so long no tombstone is left. */
const AGES_MS = 300_000

let site: VirtualSite

beforeEach(() => {
  site = new VirtualSite()
})

afterEach(() => site.stop())

async function items(node: SiteNode): Promise<string[]> {
  return (await node.store.list('items/*')).map(({ key }) => key.slice('items/'.length)).sort()
}

async function startWith(node: SiteNode, follows: string | undefined): Promise<void> {
  node.follows = follows
  await node.start()
}

/** A leader; `away` has stopped with `gone`, which is deleted and forgotten. */
async function deletedWhileAway(): Promise<[leader: SiteNode, away: SiteNode]> {
  const leader = await site.node('leader', OPTIONS)
  const away = await site.node('away', { ...OPTIONS, follows: 'leader' })
  for (const key of ['items/kept', 'items/gone']) await leader.store.set(key, '1')
  await site.agree()
  await away.stop()
  return [leader, away]
}

async function deleteAndForget(leader: SiteNode): Promise<void> {
  await leader.store.delete('items/gone')
  await site.run(AGES_MS)
  const records = [...(await leader.records()).values()]
  expect(records.filter(({ kind }) => kind === 'tombstone')).toEqual([])
}

/** It followed the leader, and leads from now on. */
async function promote(before: SiteNode, next: SiteNode): Promise<void> {
  await site.agree()
  await before.stop()
  await next.stop()
  await startWith(next, undefined)
}

async function comesBack(away: SiteNode, follows: string): Promise<void> {
  await startWith(away, follows)
  await site.until('joined', () => away.isSettled)
  await site.run(10_000)
}

describe('what was forgotten before it came is inherited by', () => {
  test('a follower that leads now', async () => {
    const [leader, away] = await deletedWhileAway()
    await deleteAndForget(leader)
    const next = await site.node('next', { ...OPTIONS, follows: 'leader' })
    await promote(leader, next)
    await comesBack(away, 'next')
    expect(await items(next)).toEqual(['kept'])
    expect(await items(away)).toEqual(['kept'])
  })

  test('a follower of that, which leads now', async () => {
    const [leader, away] = await deletedWhileAway()
    await deleteAndForget(leader)
    const middle = await site.node('middle', { ...OPTIONS, follows: 'leader' })
    const next = await site.node('next', { ...OPTIONS, follows: 'leader' })
    await site.agree()
    await next.stop()
    await promote(leader, middle)
    await startWith(next, 'middle')
    await promote(middle, next)
    await comesBack(away, 'next')
    expect(await items(next)).toEqual(['kept'])
  })

  test('a follower that is followed itself', async () => {
    const [leader, away] = await deletedWhileAway()
    await deleteAndForget(leader)
    const middle = await site.node('middle', { ...OPTIONS, follows: 'leader' })
    await site.agree()
    await comesBack(away, 'middle')
    for (const node of [leader, middle, away]) expect(await items(node)).toEqual(['kept'])
  })

  test.each(['that had its tombstones', 'that came after they were removed'])(
    'a leader made from a backup of a follower %s',
    async (when) => {
      const [leader, away] = await deletedWhileAway()
      const isThere = when === 'that had its tombstones'
      const join = () => site.node('follower', { ...OPTIONS, follows: 'leader' })
      if (isThere) await join()
      await site.agree()
      await deleteAndForget(leader)
      if (!isThere) await join()
      await site.agree()
      const follower = site.nodes.find(({ host }) => host === 'follower')
      if (follower === undefined) throw new Error('no follower')
      const backup = await backUp(site, follower)
      await leader.stop()
      await restore(site, leader, backup, true)
      await leader.start()
      await comesBack(away, 'leader')
      expect(await items(leader)).toEqual(['kept'])
      expect(await items(away)).toEqual(['kept'])
    },
  )
})
