/**
 * A region's clock is ahead, by more than a centre lets pass. What it wrote before it ever met the centre has reached its edge with
 * the wrong stamps; the centre refuses those, and the region restamps. Later writes of the region and the
 * centre have to stay when the edge, which was away meanwhile, comes back with the first stamps.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Round, RoundKind } from '../round.ts'
import { waitUntilSeen, write } from './scripted.ts'

const KEYS = ['items/k', 'items/d', 'items/e'] as const

interface Drift {
  readonly aheadS: number
  /** From the first writes until the edge is back: by then the centre lets the first stamps pass. */
  readonly awayMs: number
}

/** The first stamps are still ahead when the edge is back, but no longer too far. */
export const DRIFT_TREE: RoundKind = {
  name: 'drift-tree',
  about: 'an edge that holds first stamps of what its region restamped',
  needs: ['faketime'],
  play: (round) => playDrift(round, { aheadS: 65, awayMs: 12_000 }),
}

/** The first stamps lie in the past when the edge is back, and after those of the later writes. */
export const DRIFT_TREE_LATER: RoundKind = {
  name: 'drift-tree-later',
  about: 'the same, and the edge is back when its first stamps are past (two minutes)',
  needs: ['faketime'],
  play: (round) => playDrift(round, { aheadS: 90, awayMs: 100_000 }),
}

async function playDrift(round: Round, { aheadS, awayMs }: Drift): Promise<void> {
  const { world } = round
  const c = await world.add('c')
  const r = await world.add('r')
  const e = await world.add('e')
  await r.follow(c)
  await e.follow(r)
  r.setClock(aheadS)
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
  await delay(awayMs - (performance.now() - began))
}
