import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type StoredRecord, versionOf } from '../../../src/core/data/entry.ts'
import { NS_PER_MS } from '../../../src/core/ports/time.ts'
import { type SiteNode, VirtualSite } from '../../cluster/virtual-site.ts'

const YEARS_10_MS = 315_576_000_000
const DRIFT_NS = 60_000n * NS_PER_MS

let site: VirtualSite

beforeEach(() => {
  site = new VirtualSite()
})

afterEach(() => site.stop())

/** How far the greatest stamp of a node's records is ahead of true time. */
async function aheadNs(node: SiteNode): Promise<bigint> {
  let greatest = 0n
  for (const record of (await node.records()).values()) {
    if (versionOf(record) > greatest) greatest = versionOf(record)
  }
  return greatest - site.time.wallNs()
}

function linkOf(node: SiteNode) {
  const [link] = node.engine.status().links
  if (link === undefined) throw new Error(`${node.host} follows nobody`)
  return link
}

describe('a follower whose clock is ten years ahead', () => {
  test('keeps what it wrote offline, in order, in leader time, and nothing is lost', async () => {
    const leader = await site.node('leader')
    const follower = await site.node('follower', { follows: 'leader', skewMs: YEARS_10_MS })
    follower.isolate()
    await follower.store.set('items/a', '"first"')
    await follower.store.set('items/b', '"second"')
    await follower.store.set('items/a', '"third"')
    await follower.store.set('items/gone', '1')
    await follower.store.delete('items/gone')
    expect(await aheadNs(follower)).toBeGreaterThan(BigInt(YEARS_10_MS - 1000) * NS_PER_MS)
    site.network.healAll()
    await site.agree()
    expect(await leader.data('items/a')).toBe('"third"')
    expect(await leader.data('items/b')).toBe('"second"')
    expect(await leader.data('items/gone')).toBeUndefined()
    expect(await aheadNs(leader)).toBeLessThan(DRIFT_NS)
    const records = await leader.records()
    const at = (key: string): bigint => versionOf(records.get(key) as StoredRecord)
    expect([at('items/b'), at('items/a'), at('items/gone')]).toEqual(
      [at('items/b'), at('items/a'), at('items/gone')].sort((a, b) => (a < b ? -1 : 1)),
    )
  })

  test('the refusals are counted on both sides and told in the log once', async () => {
    const leader = await site.node('leader')
    const follower = await site.node('follower', { follows: 'leader', skewMs: YEARS_10_MS })
    follower.isolate()
    for (let i = 0; i < 30; i++) await follower.store.set(`items/${i}`, '1')
    site.network.healAll()
    await site.agree()
    expect(linkOf(follower).drifted).toBe(30)
    expect(leader.engine.status().followers[0]?.drifted).toBe(30)
    expect(leader.logged.filter((text) => text.includes('too far in the future'))).toHaveLength(1)
    expect(follower.logged.join()).toContain('stamps go on in leader time')
  })

  test('writes on in leader time once it has met the leader, also at other keys', async () => {
    const leader = await site.node('leader')
    const follower = await site.node('follower', { follows: 'leader', skewMs: YEARS_10_MS })
    follower.isolate()
    await follower.store.set('items/a', '1')
    await follower.store.set('unreplicated', '1')
    site.network.healAll()
    await site.until('live', () => follower.isSettled)
    const refusedBefore = linkOf(follower).drifted
    await follower.store.set('items/c', '1')
    await follower.store.set('items/a', '2')
    await site.until('pushed', () => follower.isSettled)
    expect(linkOf(follower).drifted).toBe(refusedBefore)
    expect(await leader.data('items/a')).toBe('2')
    expect(follower.clock.last - site.time.wallNs()).toBeLessThan(DRIFT_NS)
  })

  test('a later write elsewhere wins over the restamped one', async () => {
    const leader = await site.node('leader')
    const follower = await site.node('follower', { follows: 'leader', skewMs: YEARS_10_MS })
    follower.isolate()
    await follower.store.set('settings', '"old"')
    site.network.healAll()
    await site.agree()
    await site.run(1000)
    await leader.store.set('settings', '"new"')
    await site.agree()
    expect(await follower.data('settings')).toBe('"new"')
  })

  test('a restamped write wins over what the leader held before, at the same key', async () => {
    const leader = await site.node('leader')
    const follower = await site.node('follower', { follows: 'leader' })
    await leader.store.set('settings', '"leader"')
    await site.agree()
    follower.isolate()
    follower.skewMs = YEARS_10_MS
    await follower.store.set('settings', '"follower"')
    site.network.healAll()
    await site.agree()
    expect(await leader.data('settings')).toBe('"follower"')
  })

  test('restarts in between change nothing: the outbox is restamped when the leader is met', async () => {
    const leader = await site.node('leader')
    const follower = await site.node('follower', { follows: 'leader', skewMs: YEARS_10_MS })
    follower.isolate()
    await follower.store.set('items/a', '1')
    await follower.stop()
    follower.skewMs = 0
    await follower.start()
    await follower.store.set('items/b', '2')
    expect(await aheadNs(follower)).toBeGreaterThan(BigInt(YEARS_10_MS - 1000) * NS_PER_MS)
    site.network.healAll()
    await site.agree()
    expect(await leader.data('items/b')).toBe('2')
    expect(await aheadNs(leader)).toBeLessThan(DRIFT_NS)
  })

  test('followers of its own come down with it, and later writes win there too', async () => {
    const leader = await site.node('leader')
    const region = await site.node('region', { follows: 'leader', skewMs: YEARS_10_MS })
    const edge = await site.node('edge', { follows: 'region' })
    site.network.cut('leader', 'region')
    site.network.cut('region', 'leader')
    await region.store.set('settings', '"ahead"')
    await site.until('the edge has it', async () => (await edge.data('settings')) === '"ahead"')
    await edge.store.set('items/e', '"edge"')
    site.network.healAll()
    await site.agree()
    expect(await aheadNs(edge)).toBeLessThan(DRIFT_NS)
    await leader.store.set('settings', '"later"')
    await site.agree()
    expect(await edge.data('settings')).toBe('"later"')
    expect(await leader.data('items/e')).toBe('"edge"')
  })

  test('its own followers that were away when it came down do not bring the old stamps back', async () => {
    const leader = await site.node('leader')
    const region = await site.node('region', { follows: 'leader', skewMs: YEARS_10_MS })
    const edge = await site.node('edge', { follows: 'region' })
    site.network.cut('leader', 'region')
    site.network.cut('region', 'leader')
    await region.store.set('settings', '"ahead"')
    await site.until('the edge has it', async () => (await edge.data('settings')) === '"ahead"')
    await site.until('the edge is live', () => edge.isSettled)
    await edge.stop()
    site.network.healAll()
    await site.until('the region came down', () => region.isSettled)
    await leader.store.set('settings', '"later"')
    await site.agree()
    await edge.start()
    await site.agree()
    expect(await edge.data('settings')).toBe('"later"')
    expect(linkOf(edge).drifted).toBe(0)
  })
})

