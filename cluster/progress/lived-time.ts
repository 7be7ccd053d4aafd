/**
 * How old something is, told by two clocks. The wall clock alone may jump: then everything is old at once,
 * and what was to be kept is removed. So a node counts the time that it has **lived**: for which it was up, by its
 * monotonic clock, over restarts. Now and then it notes what its wall clock said by then, a **sample**. Old is
 * what is not above the newest sample that was taken a whole age of lived time ago.
 *
 * - Samples are of the wall clock, in the leader's time, and not of the hybrid clock. That one never goes back: one
 *   stamp from the future would make everything older than it for good.
 * - A sample may itself be of a wrong clock. It lies back at least what was lived since, so each sample lowers
 *   those before it to that, and so does the clock of now. For a clock ahead to be believed it must be so
 *   at every sample of a whole age, and still when it is asked.
 * - Samples are taken a while after the start only: many machines boot in 1970 and learn the time then.
 *   One that is behind makes everything younger, for one age at most.
 * - A node that was off has not lived: it keeps longer.
 * - A node that is killed loses what it lived since the last save, at most half of the time since it started
 *   once that is some minutes, and at most an hour.
 *
 * One meta row: `<lived> <name>=<lived>:<wall>,… …`, nanoseconds.
 */
import type { HybridClock } from '../../src/core/data/clock.ts'
import { errorText } from '../../src/core/errors.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import { type CancelTimer, NS_PER_MS, type TimeSource } from '../../src/core/ports/time.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import type { ResolvedClusterOptions } from '../config/options.ts'
import { type Sample, Samples } from './lived-samples.ts'

/** What is removed by age. */
export type AgedName = 'tombstones' | 'conflicts'

export interface LivedTimeOptions {
  /** Open. */
  readonly store: ReplicationStore
  readonly clock: HybridClock
  readonly time: TimeSource
  readonly logger: Logger
  /** After how long each is old, milliseconds; 0: never. */
  readonly ages: Readonly<Record<AgedName, number>>
}

const ROW = 'lived'
/** Saved so many times while the shortest age passes, at least. */
const SAVES = 64
const MAX_SAVE_MS = 3_600_000
const MIN_SAVE_MS = 1000
/** A process that ends before this has not lived, unless it is stopped. */
const FIRST_SAVE_MS = 60_000

export class LivedTime {
  readonly #options: LivedTimeOptions
  readonly #beforeNs: bigint
  readonly #startNs: bigint
  readonly #samples = new Map<string, Samples>()
  #cancel: CancelTimer | undefined
  #saving: Promise<void> = Promise.resolve()
  #isStopped = false

  /** Goes on from what is on disk. */
  constructor(options: LivedTimeOptions) {
    this.#options = options
    const { store, time, ages } = options
    this.#startNs = time.monotonicNs()
    const kept = decode(store.meta(ROW))
    this.#beforeNs = kept?.livedNs ?? 0n
    for (const [name, ageMs] of Object.entries(ages)) {
      const samples = kept === undefined ? this.#known(name, ageMs) : kept.samples.get(name)
      this.#samples.set(name, new Samples(ageMs, samples))
    }
  }

  /** For how long this node was up, in all its lives, nanoseconds. */
  get ns(): bigint {
    return this.#beforeNs + this.#options.time.monotonicNs() - this.#startNs
  }

  /** As `ns`, milliseconds. */
  get ms(): number {
    return Number(this.ns / NS_PER_MS)
  }

  /** Stamp up to which everything of this kind is old; 0n: nothing is. */
  oldNs(name: AgedName): bigint {
    return this.#samples.get(name)?.oldNs(this.ns, this.#options.clock.physicalNs()) ?? 0n
  }

  /** Samples and saves from now on. */
  start(): void {
    if (this.#isStopped) return
    this.#cancel = this.#options.time.after(this.#waitMs(), () => {
      this.#saving = this.#save().then(() => this.start())
    })
  }

  /** Saves a last time. Never fails: what could not be saved was not lived. */
  async stop(): Promise<void> {
    this.#isStopped = true
    this.#cancel?.()
    await this.#saving
    await this.#save()
  }

  /** As long again as it has been up: what a kill takes is in proportion to that. */
  #waitMs(): number {
    const { ages, time } = this.#options
    const shortest = Math.min(...Object.values(ages).filter((ageMs) => ageMs > 0))
    const most = Math.max(MIN_SAVE_MS, Math.min(shortest / SAVES, MAX_SAVE_MS))
    const upMs = Number((time.monotonicNs() - this.#startNs) / NS_PER_MS)
    return Math.min(most, Math.max(upMs, FIRST_SAVE_MS))
  }

  async #save(): Promise<void> {
    const { store, clock, logger } = this.#options
    const { ns } = this
    const now = clock.physicalNs()
    for (const samples of this.#samples.values()) samples.note(ns, now)
    try {
      await store.saveMeta(new Map([[ROW, encode(ns, this.#samples)]]))
    } catch (error) {
      logger.warn('how long this node has been up could not be noted', { error: errorText(error) })
    }
  }

  /**
   * A storage of an earlier release: what it removed was old. With it the horizon goes on from there, and does
   * not fall to nothing until the retention has been lived.
   */
  #known(name: string, ageMs: number): Sample[] {
    const { forgotten } = this.#options.store.retention
    if (name !== 'tombstones' || forgotten === 0n) return []
    return [{ livedNs: -BigInt(Math.round(ageMs)) * NS_PER_MS, wallNs: forgotten }]
  }
}

/** For a node with these options. */
export function livedTimeOf(
  parts: Pick<LivedTimeOptions, 'store' | 'clock' | 'time'> & {
    readonly options: Pick<ResolvedClusterOptions, 'tombstoneRetentionMs' | 'limits' | 'logger'>
  },
): LivedTime {
  const { store, clock, time, options } = parts
  const { tombstoneRetentionMs, limits, logger } = options
  const ages = { tombstones: tombstoneRetentionMs, conflicts: limits.conflictAgeMs }
  return new LivedTime({ store, clock, time, logger, ages })
}

interface Kept {
  readonly livedNs: bigint
  readonly samples: ReadonlyMap<string, readonly Sample[]>
}

function encode(livedNs: bigint, all: ReadonlyMap<string, Samples>): string {
  const parts = [...all].map(([name, { list }]) => {
    const samples = list.map((sample) => `${sample.livedNs}:${sample.wallNs}`)
    return `${name}=${samples.join(',')}`
  })
  return [livedNs, ...parts].join(' ')
}

/** undefined: nothing, or nothing that can be read, which only keeps things for longer. */
function decode(row: string | undefined): Kept | undefined {
  if (row === undefined || !/^\d+( [a-z]+=(-?\d+:\d+(,-?\d+:\d+)*)?)*$/.test(row)) return undefined
  const [lived = '0', ...parts] = row.split(' ')
  const samples = parts.map((part): [string, Sample[]] => {
    const [name = '', list = ''] = part.split('=')
    return [name, list === '' ? [] : list.split(',').map(decodeSample)]
  })
  return { livedNs: BigInt(lived), samples: new Map(samples) }
}

function decodeSample(text: string): Sample {
  const [livedNs = '0', wallNs = '0'] = text.split(':')
  return { livedNs: BigInt(livedNs), wallNs: BigInt(wallNs) }
}
