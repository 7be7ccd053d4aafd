/**
 * Histories of a tree whose links are all cut while clocks go wrong and the same key is written everywhere, and
 * then healed one by one.
 */
import type { SeededRandom } from '../support/seeded-random.ts'
import type { Step } from './history.ts'
import type { Script } from './scripts.ts'

/** Who follows whom. */
const UPLINKS = [
  ['r', 'c'],
  ['e1', 'r'],
  ['e2', 'r'],
] as const
const HOSTS = ['c', 'r', 'e1', 'e2'] as const
/** Milliseconds by which a clock goes wrong. */
const OFFSETS = [2 * 3_600_000, 61_000, -2 * 3_600_000, -61_000] as const
const KEY = 'items/a'

type Uplink = (typeof UPLINKS)[number]

/** The nodes are not there at the beginning: each begins with the clock that it has by then. */
export const concurrentWrites: Script = (random) => {
  const writer = new Writer(random)
  const clocks = HOSTS.flatMap((node): Step[] =>
    random.chance(0.35) ? [{ t: 'clock', node, ms: random.pick(OFFSETS) }] : [],
  )
  const starts = HOSTS.map((node): Step => ({ t: 'start', node }))
  let down: readonly Uplink[] = UPLINKS
  const met: Step[] = random.chance(0.5) ? [...writer.write(), { t: 'wait', ms: 1500 }] : []
  const steps = random.pick<() => Step[]>([
    // Wrong when all is linked: measured.
    () => [...clocks, ...starts, { t: 'wait', ms: 1500 }, ...met, ...links(down)],
    // Wrong when nobody has met anybody.
    () => [...clocks, ...links(down), ...starts],
    // Gone wrong later.
    () => [...starts, { t: 'wait', ms: 1500 }, ...met, ...links(down), ...clocks],
  ])()
  steps.push({ t: 'wait', ms: 100 })
  const writes = 2 + random.below(5)
  for (let i = 0; i < writes; i++) steps.push(...writer.write(), wait(random))
  while (down.length > 0) {
    const healed = random.pick(down)
    down = down.filter((link) => link !== healed)
    steps.push({ t: 'heal' }, ...links(down), wait(random))
    if (random.chance(0.3)) steps.push(...writer.write(), wait(random))
  }
  return steps
}

function links(down: readonly Uplink[]): Step[] {
  return down.flatMap(([one, other]): Step[] => [
    { t: 'cut', from: one, to: other },
    { t: 'cut', from: other, to: one },
  ])
}

/** Nothing to speak of, or long enough that what is restamped has arrived. */
function wait(random: SeededRandom): Step {
  return { t: 'wait', ms: random.chance(0.5) ? random.below(300) : random.below(12_000) }
}

class Writer {
  #n = 0
  readonly #random: SeededRandom

  constructor(random: SeededRandom) {
    this.#random = random
  }

  write(): Step[] {
    const node = this.#random.pick(HOSTS)
    const n = this.#n++
    return this.#random.chance(0.75)
      ? [{ t: 'set', node, key: KEY, n }]
      : [{ t: 'delete', node, key: KEY }]
  }
}
