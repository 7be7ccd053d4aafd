/**
 * Histories in which a node with a wrong clock gave its records lesser stamps, and a node that was away
 * comes back with the first ones. What was written after the restamp must stay, deletes too.
 */
import { describe, expect, test } from 'vitest'
import type { History, NodePlan, Step } from './history.ts'
import { play } from './play.ts'
import type { World } from './world.ts'

const KEYS = [{ path: 'items/*' }]
const plan = (host: string, follows?: string): NodePlan =>
  follows === undefined
    ? { host, keys: KEYS, cacheBytes: 'all' }
    : { host, keys: KEYS, follows, cacheBytes: 'all' }

const TREE = [plan('c'), plan('r', 'c'), plan('e', 'r')]
const STAR = [plan('x'), plan('y', 'x'), plan('z', 'x')]
const SECOND = 1000

const cut = (one: string, other: string): Step[] => [
  { t: 'cut', from: one, to: other },
  { t: 'cut', from: other, to: one },
]
const wait = (ms: number): Step => ({ t: 'wait', ms })
const set = (node: string, key: string, n: number): Step => ({
  ...{ t: 'set', node, key: `items/${key}`, n },
})
const remove = (node: string, key: string): Step => ({ t: 'delete', node, key: `items/${key}` })

/** Every node's entries, as `key: n`, once all is healed. */
async function outcome(
  plans: readonly NodePlan[],
  steps: readonly Step[],
  options: Partial<History> = {},
): Promise<{ world: World; held: Record<string, Record<string, number>> }> {
  const world = await play({ kind: 'made', seed: 1, noise: 1, plans, steps, ...options })
  const held: Record<string, Record<string, number>> = {}
  for (const node of world.nodes) {
    const own: Record<string, number> = {}
    for (const [key, record] of await world.complete(node.records())) {
      if (record.kind !== 'entry' || key.includes('probe')) continue
      own[key.slice('items/'.length)] = (JSON.parse(record.data) as { n: number }).n
    }
    held[node.host] = own
  }
  return { world, held }
}

/** `r` is 90 s ahead and cut off from `c`; `e` gets what it writes and is then cut off from it. */
const WRONG: readonly Step[] = [
  wait(500),
  ...cut('r', 'c'),
  { t: 'clock', node: 'r', ms: 90 * SECOND },
  wait(50),
  set('r', 'k', 1),
  set('r', 'd', 2),
  set('r', 'e', 3),
  wait(3 * SECOND),
  ...cut('e', 'r'),
  wait(50),
]
/** `r` meets `c` again, which refuses its stamps; `e` stays away. */
const RESTAMPED: readonly Step[] = [
  { t: 'heal' },
  ...cut('e', 'r'),
  ...cut('e', 'c'),
  wait(12 * SECOND),
]
const LATER: readonly Step[] = [
  set('r', 'k', 11),
  remove('r', 'd'),
  set('c', 'e', 13),
  wait(2 * SECOND),
]
const EXPECTED = { k: 11, e: 13 }