describe('a follower whose clock is behind', () => {
  test('booted in 1970 with an empty disk it takes the leader time for the truth', async () => {
    const leader = await site.node('leader')
    await leader.store.set('settings', '1')
    const follower = await site.node('follower', {
      follows: 'leader',
      skewMs: -Number(site.time.wallNs() / NS_PER_MS),
    })
    await site.agree()
    await follower.store.set('settings', '2')
    await site.agree()
    expect(await leader.data('settings')).toBe('2')
    expect(follower.clock.physicalNs() - site.time.wallNs()).toBeLessThan(1_000_000_000n)
  })

  test('booted in 1970 with an old disk, offline, its writes still win over what it knew', async () => {
    const leader = await site.node('leader')
    const follower = await site.node('follower', { follows: 'leader' })
    await leader.store.set('settings', '"known"')
    await site.agree()
    await follower.stop()
    follower.skewMs = -Number(site.time.wallNs() / NS_PER_MS)
    await follower.start()
    follower.isolate()
    await follower.store.set('settings', '"offline"')
    await follower.store.set('items/new', '1')
    site.network.healAll()
    await site.agree()
    expect(await leader.data('settings')).toBe('"offline"')
    expect(await leader.data('items/new')).toBe('1')
    expect(linkOf(follower).drifted).toBe(0)
  })
})

test('the handshake alone tells a follower the time', async () => {
  await site.node('leader')
  const follower = await site.node('follower', { follows: 'leader', skewMs: -1_800_000 })
  await site.until('live', () => follower.isSettled, 1900)
  expect(Math.abs(follower.engine.status().clockOffsetMs - 1_800_000)).toBeLessThan(1000)
})

