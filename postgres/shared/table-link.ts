/**
 * Keeps one table and this node in step. Two loops, each one step at a time: the pull loop follows
 * the table by cursor, the push loop sends what is pending for it. Both go on for ever; while the
 * database is away they try again with growing delays, and the node goes on without it.
 */

import type { StoredRecord } from '../../src/core/data/entry.ts'
import { withStandInOrigin } from '../../src/core/data/stand-in-origin.ts'
import { clientTextOf, errorText, isStateError, StateError } from '../../src/core/errors.ts'
import { compactJson } from '../../src/core/json/json.ts'
import { backoffDelayMs } from '../../src/core/ports/backoff.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import { NS_PER_MS, type Random, type TimeSource } from '../../src/core/ports/time.ts'
import { assertRecord } from '../../src/core/records/check.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import { Bell } from '../tables/bell.ts'
import { planRemoveMissing } from '../tables/plan-remove-missing.ts'
import type { TableChange, TableChanges } from '../tables/row.ts'
import type { PostgresTables } from '../tables/tables.ts'
import { leaderOfTable, type ResolvedSharedSettings, tableOf } from './options.ts'
import { encodeCursor, type SharedCursor } from './progress.ts'
import { SharedPush } from './push.ts'
import type { SharedTableStatus } from './status.ts'

export interface SharedTableLinkOptions {
  readonly table: string
  readonly tables: PostgresTables
  readonly settings: ResolvedSharedSettings
  readonly store: ReplicationStore
  /** undefined: everything is sent and compared first. */
  readonly cursor: SharedCursor | undefined
  readonly placementId: string
  readonly time: TimeSource
  readonly random: Random
  readonly logger: Logger
}

const COMPACT_INTERVAL_MS = 3_600_000
const COMPACT_PAGE = 10_000
const COMPARE_PAGE = 1_000

export class SharedTableLink {
  readonly leader: string
  readonly #options: SharedTableLinkOptions
  readonly #pullBell: Bell
  readonly #pushBell: Bell
  readonly #retryBells: readonly [Bell, Bell]
  readonly #push: SharedPush
  readonly #stopped = new AbortController()
  readonly #counts = { pulled: 0, dropped: 0, malformed: 0 }
  #state: SharedTableStatus['state'] = 'offline'
  #cursor: SharedCursor | undefined
  #head = 0
  #lastError: string | undefined
  /** Pushing and comparing take turns: what is pending while comparing stays so. */
  #turn: Promise<unknown> = Promise.resolve()
  #nextCompactNs = 0n
  #unsubscribe: (() => void) | undefined
  #loops: Promise<unknown> = Promise.resolve()