describe('a node that was away while its leader gave records lesser stamps', () => {
  test.each<[string, readonly Step[]]>([
    ['comes back at once', []],
    ['comes back when the first stamps have passed', [wait(100 * SECOND)]],
    ['comes back after its own restart', [{ t: 'reconfigure', node: 'e', clean: false }]],
    [
      'moves to the leader of its leader',
      [
        wait(100 * SECOND),
        { t: 'follow', node: 'e', leader: 'c' },
        { t: 'reconfigure', node: 'e', clean: true },
      ],
    ],
    [
      'spells the address of its leader in another way',
      [
        wait(100 * SECOND),
        { t: 'respell', node: 'e' },
        { t: 'reconfigure', node: 'e', clean: true },
      ],
    ],
    [
      'replicates one scope more',
      [
        wait(100 * SECOND),
        { t: 'widen' },
        ...['c', 'r', 'e'].map((node): Step => ({ t: 'reconfigure', node, clean: true })),
      ],
    ],
    ['finds the disk of its leader lost', [wait(100 * SECOND), { t: 'wipe', node: 'r' }]],
  ])('%s', async (_name, back) => {
    const { held } = await outcome(TREE, [...WRONG, ...RESTAMPED, ...LATER, ...back, wait(SECOND)])
    expect(held).toEqual({ c: EXPECTED, r: EXPECTED, e: EXPECTED })
  })

  test('moves to the leader of its leader, which alone wrote over it twice', async () => {
    const twice = [21, 31].flatMap((n) => [
      ...cut('r', 'c'),
      set('c', 'k', n),
      n === 21 ? set('c', 'd', n + 1) : remove('c', 'd'),
      set('c', 'e', n + 2),
      wait(SECOND),
    ])
    const moved: readonly Step[] = [
      { t: 'wipe', node: 'r' },
      wait(30 * SECOND),
      { t: 'follow', node: 'e', leader: 'c' },
      { t: 'reconfigure', node: 'e', clean: true },
      { t: 'heal' },
      wait(10 * SECOND),
    ]
    const { held } = await outcome(TREE, [...WRONG, ...RESTAMPED, ...LATER, ...twice, ...moved])
    const expected = { k: 31, e: 33 }
    expect(held).toEqual({ c: expected, r: expected, e: expected })
  })

  test('finds its leader restored from a backup taken before the restamp', async () => {
    const { held } = await outcome(TREE, [
      ...WRONG,
      { t: 'image', node: 'r' },
      ...RESTAMPED,
      ...LATER,
      wait(100 * SECOND),
      { t: 'restore', node: 'r' },
      wait(SECOND),
    ])
    expect(held).toEqual({ c: EXPECTED, r: EXPECTED, e: EXPECTED })
  })

  test('finds that the records were given lesser stamps twice', async () => {
    const { held } = await outcome(TREE, [
      ...WRONG,
      ...RESTAMPED,
      { t: 'setClock', node: 'r' },
      ...cut('r', 'c'),
      { t: 'clock', node: 'r', ms: 200 * SECOND },
      { t: 'reconfigure', node: 'r', clean: false },
      set('r', 'k', 4),
      wait(2 * SECOND),
      { t: 'heal' },
      ...cut('e', 'r'),
      ...cut('e', 'c'),
      wait(12 * SECOND),
      ...LATER,
      wait(250 * SECOND),
    ])
    expect(held).toEqual({ c: EXPECTED, r: EXPECTED, e: EXPECTED })
  })

  test('of three, each holds another of the records that its leader wrote before', async () => {
    const plans = [plan('c'), plan('r', 'c'), plan('e', 'r'), plan('f', 'r'), plan('g', 'r')]
    const away = ['e', 'f', 'g']
    const { held } = await outcome(plans, [
      wait(500),
      ...cut('r', 'c'),
      { t: 'clock', node: 'r', ms: 90 * SECOND },
      ...away.flatMap((host, i) => [
        set('r', 'k', i + 1),
        wait(2 * SECOND),
        { t: 'stop', node: host } as const,
      ]),
      { t: 'heal' },
      wait(12 * SECOND),
      set('r', 'k', 11),
      wait(100 * SECOND),
      ...away.toReversed().map((node): Step => ({ t: 'start', node })),
      wait(SECOND),
    ])
    expect(Object.values(held)).toEqual(Array(5).fill({ k: 11 }))
  })

  test('has a sibling that wrote between the two stamps without knowing of either', async () => {
    const plans = [...TREE, plan('s', 'c')]
    const { held } = await outcome(plans, [
      wait(500),
      ...cut('s', 'c'),
      ...WRONG,
      { t: 'heal' },
      ...cut('e', 'r'),
      ...cut('s', 'c'),
      wait(12 * SECOND),
      set('s', 'k', 21),
      wait(100 * SECOND),
      { t: 'heal' },
      wait(12 * SECOND),
    ])
    expect(Object.values(held)).toEqual(Array(4).fill({ k: 21, d: 2, e: 3 }))
  })

  test('has a follower whose write lost to a first stamp, and is later than the second', async () => {
    const plans = [...TREE, plan('s', 'e')]
    const { held } = await outcome(plans, [
      wait(500),
      ...cut('s', 'e'),
      ...WRONG,
      { t: 'heal' },
      ...cut('e', 'r'),
      ...cut('s', 'e'),
      wait(12 * SECOND),
      set('s', 'k', 21),
      wait(50 * SECOND),
      { t: 'heal' },
      ...cut('e', 'r'),
      // Its write meets the first stamp, which wins, and is kept as a conflict.
      wait(12 * SECOND),
      { t: 'heal' },
      wait(12 * SECOND),
    ])
    expect(Object.values(held)).toEqual(Array(4).fill({ k: 21, d: 2, e: 3 }))
  })

  test('is below a hand-moved lead, away from a leader with a wrong clock', async () => {
    const { held } = await outcome(STAR, [
      wait(500),
      ...cut('x', 'y'),
      { t: 'stop', node: 'y' },
      { t: 'clock', node: 'x', ms: 90 * SECOND },
      set('x', 'k', 1),
      set('x', 'd', 2),
      wait(2 * SECOND),
      { t: 'stop', node: 'z' },
      { t: 'stop', node: 'x' },
      { t: 'heal' },
      { t: 'lead', node: 'y' },
      { t: 'start', node: 'y' },
      { t: 'start', node: 'x' },
      wait(12 * SECOND),
      set('y', 'k', 11),
      remove('x', 'd'),
      wait(100 * SECOND),
      { t: 'start', node: 'z' },
      wait(SECOND),
    ])
    expect(held).toEqual({ x: { k: 11 }, y: { k: 11 }, z: { k: 11 } })
  })

  test('holds what it wrote itself and the old leader replaced, when the lead was moved', async () => {
    const { held } = await outcome(STAR, [
      wait(500),
      { t: 'stop', node: 'y' },
      { t: 'clock', node: 'x', ms: 90 * SECOND },
      { t: 'reconfigure', node: 'z', clean: true },
      wait(5 * SECOND),
      set('z', 'k', 1),
      set('z', 'd', 2),
      wait(2 * SECOND),
      { t: 'stop', node: 'z' },
      set('x', 'k', 11),
      remove('x', 'd'),
      wait(500),
      { t: 'stop', node: 'x' },
      { t: 'lead', node: 'y' },
      { t: 'start', node: 'y' },
      { t: 'start', node: 'x' },
      wait(120 * SECOND),
      { t: 'start', node: 'z' },
      wait(SECOND),
    ])
    expect(held).toEqual({ x: { k: 11 }, y: { k: 11 }, z: { k: 11 } })
  })

  test('comes back after deletes are forgotten, from a clock that was years ahead', async () => {
    const years = 10 * 365 * 86_400 * SECOND
    const { held, world } = await outcome(
      TREE,
      [
        wait(500),
        ...cut('r', 'c'),
        { t: 'clock', node: 'r', ms: years },
        set('r', 'd', 2),
        wait(3 * SECOND),
        ...cut('e', 'r'),
        { t: 'heal' },
        ...cut('e', 'r'),
        { t: 'setClock', node: 'r' },
        wait(12 * SECOND),
        remove('r', 'd'),
        wait(200 * SECOND),
      ],
      { tombstoneRetentionMs: 30 * SECOND },
    )
    expect(held).toEqual({ c: {}, r: {}, e: {} })
    const kept = await world.complete(world.node('c')?.records() ?? Promise.resolve(new Map()))
    expect(kept.get('items/d')).toMatchObject({ kind: 'tombstone' })
  })
})
