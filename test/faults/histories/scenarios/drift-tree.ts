/**
 * A region's clock is 90 s ahead. What it wrote before it ever met the centre has reached its edge with
 * the wrong stamps; the centre refuses those, and the region restamps. Later writes of the region and the
 * centre have to stay when the edge, which was away meanwhile, comes back with the first stamps.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { RoundKind } from '../round.ts'
import { waitUntilSeen, write } from './scripted.ts'

const AHEAD_S = 90
/** From the first writes until the edge is back: by then nobody takes the wrong stamps for the future. */
const AWAY_MS = 100_000
const KEYS = ['items/k', 'items/d', 'items/e'] as const

export const DRIFT_TREE: RoundKind = {
  name: 'drift-tree',
  about: 'an edge that holds first stamps of what its region restamped (two minutes)',
  needs: 'faketime',
  onlyNamed: true,
  async play(round) {
    const { world } = round
    const c = await world.add('c')
    const r = await world.add('r')
    const e = await world.add('e')
    await r.follow(c)
    await e.follow(r)
    r.setClock(AHEAD_S)
    // It has never met the centre, so it does not know that its clock is wrong.
    r.link.set('cut')
    await Promise.all(world.nodes.map((node) => node.start()))
    const began = performance.now()
    const values: (string | null)[] = []
    for (const key of KEYS) values.push((await write(round, r, { op: 'set', key })).value)
    for (const [i, key] of KEYS.entries()) await waitUntilSeen(round, e, key, values[i] ?? null)
    e.link.set('cut')
    r.link.set('open')
    for (const [i, key] of KEYS.entries()) await waitUntilSeen(round, c, key, values[i] ?? null)

    const [k, d, e1] = KEYS
    const kept = await write(round, r, { op: 'set', key: k })
    await write(round, r, { op: 'delete', key: d })
    const central = await write(round, c, { op: 'set', key: e1 })
    await waitUntilSeen(round, c, k, kept.value)
    await waitUntilSeen(round, c, d, null)
    await waitUntilSeen(round, r, e1, central.value)
    await delay(AWAY_MS - (performance.now() - began))
  },
}
