/** Random histories: the same seed and kind give the same history. */
import type { Durability } from '../../src/core/ports/storage-adapter.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import type { History, NodePlan, Step, StepName } from './history.ts'
import { type Kind, WRITABLE } from './kinds.ts'

/** Less than what nodes take from each other. */
const CLOCK_AHEAD_MS = 50_000

/** Where keys are made by the store. */
const PUSHABLE = ['items/*', 'users/u/posts/*']

/** The history of a seed. */
export function generate(kind: Kind, seed: number): History {
  const random = new SeededRandom(seed)
  const plans = kind.plans.map((plan): NodePlan => {
    // Half of the nodes keep everything in memory, the others a little or nothing.
    return { ...plan, cacheBytes: random.chance(0.5) ? 'all' : random.pick([900, 0]) }
  })
  const steps = kind.script?.(random) ?? drawn(kind, plans, random)
  return {
    kind: kind.name,
    seed,
    noise: seed,
    plans,
    steps,
    ...(kind.keepsDeletes === true ? { keepsDeletes: true } : {}),
    ...(kind.tombstoneRetentionMs === undefined
      ? {}
      : { tombstoneRetentionMs: kind.tombstoneRetentionMs }),
    ...(kind.bus === undefined ? {} : { bus: kind.bus }),
  }
}

function drawn(kind: Kind, plans: readonly NodePlan[], random: SeededRandom): Step[] {
  const count = 20 + random.below(60)
  const steps: Step[] = []
  const names = Object.keys(kind.weights) as StepName[]
  const total = names.reduce((sum, name) => sum + (kind.weights[name] ?? 0), 0)
  for (let i = 0; i < count; i++) {
    const name = pickName(kind, names, random.next() * total)
    steps.push(makeStep(name, { kind, plans, random, n: i }))
  }
  return steps
}

function pickName(kind: Kind, names: readonly StepName[], at: number): StepName {
  let left = at
  for (const name of names) {
    left -= kind.weights[name] ?? 0
    if (left < 0) return name
  }
  return 'wait'
}

interface Draw {
  readonly kind: Kind
  readonly plans: readonly NodePlan[]
  readonly random: SeededRandom
  /** Makes the data of each write unique. */
  readonly n: number
}

function makeStep(t: StepName, draw: Draw): Step {
  const { kind, plans, random, n } = draw
  const node = random.pick(plans).host
  const other = random.pick(plans).host
  const writable = kind.writable ?? WRITABLE
  const globs = [...new Set(writable.flatMap(globOf))]
  switch (t) {
    case 'set':
      return {
        t,
        node,
        key: random.pick(writable),
        n,
        ...size(kind, random),
        ...durability(random),
      }
    case 'push':
      return { t, node, key: random.pick(PUSHABLE), n, ...durability(random) }
    case 'delete':
      return { t, node, key: random.pick([...writable, ...globs]), ...durability(random) }
    case 'decide':
      return { t, node, key: random.pick(writable), n }
    case 'voter':
      return { t, node, how: random.pick(['add', 'remove'] as const) }
    case 'read':
      return { t, node, key: random.pick([...writable, ...globs]) }
    case 'wait':
      return { t, ms: random.below(random.chance(0.2) ? (kind.longWaitMs ?? 8000) : 300) }
    case 'cut':
    case 'reset':
      return { t, from: node, to: other }
    case 'flap':
      return { t, from: node, to: other, times: 1 + random.below(6), ms: 20 + random.below(900) }
    case 'slow':
      return { t, from: node, to: other, ms: random.below(2500) }
    case 'heal':
    case 'widen':
    case 'roles':
      return { t }
    case 'follow':
      return { t, node, leader: other }
    case 'blackout':
      return { t, lost: random.next() }
    case 'lead':
      return { t, node }
    default:
      return nodeStep(t, node, draw)
  }
}

function nodeStep(
  t: Exclude<
    StepName,
    | 'set'
    | 'push'
    | 'delete'
    | 'read'
    | 'decide'
    | 'voter'
    | 'wait'
    | 'cut'
    | 'reset'
    | 'flap'
    | 'slow'
    | 'heal'
    | 'widen'
    | 'follow'
    | 'roles'
    | 'blackout'
    | 'lead'
  >,
  node: string,
  { kind, random }: Draw,
): Step {
  // Only kinds with power cuts lose what a process had written.
  const lost = kind.weights.blackout === undefined ? 0 : random.next()
  switch (t) {
    case 'crash':
      return { t, node, lost }
    case 'crashAfter':
      return { t, node, batches: random.below(6), lost }
    case 'diskErrors':
      return { t, node, batches: 1 + random.below(3) }
    case 'rot':
    case 'forget':
      return { t, node, which: random.next() }
    case 'clock':
      return { t, node, ms: clockStep(random, kind.clockStepMs ?? 1000) }
    case 'clockAhead':
      return { t, node, ms: random.below(CLOCK_AHEAD_MS) }
    case 'drift':
      return { t, node, ppm: random.below(20_000) - 10_000 }
    case 'reconfigure':
      return { t, node, clean: random.chance(0.5) }
    default:
      return { t, node }
  }
}

/** Small steps are as frequent as great ones; never whole milliseconds, as no two clocks agree. */
function clockStep(random: SeededRandom, most: number): number {
  const size = random.chance(0.5) ? Math.min(most, 1000) : most
  return Math.round((random.next() * 2 - 1) * size * 1e6) / 1e6
}

function durability(random: SeededRandom): { durability?: Durability } {
  return random.chance(0.6) ? {} : { durability: random.pick(['memory', 'disk'] as const) }
}

/** A third of the values goes in pieces, a few of them in many. */
function size({ largest }: Kind, random: SeededRandom): { size?: number } {
  if (largest === undefined || random.chance(0.66)) return {}
  return { size: random.below(random.chance(0.3) ? largest : 300) }
}

/** The glob of a key's siblings. */
function globOf(key: string): string[] {
  const parts = key.split('/')
  if (parts[0] === 'users') return ['users/*/posts/*']
  return parts.length === 2 ? [`${parts[0]}/*`] : []
}
