/**
 * Removes tombstones that are older than the retention. For a scope that this node leads it decides
 * by its own clock, and by the time it has lived (`lived-time.ts`), up to which stamp they are old: the **horizon**. For a scope it follows, the
 * leader tells, so that all nodes agree. A tombstone goes when neither it nor what it may have to win
 * against (`lastStampOf`) is newer than the horizon, it is pending for nobody, and every registered follower has passed it.
 */

import { lastStampOf } from '../../src/core/data/entry.ts'
import { errorText } from '../../src/core/errors.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import { type CancelTimer, NS_PER_MS, type TimeSource } from '../../src/core/ports/time.ts'
import type { SequencedRow } from '../../src/store/format/rows.ts'
import type { Retention } from '../../src/store/log/tombstones.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import { breathe } from '../anti-entropy/set-rows.ts'
import type { FollowerRegistry } from './follower-registry.ts'

export interface TombstoneRemoverOptions {
  readonly store: ReplicationStore
  readonly registry: FollowerRegistry
  readonly time: TimeSource
  readonly logger: Logger
  /** 0: nothing is ever removed. */
  readonly retentionMs: number
  /** Up to which stamp tombstones of this key are old. */
  readonly horizonOf: (key: string) => bigint
  /** Hears that tombstones up to this stamp are gone. */
  readonly removed: (forgotten: bigint) => void
}

/** The horizon moves in so many steps per retention: each costs a reading of all records. */
const STEPS = 8n
/** Removed in one operation. */
const PAGE = 500
/** Records read between two breaths. */
const BREATH = 1000
const MAX_INTERVAL_MS = 6 * 3_600_000
const MIN_INTERVAL_MS = 1000

/** The horizon when everything up to the stamp `oldNs` is older than the retention; 0n when there is no retention. */
export function horizonAt(oldNs: bigint, retentionMs: number): bigint {
  const step = (BigInt(Math.round(retentionMs)) * NS_PER_MS) / STEPS
  return step === 0n ? 0n : (oldNs / step) * step
}

export class TombstoneRemover {
  readonly #options: TombstoneRemoverOptions
  readonly #intervalMs: number
  #cancel: CancelTimer | undefined
  #pass: Promise<void> = Promise.resolve()
  #isStopped = false
  /** Removals that are being written count as removed for whoever joins. */
  #planned: Retention | undefined

  constructor(options: TombstoneRemoverOptions) {
    this.#options = options
    const wanted = options.retentionMs / Number(STEPS)
    this.#intervalMs = Math.min(MAX_INTERVAL_MS, Math.max(MIN_INTERVAL_MS, wanted))
  }

  start(): void {
    if (this.#options.retentionMs === 0 || this.#isStopped) return
    this.#cancel = this.#options.time.after(this.#intervalMs, () => {
      this.#pass = this.run().then(
        () => this.start(),
        (error: unknown) => {
          this.#options.logger.error('old tombstones could not be removed', {
            error: errorText(error),
          })
          this.start()
        },
      )
    })
  }

  /** Waits for a pass under way, which ends early. */
  async stop(): Promise<void> {
    this.#isStopped = true
    this.#cancel?.()
    await this.#pass
  }

  /** What the log does not tell any more, at this very moment. */
  get retention(): Retention {
    const { floor, forgotten } = this.#options.store.retention
    const planned = this.#planned
    if (planned === undefined) return { floor, forgotten }
    return {
      floor: Math.max(floor, planned.floor),
      forgotten: forgotten > planned.forgotten ? forgotten : planned.forgotten,
    }
  }

  /** One pass. @returns how many tombstones were removed. @throws StateError of the storage. */
  async run(): Promise<number> {
    const { store, registry, time, logger, retentionMs, horizonOf } = this.#options
    registry.forgetSilent(retentionMs)
    await registry.save()
    const { rows } = await store.scanRows()
    const { passed } = registry
    let removed = 0
    let read = 0
    let page: SequencedRow[] = []
    for await (const row of rows) {
      if (this.#isStopped) return removed
      if (++read % BREATH === 0) await breathe(time)
      const { record, seq } = row
      if (record.kind !== 'tombstone' || seq > passed) continue
      if (lastStampOf(record) > horizonOf(record.key)) continue
      page.push(row)
      if (page.length < PAGE) continue
      removed += await this.#forget(page)
      page = []
    }
    if (page.length > 0) removed += await this.#forget(page)
    if (removed > 0) logger.info('old tombstones were removed', { removed })
    return removed
  }

  async #forget(page: readonly SequencedRow[]): Promise<number> {
    const { store, registry } = this.#options
    // Asked in the turn of the removal, once: who joins later learns what is planned.
    let passed: number | undefined
    const count = await store.forget(page, {
      isPassed: (seq) => {
        passed ??= registry.passed
        return seq <= passed
      },
      planned: (retention) => {
        this.#planned = retention
      },
    })
    if (count > 0) this.#options.removed(store.retention.forgotten)
    return count
  }
}
