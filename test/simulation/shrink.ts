/**
 * Cuts a failing history down: takes steps and nodes away as long as it still fails, so that what
 * is left tells what matters. Delays are drawn anew by other noise when that keeps the failure.
 */
import type { History, NodePlan, Step } from './history.ts'

/** What a history that is played fails with; undefined when it passes. */
export type Fails = (history: History) => Promise<Error | undefined>

export interface Shrunk {
  readonly history: History
  readonly error: Error
  /** How many histories were played. */
  readonly plays: number
}

/** Noises tried for every candidate, added to the one of the history. */
const NOISES = [0, 1, 2]

/**
 * The shortest history found that still fails, after at most `maxPlays` plays. Any failure counts,
 * not only the first one's. undefined when the given one does not fail.
 */
export async function shrink(
  history: History,
  fails: Fails,
  maxPlays = 2000,
): Promise<Shrunk | undefined> {
  const first = await fails(history)
  if (first === undefined) return undefined
  const search = new Search(history, first, fails, maxPlays)
  for (let length = Number.POSITIVE_INFINITY; search.length < length; ) {
    length = search.length
    await search.dropSteps()
    await search.dropNodes()
    await search.simplify()
  }
  return { history: search.history, error: search.error, plays: search.plays }
}

class Search {
  history: History
  error: Error
  plays = 1
  readonly #fails: Fails
  readonly #maxPlays: number

  constructor(history: History, error: Error, fails: Fails, maxPlays: number) {
    this.history = history
    this.error = error
    this.#fails = fails
    this.#maxPlays = maxPlays
  }

  get length(): number {
    return this.history.steps.length + this.history.plans.length
  }

  /** Takes runs of steps away, halves first, single ones last. */
  async dropSteps(): Promise<void> {
    const { steps } = this.history
    for (let size = Math.ceil(steps.length / 2); size >= 1; size = Math.floor(size / 2)) {
      for (let at = this.history.steps.length - size; at >= 0; at -= size) {
        const rest = this.history.steps.filter((_, i) => i < at || i >= at + size)
        await this.#keep({ ...this.history, steps: rest })
      }
    }
  }

  /** Takes nodes away that nobody follows, with their steps. */
  async dropNodes(): Promise<void> {
    for (const { host } of this.history.plans) {
      const plans = this.history.plans.filter((plan) => plan.host !== host)
      if (plans.length === 0 || plans.some((plan) => isFollowed(plan, host))) continue
      const steps = this.history.steps.filter((step) => !names(step, host))
      await this.#keep({ ...this.history, plans, steps })
    }
  }

  /** Makes what is left plainer: default durability, everything in memory, shorter waits. */
  async simplify(): Promise<void> {
    const plans = this.history.plans.map((plan) => ({ ...plan, cacheBytes: 'all' as const }))
    await this.#keep({ ...this.history, plans })
    for (let i = 0; i < this.history.steps.length; i++) {
      const step = this.history.steps[i]
      const plainer = step === undefined ? undefined : plainerStep(step)
      if (plainer === undefined) continue
      await this.#keep({ ...this.history, steps: this.history.steps.with(i, plainer) })
    }
  }

  /** Goes on from `candidate` when it fails too. */
  async #keep(candidate: History): Promise<void> {
    for (const noise of NOISES) {
      if (this.plays >= this.#maxPlays) return
      this.plays++
      const history = { ...candidate, noise: candidate.noise + noise }
      const error = await this.#fails(history)
      if (error === undefined) continue
      this.history = history
      this.error = error
      return
    }
  }
}

function isFollowed({ follows, keys }: NodePlan, host: string): boolean {
  return follows === host || keys.some(({ clusterUrl }) => clusterUrl === host)
}

function names(step: Step, host: string): boolean {
  if ('node' in step) return step.node === host
  return 'from' in step && (step.from === host || step.to === host)
}

function plainerStep(step: Step): Step | undefined {
  if ('durability' in step) {
    const { durability, ...rest } = step
    return rest as Step
  }
  if (step.t === 'wait' && step.ms > 20) return { ...step, ms: Math.ceil(step.ms / 2) }
  if ('lost' in step && step.lost > 0) return { ...step, lost: 0 }
  return undefined
}
