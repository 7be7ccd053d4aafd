/** Sends a node's outbox to its table, a page at a time. */
import { versionOf } from '../../src/core/data/entry.ts'
import { isStateError } from '../../src/core/errors.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import { NS_PER_MS, type TimeSource } from '../../src/core/ports/time.ts'
import type { SequencedRow } from '../../src/store/format/rows.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import type { PostgresTables } from '../tables/tables.ts'
import type { ResolvedSharedSettings } from './options.ts'

export interface SharedPushOptions {
  readonly table: string
  /** The table's name in the store's outbox. */
  readonly leader: string
  readonly tables: PostgresTables
  readonly settings: ResolvedSharedSettings
  readonly store: ReplicationStore
  readonly time: TimeSource
  readonly logger: Logger
  /** Gives up waiting for the database when the node closes. */
  untilStopped<T>(work: Promise<T>): Promise<T>
  /** Hears why a change was refused. */
  readonly onRefused: (reason: string) => void
}

/** Most changes that are remembered as refused; with more, none is sent until they are tried again. */
const MAX_REFUSED = 10_000

export class SharedPush {
  readonly #options: SharedPushOptions
  /** Seqs of pending changes that the table can not take now. */
  readonly #refused = new Set<number>()
  #retryRefusedNs = 0n
  /** What to add to the local wall clock to get the table's; undefined before the first answer. */
  #offsetNs: bigint | undefined
  #pushed = 0

  constructor(options: SharedPushOptions) {
    this.#options = options
  }

  /** Pending changes that the table can not take now. */
  get refused(): number {
    return this.#refused.size
  }

  /** Changes that won in the table. */
  get pushed(): number {
    return this.#pushed
  }

  /** Tells what the table's clock shows; nothing is sent before that. True the first time. */
  observeClock(nowNs: bigint): boolean {
    const first = this.#offsetNs === undefined
    this.#offsetNs = nowNs - this.#options.time.wallNs()
    return first
  }

  /** Sends one page of what is pending. True when there may be more. Rejects when the table is away. */
  async step(): Promise<boolean> {
    const { store, settings, leader } = this.#options
    if (this.#offsetNs === undefined || store.pendingCount(leader) === 0) return false
    this.#retryRefused()
    if (this.#refused.size >= MAX_REFUSED) return false
    const pending = await store.pending(leader, settings.pageRows, this.#refused)
    const rows = cut(pending, settings.pageBytes).filter((row) => this.#isInTime(row))
    if (rows.length > 0) await this.#send(rows)
    return pending.length > 0
  }

  async #send(rows: readonly SequencedRow[]): Promise<void> {
    const { store, tables, table, leader, untilStopped } = this.#options
    const records = rows.map(({ record }) => record)
    try {
      this.#pushed += await untilStopped(tables.merge(table, records))
    } catch (error) {
      const refusal = isStateError(error) && !error.meaning.retryable && error.code !== 'not_found'
      if (!refusal) throw error
      // One bad record must not hold up the others.
      if (rows.length > 1) for (const row of rows) await this.#send([row])
      else for (const row of rows) this.#refuse(row, error.clientText)
      return
    }
    const sent = rows.map(({ seq, record }) => ({ seq, key: record.key }))
    await store.acknowledge(leader, sent, new Map())
  }

  #isInTime(row: SequencedRow): boolean {
    const { time, settings } = this.#options
    const nowNs = time.wallNs() + (this.#offsetNs ?? 0n)
    const aheadMs = (versionOf(row.record) - nowNs) / NS_PER_MS
    const allowedMs = settings.maxClockDriftMs
    if (aheadMs <= BigInt(allowedMs)) return true
    this.#refuse(row, `stamped ${aheadMs} ms ahead of the table, ${allowedMs} allowed`)
    return false
  }

  /** What was refused is tried again once in an interval: clocks catch up, tables change. */
  #retryRefused(): void {
    if (this.#options.time.monotonicNs() >= this.#retryRefusedNs) this.#refused.clear()
  }

  #refuse({ seq, record }: SequencedRow, reason: string): void {
    const { time, settings, logger, table, onRefused } = this.#options
    const { key } = record
    onRefused(`key "${key}": ${reason}`)
    if (this.#refused.size === 0) {
      this.#retryRefusedNs = time.monotonicNs() + BigInt(settings.pollIntervalMs) * NS_PER_MS
      logger.warn('changes wait in the outbox: the shared table refuses them', {
        table,
        key,
        reason,
      })
    }
    this.#refused.add(seq)
  }
}

/** As many of the rows as have together about `bytes` of values, at least one. */
function cut(rows: readonly SequencedRow[], bytes: number): readonly SequencedRow[] {
  let total = 0
  const end = rows.findIndex(({ record }, i) => {
    total += record.kind === 'entry' ? record.data.length : 0
    return i > 0 && total > bytes
  })
  return end === -1 ? rows : rows.slice(0, end)
}