  constructor(options: SharedTableLinkOptions) {
    this.#options = options
    this.#cursor = options.cursor
    this.leader = leaderOfTable(options.table)
    const { time } = options
    this.#push = new SharedPush({
      ...options,
      leader: this.leader,
      untilStopped: (work) => this.#untilStopped(work),
      onRefused: (reason) => {
        this.#lastError = reason
      },
    })
    this.#pullBell = new Bell(time)
    this.#pushBell = new Bell(time)
    this.#retryBells = [new Bell(time), new Bell(time)]
  }

  start(): void {
    const [pullRetry, pushRetry] = this.#retryBells
    this.#loops = Promise.all([
      this.#repeat(this.#pullBell, pullRetry, () => this.#pull()),
      this.#repeat(this.#pushBell, pushRetry, () => this.#inTurn(() => this.#push.step())),
    ])
  }

  /** Ends both loops: what the store is writing is waited for, the database is not. */
  async stop(): Promise<void> {
    this.#state = 'closed'
    this.#stopped.abort()
    this.#unsubscribe?.()
    for (const bell of [this.#pullBell, this.#pushBell, ...this.#retryBells]) bell.ring()
    await this.#loops
  }

  /** Tells the link that something is pending for its table. */
  outboxChanged(): void {
    this.#pushBell.ring()
  }

  /** Compares everything once more, as after damage to the node's own records. */
  startOver(): void {
    this.#cursor = undefined
    this.#pullBell.ring()
  }

  status(): SharedTableStatus {
    const { table, settings, store } = this.#options
    return {
      table,
      scopes: settings.scopes.filter((scope) => scope.table === table).map(({ path }) => path),
      state: this.#state,
      cursor: this.#cursor?.seq ?? 0,
      head: this.#head,
      outbox: store.pendingCount(this.leader),
      refused: this.#push.refused,
      pushed: this.#push.pushed,
      ...this.#counts,
      lastError: this.#lastError,
    }
  }

  /** Runs `step` until it says that nothing is left, then waits for the bell. */
  async #repeat(bell: Bell, retry: Bell, step: () => Promise<boolean>): Promise<void> {
    const { settings, random } = this.#options
    for (let failures = 0; !this.#isClosed(); ) {
      try {
        const more = await step()
        failures = 0
        if (!more && !this.#isClosed()) await bell.wait(settings.pollIntervalMs)
      } catch (error) {
        if (this.#isClosed()) return
        this.#failed(error)
        failures++
        await retry.wait(backoffDelayMs(failures, settings.retry, random))
      }
    }
  }

  /** Reads one page of changes. True when there may be more. */
  async #pull(): Promise<boolean> {
    const { table, tables, settings, store } = this.#options
    await this.#connect()
    const from = this.#cursor
    const { pageRows, pageBytes } = settings
    const page = await this.#untilStopped(
      tables.changes(table, from?.seq ?? 0, pageRows, pageBytes),
    )
    this.#heardOf(page)
    const { epoch } = page.through
    if (from === undefined || from.epoch !== epoch || from.seq > page.head) {
      // Another life of the table, or one this node has not followed: it gets all that is here.
      await store.resendAll(this.leader)
      if (this.#cursor === from) await this.#save({ epoch, seq: 0, comparing: true })
      this.#pushBell.ring()
      return true
    }
    if (from.seq < page.floor && !from.comparing) {
      // Deletes were forgotten that this node has not heard of.
      await this.#save({ epoch, seq: 0, comparing: true })
      return true
    }
    await this.#take(page.changes, { ...page.through, comparing: from.comparing }, from)
    if (page.through.seq < page.head) return true
    if (from.comparing) {
      const compared = this.#cursor
      await this.#inTurn(() => this.#dropForgotten())
      if (this.#cursor === compared) await this.#save({ ...page.through, comparing: false })
      return true
    }
    this.#becomeLive()
    await this.#compact()
    return false
  }

  async #connect(): Promise<void> {
    if (this.#unsubscribe !== undefined) return
    const { tables, table } = this.#options
    await this.#untilStopped(tables.open())
    await this.#untilStopped(tables.createTable(table))
    this.#unsubscribe = tables.hear(table, (connected) => {
      if (!connected) return
      this.#pullBell.ring()
      for (const bell of this.#retryBells) bell.ring()
    })
  }

  /** Stores the records and the cursor in one batch. */
  async #take(
    changes: readonly TableChange[],
    cursor: SharedCursor,
    from: SharedCursor,
  ): Promise<void> {
    const { table, settings, store, placementId } = this.#options
    const records = changes
      .filter(({ record }) => tableOf(settings.scopes, record.key) === table)
      .flatMap(({ record }) => this.#wellFormed(record))
    if (records.length === 0 && cursor.seq === from.seq) return
    if (this.#cursor !== from) return
    const meta = encodeCursor(table, placementId, cursor)
    const { leader } = this
    const outcomes = await store.merge(records, { source: leader, leader, meta })
    this.#counts.pulled += outcomes.filter((outcome) => outcome === 'applied').length
    if (this.#cursor === from) this.#cursor = cursor
  }

  /**
   * What this node can take of a row. Programs that write by SQL may have left white space in a value, and an
   * earlier release took origins that nodes do not: those get the one that stands in for it.
   */
  #wellFormed(record: StoredRecord): StoredRecord[] {
    try {
      const data = record.kind === 'entry' ? { data: compactJson(record.data) } : {}
      const found = { ...withStandInOrigin(record), ...data }
      assertRecord(found, undefined, this.#options.store.limits)
      return [found]
    } catch (error) {
      this.#counts.malformed++
      this.#lastError = `key "${record.key}": ${clientTextOf(error)}`
      return []
    }
  }

  async #save(cursor: SharedCursor): Promise<void> {
    const { table, store, placementId } = this.#options
    await store.saveMeta(encodeCursor(table, placementId, cursor))
    this.#cursor = cursor
  }

  /** Deletes what the table does not know and that is not pending for it. */
  async #dropForgotten(): Promise<void> {
    const { store } = this.#options
    const { records } = await store.scan()
    let page: StoredRecord[] = []
    for await (const record of records) {
      if (record.kind !== 'entry' || !this.#holds(record.key)) continue
      page.push(record)
      if (page.length < COMPARE_PAGE) continue
      await this.#dropUnknown(page)
      page = []
      if (this.#isClosed()) return
    }
    await this.#dropUnknown(page)
  }

  async #dropUnknown(page: readonly StoredRecord[]): Promise<void> {
    const { store, tables, table } = this.#options
    const keys = page.map(({ key }) => key)
    const unknown = new Set(await this.#untilStopped(tables.unknown(table, keys)))
    if (unknown.size === 0) return
    const records = page.filter(({ key }) => unknown.has(key))
    this.#counts.dropped += await store.run(planRemoveMissing(this.leader, records))
  }

  #holds(key: string): boolean {
    return tableOf(this.#options.settings.scopes, key) === this.#options.table
  }

  /** `work`, or a rejection as soon as the link is stopped. */
  #untilStopped<T>(work: Promise<T>): Promise<T> {
    const { signal } = this.#stopped
    return new Promise((resolve, reject) => {
      const stop = (): void => reject(new StateError('closing', 'postgres: the node is closing'))
      if (signal.aborted) stop()
      signal.addEventListener('abort', stop)
      work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
    })
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work)
    this.#turn = result.catch(() => undefined)
    return result
  }

  async #compact(): Promise<void> {
    const { tables, table, settings, time } = this.#options
    if (settings.tombstoneRetentionMs === 0 || time.monotonicNs() < this.#nextCompactNs) return
    const first = this.#nextCompactNs === 0n
    this.#nextCompactNs = time.monotonicNs() + BigInt(COMPACT_INTERVAL_MS) * NS_PER_MS
    // Not at the start: nodes often start together, and after an absence there is more urgent work.
    if (first) return
    for (let gone = COMPACT_PAGE; gone === COMPACT_PAGE; ) {
      gone = await this.#untilStopped(tables.compact(table, settings.tombstoneRetentionMs))
    }
  }

  #heardOf(page: TableChanges): void {
    this.#head = page.head
    if (this.#state === 'offline') this.#state = 'catchingUp'
    if (this.#push.observeClock(page.nowNs)) this.#pushBell.ring()
  }

  #becomeLive(): void {
    if (this.#state === 'live' || this.#isClosed()) return
    this.#state = 'live'
    this.#options.logger.info('live with a shared table', { table: this.#options.table })
    this.#pushBell.ring()
  }

  #failed(error: unknown): void {
    const { table, logger } = this.#options
    const reason = errorText(error)
    if (isStateError(error, 'not_found')) this.#forgetConnection()
    if (this.#state !== 'offline' || this.#lastError !== clientTextOf(error)) {
      logger.warn('shared table out of reach; serving and taking writes locally', { table, reason })
    }
    this.#lastError = clientTextOf(error)
    this.#state = 'offline'
  }

  /** The table is gone: it is made again before the next step. */
  #forgetConnection(): void {
    this.#unsubscribe?.()
    this.#unsubscribe = undefined
    this.#pullBell.ring()
  }

  #isClosed(): boolean {
    return this.#state === 'closed'
  }
}