describe('clocks that change while running', () => {
  test('a step ahead is found with the first write that is refused', async () => {
    const leader = await site.node('leader')
    const follower = await site.node('follower', { follows: 'leader' })
    await site.agree()
    follower.skewMs = YEARS_10_MS
    await follower.store.set('items/a', '1')
    await site.agree()
    expect(await leader.data('items/a')).toBe('1')
    expect(await aheadNs(leader)).toBeLessThan(DRIFT_NS)
  })

  test('a step back is corrected, and no stamp goes back', async () => {
    await site.node('leader')
    const follower = await site.node('follower', { follows: 'leader' })
    await site.agree()
    const before = (await follower.store.set('items/a', '1')).version
    follower.skewMs = -YEARS_10_MS
    const after = (await follower.store.set('items/a', '2')).version
    expect(after).toBeGreaterThan(before)
    await site.run(5000)
    const later = (await follower.store.set('items/a', '3')).version
    expect(site.time.wallNs() - later).toBeLessThan(1_000_000_000n)
  })

  test('a clock that runs one percent fast stays within a second while connected', async () => {
    await site.node('leader')
    const follower = await site.node('follower', { follows: 'leader' })
    follower.rate = 0.01
    for (let i = 0; i < 6; i++) {
      await site.run(600_000)
      const { version } = await follower.store.set('items/a', String(i))
      const off = version - site.time.wallNs()
      expect(off < 0n ? -off : off).toBeLessThan(1_000_000_000n)
    }
    await site.agree()
    expect(linkOf(follower).drifted).toBe(0)
  })

  test('a restart with a clock behind what is on disk never gives a stamp twice', async () => {
    const leader = await site.node('leader')
    const { version } = await leader.store.set('items/a', '1')
    await leader.stop()
    leader.skewMs = -3_600_000
    await leader.start()
    const next = (await leader.store.set('items/b', '2')).version
    expect(next).toBe(version + 1n)
  })
})

describe('a leader with a wrong clock', () => {
  test('jumps ten years ahead, writes, and is set right: all converge and later writes win', async () => {
    const leader = await site.node('leader')
    const follower = await site.node('follower', { follows: 'leader' })
    await site.agree()
    leader.skewMs = YEARS_10_MS
    await leader.store.set('settings', '"future"')
    await site.agree()
    leader.skewMs = 0
    await follower.stop()
    await follower.start()
    await follower.store.set('settings', '"later"')
    await follower.store.set('items/a', '1')
    await site.agree()
    expect(await leader.data('settings')).toBe('"later"')
    expect(await leader.data('items/a')).toBe('1')
    await leader.stop()
    await leader.start()
    await leader.store.set('settings', '"latest"')
    await leader.store.delete('items/a')
    await site.agree()
    expect(await follower.data('settings')).toBe('"latest"')
    expect(await follower.data('items/a')).toBeUndefined()
    await follower.store.set('settings', '"last"')
    await site.agree()
    expect(await leader.data('settings')).toBe('"last"')
  })

  test('that steps back for years while running goes on taking writes', async () => {
    const leader = await site.node('leader')
    const follower = await site.node('follower', { follows: 'leader' })
    await follower.store.set('settings', '1')
    await site.agree()
    leader.skewMs = -YEARS_10_MS
    await follower.store.set('settings', '2')
    await site.agree()
    await site.run(10_000)
    await follower.store.set('items/a', '1')
    await leader.store.set('settings', '3')
    await site.agree()
    expect(await follower.data('settings')).toBe('3')
    expect(await leader.data('items/a')).toBe('1')
  })

  test('that boots in 1970 goes on after what it holds, and followers are restamped, not lost', async () => {
    const leader = await site.node('leader')
    const follower = await site.node('follower', { follows: 'leader' })
    await leader.store.set('settings', '1')
    await site.agree()
    await leader.stop()
    leader.skewMs = -Number(site.time.wallNs() / NS_PER_MS)
    await site.run(600_000)
    await follower.store.set('settings', '2')
    await leader.start()
    await site.agree()
    expect(await leader.data('settings')).toBe('2')
    await leader.store.set('settings', '3')
    await site.agree()
    expect(await follower.data('settings')).toBe('3')
  })
})

test('the drift that is allowed is an option', async () => {
  const leader = await site.node('leader', { driftMs: 3_600_000 })
  const follower = await site.node('follower', { follows: 'leader' })
  await site.agree()
  follower.skewMs = 1_800_000
  await follower.store.set('items/a', '1')
  await site.agree()
  expect(linkOf(follower).drifted).toBe(0)
  expect(await aheadNs(leader)).toBeGreaterThan(1_700_000n * 1_000_000n)
})
