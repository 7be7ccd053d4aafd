/**
 * Histories of changing leaders that chance alone rarely brings about. `@1` is the node that led at the last
 * `roles`, `@2` and so on the others; what happens between the steps, and how long, is drawn.
 */
import type { SeededRandom } from '../support/seeded-random.ts'
import type { Step } from './history.ts'

export type Script = (random: SeededRandom) => readonly Step[]

/** How long deletes are remembered where a clock jumps: longer than the rest of the history. */
export const JUMP_RETENTION_MS = 80_000
const TEN_YEARS_MS = 10 * 365 * 86_400_000

const KEY = 'settings'
/** A lease has lapsed, and another node has taken it and been followed, milliseconds. */
const FAILOVER_MS = 9000

/** Numbers that make the data of each write unique. */
class Writer {
  #n = 0
  readonly #random: SeededRandom

  constructor(random: SeededRandom) {
    this.#random = random
  }

  /** Some decisions at a node, each time it may answer in. */
  decide(node: string, most = 3): Step[] {
    const count = 1 + this.#random.below(most)
    return Array.from({ length: count }, () => [
      { t: 'decide', node, key: KEY, n: this.#n++ } as const,
      { t: 'wait', ms: this.#random.below(400) } as const,
    ]).flat()
  }

  set(node: string): Step[] {
    return this.#random.chance(0.3) ? [{ t: 'set', node, key: KEY, n: this.#n++ }] : []
  }
}

const begin: readonly Step[] = [{ t: 'wait', ms: FAILOVER_MS }, { t: 'roles' }]
const failover: Step = { t: 'wait', ms: FAILOVER_MS }

/** Y is away while X decides and Z holds it; X goes, and Y comes back first. */
export const staleNode: Script = (random) => {
  const write = new Writer(random)
  const away: Step[] = random.chance(0.5)
    ? [{ t: 'crash', node: '@2', lost: 0 }]
    : [{ t: 'isolate', node: '@2' }]
  return [
    ...begin,
    ...write.decide('@1'),
    ...away,
    { t: 'wait', ms: random.below(300) },
    ...write.decide('@1'),
    { t: 'crash', node: '@1', lost: 0 },
    { t: 'isolate', node: '@3' },
    { t: 'start', node: '@2' },
    failover,
    ...write.set('@2'),
    ...write.decide('@2'),
    { t: 'heal' },
    ...write.decide('@2'),
    { t: 'wait', ms: random.below(3000) },
    ...write.decide('@2'),
    { t: 'start', node: '@1' },
    failover,
  ]
}

/** The disk of the only other node that holds what X decided is lost, and X is away. */
export const wipedVoter: Script = (random) => {
  const write = new Writer(random)
  return [
    ...begin,
    ...write.decide('@1'),
    { t: 'isolate', node: '@2' },
    ...write.decide('@1'),
    { t: 'crash', node: '@1', lost: 0 },
    { t: 'crash', node: '@3', lost: 0 },
    { t: 'heal' },
    { t: 'wipe', node: '@3' },
    failover,
    ...write.decide('@2'),
    ...write.decide('@3'),
    { t: 'start', node: '@1' },
    failover,
    ...write.decide('@2'),
  ]
}

/** A leader whose clock is ahead is cut off with decisions that nobody else has. */
export const clockAhead: Script = (random) => {
  const write = new Writer(random)
  return [
    ...begin,
    ...write.decide('@1'),
    { t: 'wait', ms: 1000 + random.below(1000) },
    { t: 'isolate', node: '@1' },
    { t: 'clockAhead', node: '@1', ms: 10_000 + random.below(40_000) },
    { t: 'wait', ms: 1000 + random.below(1500) },
    ...write.decide('@1'),
    // It can not renew: whoever reaches the lease takes over.
    { t: 'freeze', node: '@1' },
    failover,
    ...write.decide('@2'),
    { t: 'heal' },
    failover,
    ...write.decide('@2'),
  ]
}

/**
 * Z is away while X deletes, and X's clock is years ahead for a while, less than deletes are remembered; Y takes
 * over before Z comes back.
 */
export const jumpingClock: Script = (random) => {
  const key = 'items/a'
  return [
    ...begin,
    { t: 'wait', ms: 2 * JUMP_RETENTION_MS },
    { t: 'set', node: '@3', key, n: 1 },
    { t: 'wait', ms: 2000 },
    { t: 'stop', node: '@3' },
    { t: 'delete', node: '@1', key },
    { t: 'wait', ms: 500 + random.below(500) },
    { t: 'clockAhead', node: '@1', ms: TEN_YEARS_MS },
    { t: 'wait', ms: 10_000 + random.below(10_000) },
    { t: 'setClock', node: '@1' },
    { t: 'wait', ms: 3000 },
    random.chance(0.5) ? { t: 'stop', node: '@1' } : { t: 'crash', node: '@1', lost: 0 },
    failover,
    { t: 'start', node: '@3' },
    failover,
    { t: 'start', node: '@1' },
  ]
}

/** How long deletes are remembered where followers are given other names of their leader. */
export const RESPELT_RETENTION_MS = 30_000

/**
 * A follower is away until what is deleted meanwhile is forgotten, and returns with another name of its leader. In
 * between it may have been started with that name while nobody was in reach, and written.
 */
export const respeltLeader: Script = (random) => {
  let n = 0
  const set = (node: string, key: string): Step => ({ t: 'set', node, key, n: n++ })
  const down = (): Step =>
    random.chance(0.5) ? { t: 'stop', node: 'f1' } : { t: 'crash', node: 'f1', lost: 0 }
  const respell: Step = { t: 'respell', node: 'f1' }
  const detour: Step[] = [
    { t: 'isolate', node: 'f1' },
    respell,
    { t: 'start', node: 'f1' },
    { t: 'wait', ms: 1000 + random.below(3000) },
    set('f1', 'items/b'),
    { t: 'wait', ms: 200 + random.below(2000) },
    down(),
    { t: 'heal' },
    ...(random.chance(0.5) ? [respell] : []),
  ]
  return [
    set('leader', 'items/a'),
    set(random.pick(['leader', 'f1', 'f2']), 'settings'),
    { t: 'wait', ms: 4000 + random.below(4000) },
    down(),
    ...(random.chance(0.5) ? detour : [respell]),
    { t: 'delete', node: 'leader', key: 'items/a' },
    { t: 'delete', node: 'leader', key: 'settings' },
    { t: 'wait', ms: 5 * RESPELT_RETENTION_MS },
    { t: 'start', node: 'f1' },
    { t: 'wait', ms: random.below(300) },
    ...(random.chance(0.3) ? [down(), respell, { t: 'start', node: 'f1' } as const] : []),
    { t: 'wait', ms: 4000 },
  ]
}

/**
 * A follower is away until what is deleted meanwhile is forgotten. Then it is restored from a backup of before, or its
 * leader from one of after.
 */
export const restoredNode: Script = (random) => {
  let n = 0
  const set = (node: string, key: string): Step => ({ t: 'set', node, key, n: n++ })
  const settle: Step = { t: 'wait', ms: 4000 + random.below(4000) }
  const isLeader = random.chance(0.5)
  const late = random.chance(0.5) ? [set(random.pick(['leader', 'f2']), 'items/b'), settle] : []
  return [
    set('leader', 'items/a'),
    set(random.pick(['leader', 'f1', 'f2']), 'settings'),
    settle,
    { t: 'image', node: 'f1' },
    random.chance(0.5) ? { t: 'stop', node: 'f1' } : { t: 'crash', node: 'f1', lost: 0 },
    { t: 'delete', node: 'leader', key: 'items/a' },
    { t: 'delete', node: 'leader', key: 'settings' },
    { t: 'wait', ms: 5 * RESPELT_RETENTION_MS },
    { t: 'image', node: 'leader' },
    ...late,
    { t: 'restore', node: isLeader ? 'leader' : 'f1' },
    { t: 'start', node: 'leader' },
    { t: 'start', node: 'f1' },
    settle,
  ]
}

/** Two voters are added while what a majority of the three held is decided, and those of them are lost. */
export const scaled: Script = (random) => {
  const write = new Writer(random)
  const add = (node: string): Step => ({ t: 'voter', node, how: 'add' })
  return [
    ...begin,
    ...write.decide('@1'),
    { t: 'isolate', node: '@3' },
    ...write.decide('@1'),
    add('@4'),
    { t: 'wait', ms: random.below(600) },
    ...write.decide('@1'),
    add('@5'),
    { t: 'wait', ms: random.below(600) },
    { t: 'isolate', node: random.pick(['@4', '@5']) },
    ...write.decide('@1', 2),
    { t: 'crash', node: '@1', lost: 0 },
    { t: 'crash', node: '@2', lost: 0 },
    { t: 'heal' },
    failover,
    ...write.decide('@3'),
    ...write.decide('@4'),
    { t: 'start', node: '@1' },
    failover,
    ...write.decide('@3'),
    { t: 'start', node: '@2' },
    failover,
  ]
}

/**
 * Z is away until what X deletes is forgotten, and wins the lease as X is lost. Y hears of that later. What Z takes
 * before and after is kept.
 */
export const awayVoter: Script = (random) => {
  let n = 0
  const set = (node: string, key: string): Step => ({ t: 'set', node, key, n: n++ })
  const down = (node: string): Step =>
    random.chance(0.5) ? { t: 'stop', node } : { t: 'crash', node, lost: 0 }
  const isCutOff = random.chance(0.4)
  const goes: Step[] = isCutOff
    ? [
        { t: 'isolate', node: '@3' },
        { t: 'freeze', node: '@3' },
      ]
    : [down('@3')]
  const comesBack: Step[] = isCutOff ? [] : [{ t: 'start', node: '@3' }]
  return [
    ...begin,
    set('@1', 'items/a'),
    set(random.pick(['@1', '@2', '@3']), 'settings'),
    { t: 'wait', ms: 4000 + random.below(4000) },
    ...goes,
    { t: 'wait', ms: 500 },
    { t: 'delete', node: '@1', key: 'items/a' },
    { t: 'delete', node: '@1', key: 'settings' },
    ...(isCutOff && random.chance(0.5) ? [set('@3', 'items/b')] : []),
    { t: 'wait', ms: 6 * RESPELT_RETENTION_MS },
    { t: 'heal' },
    { t: 'freeze', node: '@2' },
    down('@1'),
    ...comesBack,
    failover,
    ...(random.chance(0.5) ? [set('@3', 'users/u/posts/p')] : []),
    { t: 'heal' },
    { t: 'wait', ms: random.below(3000) },
    ...(random.chance(0.3) ? [down('@3'), { t: 'start', node: '@3' } as const] : []),
    failover,
    { t: 'start', node: '@1' },
    failover,
  ]
}
