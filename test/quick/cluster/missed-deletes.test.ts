/**
 * Three voters elect their leader. One of them was away for longer than deletes are kept and comes back as the
 * leader is lost: it wins the lease, finds that it has missed deletes, and lets another voter lead.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { backUp, restore } from '../../cluster/site-backup.ts'
import { type SiteNode, VirtualSite } from '../../cluster/virtual-site.ts'

const RETENTION_MS = 80_000
/** After so long no tombstone is left. */
const AGES_MS = 300_000
/** Of the lease of the site. */
const LEASE_MS = 5000
const OPTIONS = { retentionMs: RETENTION_MS, voters: ['x', 'y', 'z'] }

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

/** Nodes that are in step hold these, and go on doing so. */
async function expectItems(nodes: readonly SiteNode[], expected: readonly string[]): Promise<void> {
  await site.until('in step', () => nodes.every((node) => node.isSettled))
  await site.run(10_000)
  for (const node of nodes) expect(await items(node)).toEqual(expected)
}

function decides(node: SiteNode): boolean {
  return node.isUp && node.leads && node.voters?.decides === true
}

/** Fencing number by which it leads, or led before. */
function grantOf(node: SiteNode): number {
  return Number(/^(\d+)-/.exec(node.store.epoch)?.[1] ?? 0)
}

/** X leads Y and Z; all hold `kept` and `gone`. */
async function trio(): Promise<[x: SiteNode, y: SiteNode, z: SiteNode]> {
  const x = await site.node('x', OPTIONS)
  await site.until('x leads', () => x.leads)
  const y = await site.node('y', OPTIONS)
  const z = await site.node('z', OPTIONS)
  await site.until('x decides', () => decides(x) && y.isSettled && z.isSettled)
  for (const key of ['items/kept', 'items/gone']) await x.store.set(key, '1')
  await site.agree()
  return [x, y, z]
}

type Absence = 'was down' | 'was killed' | 'was cut off'

async function goes(z: SiteNode, how: Absence): Promise<void> {
  if (how === 'was killed') z.kill()
  else if (how === 'was down') await z.stop()
  else {
    z.isolate()
    site.cutFromLease.add(z.host)
  }
}

async function comesBack(z: SiteNode, how: Absence): Promise<void> {
  if (how !== 'was cut off') await z.start()
  else {
    site.network.healAll()
    site.cutFromLease.delete(z.host)
  }
}

/** `gone` is deleted where all can see it, and forgotten there. */
async function deleteAndForget(x: SiteNode, y: SiteNode): Promise<void> {
  await x.store.delete('items/gone')
  await site.run(AGES_MS)
  expect([await tombstones(x), await tombstones(y)]).toEqual([0, 0])
}

/** Z is away meanwhile; then X is lost, and Z is the first to ask for the lease. */
async function winsAfter(how: Absence): Promise<[x: SiteNode, y: SiteNode, z: SiteNode]> {
  const [x, y, z] = await trio()
  await goes(z, how)
  await deleteAndForget(x, y)
  site.tooLate.add('y')
  await x.stop()
  await comesBack(z, how)
  // It may have given it up again when this looks.
  await site.until('z wins the lease', () => z.logged.includes('leads by the lease'))
  return [x, y, z]
}

describe.each(['was down', 'was killed', 'was cut off'] as const)('a voter that %s', (how) => {
  test('and wins the lease brings nothing back: another one leads', async () => {
    const [x, y, z] = await winsAfter(how)
    site.tooLate.clear()
    await site.until('y decides', () => decides(y))
    await expectItems([y, z], ['kept'])
    await x.start()
    await expectItems([x, y, z], ['kept'])
    expect(z.logged.join()).toContain('this node has missed deletes')
  })

  test('keeps what it acknowledged meanwhile, also when it is started again in between', async () => {
    const [, y, z] = await winsAfter(how)
    await z.store.set('items/early', '1')
    await site.run(LEASE_MS / 5)
    z.kill()
    await z.start()
    await z.store.set('items/late', '1')
    site.tooLate.clear()
    await site.until('y decides', () => decides(y))
    await expectItems([y, z], ['early', 'kept', 'late'])
  })

  test('leads all the same when nobody else can, and says so', async () => {
    const [, y, z] = await winsAfter(how)
    await site.until('z decides', () => decides(z))
    await expectItems([y, z], ['gone', 'kept'])
    expect(z.voters?.concerns?.join()).toMatch(/missed deletes .* y .*may be back/)
    expect(z.logged.join()).toContain('no node that knows them came to lead')
  })
})

test('a voter that was away for less than deletes are kept leads as ever', async () => {
  const [x, y, z] = await trio()
  await site.run(AGES_MS)
  await z.stop()
  await x.store.delete('items/gone')
  await site.run(RETENTION_MS / 2)
  site.tooLate.add('y')
  await x.stop()
  await z.start()
  await site.until('z decides', () => decides(z))
  await expectItems([y, z], ['kept'])
  expect(z.logged.join()).not.toContain('missed deletes')
})

test('a leader that is restored from a backup older than the deletes, and wins the lease, lets another one lead', async () => {
  const [x, y, z] = await trio()
  const backup = await backUp(site, x)
  await deleteAndForget(x, y)
  for (const { host } of [y, z]) site.tooLate.add(host)
  await x.stop()
  await restore(site, x, backup)
  x.logged.length = 0
  await x.start()
  await site.until('x wins the lease', () => x.logged.includes('leads by the lease'))
  site.tooLate.clear()
  await site.until('another one decides', () => decides(y) || decides(z))
  await expectItems([x, y, z], ['kept'])
})

test('of two voters that have each missed deletes of the other one leads in the end', async () => {
  const [x, y, z] = await trio()
  for (const node of [y, z, x]) await node.stop()
  // Each leads alone, decides nothing, and what it deletes is forgotten before the other hears of it.
  for (const node of [z, y]) {
    await node.start()
    await site.until('it leads', () => node.leads)
    await node.store.set('items/own', '1')
    await node.store.delete('items/own')
    await site.run(AGES_MS)
    expect(await tombstones(node)).toBe(0)
    if (node === z) await node.stop()
  }
  await z.start()
  await site.until('one of them decides', () => decides(y) || decides(z))
  expect(y.logged.join()).toContain('this node has missed deletes')
  const grant = Math.max(...[y, z].map(grantOf))
  await site.run(AGES_MS)
  expect([decides(y) || decides(z), Math.max(...[y, z].map(grantOf))]).toEqual([true, grant])
})
