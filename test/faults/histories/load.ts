/**
 * Operations at their own times, whatever becomes of the others: an open load. It is bounded: an operation
 * whose node has too many open ones already is left out, and counted.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { SeededRandom } from '../../support/seeded-random.ts'
import { waitFor } from '../../support/wait.ts'
import { type Condition, type Operation, type Place, perform } from './client.ts'
import type { HistoryRecord, OperationLine } from './record.ts'

export interface LoadOptions {
  readonly record: HistoryRecord
  readonly random: SeededRandom
  /** The nodes to be asked, and what decides there. */
  readonly places: readonly Place[]
  /** Operations a second, of all nodes together. Default 40. */
  readonly rate?: number
  /** Keys written without conditions all the time. */
  readonly plainKeys: readonly string[]
  /** Lists that are pushed to. */
  readonly lists: readonly string[]
  /** What conditional writes wait for. Default `local`. */
  readonly conditionalAck?: string
  /** Share of conditional writes. Default 0.25. */
  readonly conditionalShare?: number
}

const MAX_OPEN_PER_NODE = 12
/** Operations that are later than this are left out: a machine that stood still is not flooded afterwards. */
const MAX_LATE_MS = 1000
const CONDITIONAL_KEYS = 3
/**
 * Most operations go to keys that are written for a while only, so many operations long, and then left as they
 * are: what becomes of them later is not covered up by more writes.
 */
const PERIOD = 80
const PERIOD_KEYS = 6
/** Some values are longer than one piece of the stream, so that small ones go before them. */
const LARGE_SHARE = 0.08
const LARGE_FROM = 50_000
const LARGE_TO = 400_000

export class Load {
  /** Operations that were left out because their node had too many open. */
  skipped = 0
  readonly #options: LoadOptions
  readonly #open = new Map<string, number>()
  readonly #freeProcesses: number[] = []
  #processes = 0
  #lineage = 0
  #plainCount = 0
  #isConditional = true
  #isRunning = false
  #running: Promise<void> = Promise.resolve()
  #openConditional = 0

  constructor(options: LoadOptions) {
    this.#options = options
  }

  start(): void {
    this.#isRunning = true
    this.#running = this.#run()
  }

  /** Stops and waits for what is under way. */
  async stop(): Promise<void> {
    this.#isRunning = false
    await this.#running
    await waitFor(() => this.#openCount() === 0, { what: 'the last operations' })
  }

  /** Ends conditional writes, and waits for those under way. */
  async pauseConditional(): Promise<void> {
    this.#isConditional = false
    await waitFor(() => this.#openConditional === 0, { what: 'the last conditional writes' })
  }

  /** Conditional writes go on, with keys that nobody wrote before. */
  resumeConditional(): void {
    this.#lineage += 1
    this.#isConditional = true
  }

  async #run(): Promise<void> {
    const { random, places, rate = 40, conditionalShare = 0.25 } = this.#options
    let next = performance.now()
    while (this.#isRunning) {
      next += (-Math.log(1 - random.next()) * 1000) / rate
      const wait = next - performance.now()
      if (wait > 0) await delay(wait)
      const place = random.pick(places)
      // Drawn in any case, so that what is left out changes nothing of what follows.
      const isConditional = random.chance(conditionalShare)
      const operation = isConditional ? undefined : this.#plain()
      const isReadBefore = random.chance(0.4)
      const key = `once/${this.#lineage}-${random.below(CONDITIONAL_KEYS)}`
      if (this.#isFull(place, wait)) this.skipped += 1
      else if (operation !== undefined) void this.#one(place, operation, isReadBefore)
      else if (this.#isConditional) void this.#decide(place, key)
    }
  }

  #isFull({ name }: Place, wait: number): boolean {
    return wait < -MAX_LATE_MS || (this.#open.get(name) ?? 0) >= MAX_OPEN_PER_NODE
  }

  #plain(): Operation {
    const { random, plainKeys, lists } = this.#options
    this.#plainCount += 1
    const isLasting = random.chance(0.35)
    const own = `items/p${Math.floor(this.#plainCount / PERIOD)}-${random.below(PERIOD_KEYS)}`
    const key = isLasting ? random.pick(plainKeys) : own
    const ack = random.chance(0.85) ? 'local' : random.pick(['leader', '1'])
    const kind = random.next()
    const size = random.chance(LARGE_SHARE) ? LARGE_FROM + random.below(LARGE_TO - LARGE_FROM) : 0
    if (kind < 0.35) return { op: 'set', key, ack, size }
    if (kind < 0.5) return { op: 'patch', key, ack }
    if (kind < 0.64) return { op: 'delete', key, ack }
    if (kind < 0.7) return { op: 'push', key: random.pick(lists), ack }
    return { op: 'read', key }
  }

  /** What a client reads before it writes tells the checker what the node had when it wrote. */
  async #one(place: Place, operation: Operation, isReadBefore: boolean): Promise<void> {
    const { record } = this.#options
    const { op, key } = operation
    await this.#asProcess(place, async (process) => {
      if (isReadBefore && op !== 'read' && op !== 'push') {
        await perform(record, process, place, { op: 'read', key })
      }
      await perform(record, process, place, operation)
    })
  }

  /** Reads a key and writes it on the condition that it is still so: an increment, a creation or a delete. */
  async #decide(place: Place, key: string): Promise<void> {
    const { record, random, conditionalAck = 'local' } = this.#options
    const isDelete = random.chance(0.1)
    this.#openConditional += 1
    await this.#asProcess(place, async (process) => {
      const read = await perform(record, process, place, { op: 'read', key })
      if (read.outcome !== 'ok') return
      const condition = conditionOf(read)
      const op = isDelete && condition.tag !== undefined ? 'delete' : 'set'
      await perform(record, process, place, { op, key, condition, ack: conditionalAck })
    })
    this.#openConditional -= 1
  }

  /** A client that has nothing under way does it; a new one if there is none. */
  async #asProcess<T>(place: Place, act: (process: number) => Promise<T>): Promise<T> {
    const process = this.#freeProcesses.pop() ?? this.#processes++
    this.#open.set(place.name, (this.#open.get(place.name) ?? 0) + 1)
    try {
      return await act(process)
    } finally {
      this.#open.set(place.name, (this.#open.get(place.name) ?? 0) - 1)
      this.#freeProcesses.push(process)
    }
  }

  #openCount(): number {
    return [...this.#open.values()].reduce((sum, count) => sum + count, 0)
  }
}

/** What a read has seen, as a condition. */
export function conditionOf({ seen, etag }: OperationLine): Condition {
  const id = (seen as { readonly id?: unknown } | null)?.id
  return {
    tag: seen === null ? undefined : (etag ?? ''),
    expects: typeof id === 'string' ? id : null,
  }
}
