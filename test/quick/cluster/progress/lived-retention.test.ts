/** Deletes, followers and conflicts while the clock of the node that keeps them jumps. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type SiteNode, VirtualSite } from '../../../cluster/virtual-site.ts'

const RETENTION_MS = 80_000
/** In it every node has lived for longer than the retention. */
const AGES_MS = 300_000
const YEARS_10_MS = 315_576_000_000

let site: VirtualSite

beforeEach(() => {
  site = new VirtualSite()
})

afterEach(() => site.stop())

async function deletes(node: SiteNode): Promise<string[]> {
  const records = [...(await node.records()).values()]
  return records.filter(({ kind }) => kind === 'tombstone').map(({ key }) => key)
}

/** A leader and two followers, all of which have `items/gone` and have lived for long. */
async function trio(): Promise<Record<'leader' | 'heir' | 'away', SiteNode>> {
  const options = { retentionMs: RETENTION_MS }
  const leader = await site.node('leader', options)
  const heir = await site.node('heir', { ...options, follows: 'leader' })
  const away = await site.node('away', { ...options, follows: 'leader' })
  await site.run(AGES_MS)
  await leader.store.set('items/gone', '1')
  await site.agree()
  return { leader, heir, away }
}

async function restart(node: SiteNode, skewMs: number): Promise<void> {
  await node.stop()
  node.skewMs = skewMs
  await node.start()
}

/** From now on `heir` leads, and the others follow it. */
async function succeed(heir: SiteNode, others: readonly SiteNode[]): Promise<void> {
  for (const node of [heir, ...others]) if (node.isUp) await node.stop()
  heir.follows = undefined
  await heir.start()
  for (const node of others) {
    node.follows = heir.host
    await node.start()
  }
  await site.agree()
}

describe('a leader that runs for 20 s with a clock ten years ahead', () => {
  test('keeps young deletes: who was away and returns under another leader brings nothing back', async () => {
    const { leader, heir, away } = await trio()
    await away.stop()
    await leader.store.delete('items/gone')
    await site.until('the heir has it', async () => (await heir.data('items/gone')) === undefined)
    await restart(leader, YEARS_10_MS)
    await site.run(20_000)
    await restart(leader, 0)
    await site.until('joined', () => heir.isSettled)
    expect([await deletes(leader), await deletes(heir)]).toEqual([['items/gone'], ['items/gone']])
    expect(leader.engine.status().registered.map(({ name }) => name)).toContain('away')
    await succeed(heir, [leader, away])
    for (const node of [leader, heir, away]) expect(await node.data('items/gone')).toBeUndefined()
  })

  test('removes old deletes as before once its clock is right', async () => {
    const { leader, heir, away } = await trio()
    await leader.store.delete('items/gone')
    await site.agree()
    await restart(leader, YEARS_10_MS)
    await site.run(20_000)
    await restart(leader, 0)
    await site.run(AGES_MS)
    for (const node of [leader, heir, away]) expect(await deletes(node)).toEqual([])
  })

  test('keeps its conflicts', async () => {
    const { leader, heir } = await trio()
    heir.isolate()
    await heir.store.set('items/gone', '"lost"')
    await leader.store.set('items/gone', '"won"')
    site.network.healAll()
    await site.agree()
    const told = async (): Promise<number> =>
      (await leader.engine.conflicts.list({ limit: 10 })).length
    expect(await told()).toBe(1)
    await restart(leader, YEARS_10_MS)
    expect(await told()).toBe(1)
    await leader.engine.conflicts.trim()
    await restart(leader, 0)
    expect(await told()).toBe(1)
  })
})

test('a clock that jumps for 30 s in each retention, at whatever moment, makes nothing old', async () => {
  const { leader, away } = await trio()
  await away.stop()
  await leader.store.delete('items/gone')
  for (let i = 0; i < 3; i++) {
    leader.skewMs = YEARS_10_MS
    await site.run(15_000)
    leader.skewMs = 0
    await site.run(7000)
  }
  expect(await deletes(leader)).toEqual(['items/gone'])
  expect(leader.engine.status().registered.map(({ name }) => name)).toContain('away')
})

test('a clock that was set back keeps deletes for longer, and not for ever', async () => {
  const { leader } = await trio()
  await leader.store.delete('items/gone')
  await site.agree()
  leader.skewMs = -YEARS_10_MS
  await site.run(AGES_MS)
  expect(await deletes(leader)).toEqual(['items/gone'])
  leader.skewMs = 0
  await site.run(RETENTION_MS / 2)
  expect(await deletes(leader)).toEqual(['items/gone'])
  await site.run(AGES_MS)
  expect(await deletes(leader)).toEqual([])
})

test('a node that is off half of the time keeps deletes for its retention of being up', async () => {
  const leader = await site.node('leader', { retentionMs: RETENTION_MS })
  await leader.store.set('settings', '1')
  await leader.store.delete('settings')
  for (let i = 0; i < 8; i++) {
    await site.run(10_000)
    await leader.stop()
    await site.run(RETENTION_MS)
    await leader.start()
    expect(await deletes(leader), `after ${i + 1} nights`).toEqual(['settings'])
  }
  for (let i = 0; i < 5; i++) {
    await site.run(15_000)
    await leader.stop()
    await leader.start()
  }
  await site.run(15_000)
  expect(await deletes(leader)).toEqual([])
})
