/**
 * The store's state on disk behind a bounded cache: memory does not grow with the data. What has
 * been applied but is not in the adapter yet is pinned in memory, so that every read sees it.
 *
 * Reads of many rows begin at rest, between two batches: there the adapter's snapshot plus what is
 * pinned is exactly the state of the last commit.
 */
import { contextCoversItself } from '../../core/data/causal-context.ts'
import { directoryOf, hasGlob, literalPrefix, matchKey } from '../../core/keys/key.ts'
import type { Row, StorageAdapter } from '../../core/ports/storage-adapter.ts'
import type { SequencedRow } from '../format/rows.ts'
import {
  decodePending,
  decodeRecord,
  outboxRow,
  outboxRowsAfter,
  recordRow,
  recordRows,
  seqOfRow,
  unsealRow,
} from '../format/rows.ts'
import type { ListPace } from '../types/list-pace.ts'
import type { LeaderOf } from '../types/store-options.ts'
import { FetchedView } from './fetched-view.ts'
import { entriesOfRows, isCreatedIn, isWholeDirectory, limited } from './glob-scan.ts'
import { KeyStateCache } from './key-state-cache.ts'
import { readOutbox } from './outbox-rows.ts'
import { overlaid } from './overlay.ts'
import type {
  FoundEntries,
  KeyState,
  KeyStateChange,
  ListOptions,
  Reads,
  State,
  StateView,
} from './state.ts'
import { listByTime, type TimeListSource } from './time-list.ts'

export interface BoundedStateOptions {
  readonly adapter: StorageAdapter
  readonly cacheBytes: number
  readonly head: () => number
  readonly leaderOf: LeaderOf
  /** Runs `take` when no batch is under way. */
  readonly betweenBatches: <T>(take: () => T) => Promise<T>
  /** Runs `work` while no batch is, and holds the next back until it is done. */
  readonly exclusively: <T>(work: () => Promise<T>) => Promise<T>
  /** Keys that are not to be served. */
  readonly isDamaged: (key: string) => boolean
  /** Hears of keys whose record on disk does not match its checksum; `isCached`: memory has it whole. */
  readonly damaged: (key: string, isCached: boolean) => void
  /** Whether the record of this key waits to be written again from memory, which alone has it whole. */
  readonly isRewriting: (key: string) => boolean
  /** While it is there, a row that is absent may be lost: resolves when what is lost is damaged. */
  readonly doubt: () => Promise<void> | undefined
  /** Records pending for each leader at the start. */
  readonly pending: ReadonlyMap<string, number>
}

/** Rows asked of the adapter in one call. */
const PAGE = 1000

export class BoundedState implements State {
  readonly #options: BoundedStateOptions
  readonly #cache: KeyStateCache
  readonly #pinned = new Map<string, KeyState>()
  readonly #pending: Map<string, number>
  /** Rows being fetched; what changed meanwhile must not be cached. */
  readonly #fetching = new Map<string, { stale: boolean }>()

  constructor(options: BoundedStateOptions) {
    this.#options = options
    this.#cache = new KeyStateCache(options.cacheBytes)
    this.#pending = new Map(options.pending)
  }

  get cachedBytes(): number {
    return this.#cache.bytes
  }

  async view(reads: readonly Reads[]): Promise<StateView> {
    const keyStates = new Map<string, KeyState | undefined>()
    const keys = new Set(reads.flatMap((read) => read.keys ?? []))
    for (const glob of new Set(reads.flatMap((read) => read.globs ?? []))) {
      const rows = this.#overlaid(
        this.#options.adapter.iterate(recordRows(literalPrefix(glob))),
        this.#pinned,
      )
      for await (const { record } of rows) if (matchKey(glob, record.key)) keys.add(record.key)
    }
    const asked = [...keys]
    const found = await this.keyStates(asked)
    for (const [i, key] of asked.entries()) keyStates.set(key, found[i])
    return new FetchedView(keyStates)
  }

  put({ keyState, before }: KeyStateChange): void {
    const { key } = keyState.record
    this.#pinned.set(key, keyState)
    this.#cache.delete(key)
    const fetch = this.#fetching.get(key)
    if (fetch !== undefined) fetch.stale = true
    if (before?.pendingFor !== undefined) this.#count(before.pendingFor, -1)
    if (keyState.pendingFor !== undefined) this.#count(keyState.pendingFor, 1)
  }

  remove({ record: { key } }: KeyState): void {
    this.#pinned.delete(key)
    this.#cache.delete(key)
    const fetch = this.#fetching.get(key)
    if (fetch !== undefined) fetch.stale = true
  }

  written(): void {
    for (const keyState of this.#pinned.values()) this.#cache.set(keyState)
    this.#pinned.clear()
  }

  async keyState(key: string): Promise<KeyState | undefined> {
    const known = this.#known(key)
    return known ?? (await this.keyStates([key]))[0]
  }

  async keyStates(keys: readonly string[]): Promise<(KeyState | undefined)[]> {
    const found = new Map<string, KeyState | undefined>()
    const missing: string[] = []
    for (const key of keys) {
      const keyState = this.#known(key)
      if (keyState === undefined) missing.push(key)
      else found.set(key, keyState)
    }
    for (let i = 0; i < missing.length; i += PAGE) {
      await this.#fetch(missing.slice(i, i + PAGE), found)
    }
    return keys.map((key) => found.get(key))
  }

  async list(pattern: string, options: ListOptions, pace?: ListPace): Promise<FoundEntries> {
    if (!hasGlob(pattern)) return this.#one(pattern, options)
    const { limit, from, to } = options
    const isPartial = limit !== undefined || from !== undefined || to !== undefined
    if (isPartial && isWholeDirectory(pattern)) {
      return listByTime(this.#timeSource(), directoryOf(pattern), options, pace)
    }
    const scan = await this.scan(literalPrefix(pattern))
    return { seq: scan.seq, entries: await entriesOfRows(scan, pattern, options, pace) }
  }

  async keys(prefix: string): Promise<string[]> {
    const { rows } = await this.scan(prefix)
    const keys: string[] = []
    for await (const { record } of rows) if (record.kind === 'entry') keys.push(record.key)
    return keys
  }

  async scan(prefix: string): Promise<{ seq: number; rows: AsyncIterable<SequencedRow> }> {
    const { adapter, betweenBatches, head } = this.#options
    const doubt = this.#options.doubt()
    if (doubt !== undefined) await doubt
    return betweenBatches(() => {
      const pinned = [...this.#pinned].filter(([key]) => key.startsWith(prefix))
      const rows = adapter.iterate(recordRows(prefix))
      return { seq: head(), rows: this.#overlaid(rows, new Map(pinned)) }
    })
  }

  async pending(leader: string, limit: number, skip: ReadonlySet<number>): Promise<SequencedRow[]> {
    if (this.pendingCount(leader) === 0) return []
    const { adapter, betweenBatches, leaderOf } = this.#options
    const { rows, pinned } = await betweenBatches(() => ({
      rows: adapter.iterate(outboxRowsAfter(0)),
      pinned: new Map(this.#pinned),
    }))
    const keys: { seq: number; key: string }[] = []
    for await (const [row, value] of rows) {
      const pending = unsealRow(row, value)
      if (pending === undefined || skip.has(seqOfRow(row))) continue
      const { key } = decodePending(pending)
      if (pinned.has(key) || leaderOf(key) !== leader) continue
      keys.push({ seq: seqOfRow(row), key })
      if (keys.length >= limit) break
    }
    for (const { seq, pendingFor, record } of pinned.values()) {
      if (pendingFor === leader && !skip.has(seq)) keys.push({ seq, key: record.key })
    }
    return this.#pendingAt(keys.slice(0, limit), leader, skip)
  }

  pendingCount(leader: string): number {
    return this.#pending.get(leader) ?? 0
  }

  /** The record of this key on disk does not match its checksum. */
  unreadable(key: string): void {
    this.#options.damaged(key, this.#known(key) !== undefined)
  }

  /** Counts again what is pending. @returns rows of the outbox that stand for nothing. */
  async recount(): Promise<readonly string[]> {
    return this.#options.exclusively(() => this.#recount())
  }

  async retarget(leaderOf: LeaderOf): Promise<readonly string[]> {
    for (const [key, state] of this.#pinned) {
      const pendingFor = state.pendingFor === undefined ? undefined : leaderOf(key)
      this.#pinned.set(key, { ...state, pendingFor })
    }
    this.#forgetPending()
    const stale = await this.#recount()
    // What was read meanwhile was told by the counts of before.
    const kept = this.#forgetPending()
    const marks = await this.#arePending(kept)
    kept.forEach(({ record, seq }, i) => {
      const mark = marks[i]
      const pendingFor = mark === undefined ? undefined : leaderOf(record.key)
      this.#cache.set({ record, seq, pendingFor, causalContext: mark?.causalContext })
    })
    return stale
  }

  /**
   * Cached key states say for whom they are pending: they are read again.
   * @returns those that stay as they are, as there is nothing whole to be read.
   */
  #forgetPending(): KeyState[] {
    for (const fetch of this.#fetching.values()) fetch.stale = true
    return this.#cache.clear(this.#options.isRewriting)
  }

  async #recount(): Promise<readonly string[]> {
    const { adapter, leaderOf, isDamaged } = this.#options
    const rows = adapter.iterate(outboxRowsAfter(0))
    // What waits to be written has its rows there later.
    const isNewer = (key: string): boolean => this.#pinned.has(key)
    const seqInMemory = (key: string): number | undefined => this.#known(key)?.seq
    const reading = { rows, adapter, leaderOf, isDamaged, isNewer, seqInMemory }
    const { pending, stale } = await readOutbox(reading)
    this.#pending.clear()
    for (const [leader, count] of pending) this.#pending.set(leader, count)
    for (const { pendingFor } of this.#pinned.values())
      if (pendingFor !== undefined) this.#count(pendingFor, 1)
    return stale
  }

  /** Of these places those that still stand; what was moved on meanwhile, as it was, is not passed over. */
  async #pendingAt(
    places: readonly { seq: number; key: string }[],
    leader: string,
    skip: ReadonlySet<number>,
  ): Promise<SequencedRow[]> {
    const keyStates = await this.keyStates(places.map(({ key }) => key))
    const rows = new Map<number, SequencedRow>()
    places.forEach((place, i) => {
      const { seq = 0, record, causalContext, pendingFor } = keyStates[i] ?? {}
      if (record === undefined || skip.has(seq)) return
      const isMoved = pendingFor === leader && contextCoversItself(causalContext, record)
      if (seq === place.seq || isMoved) rows.set(seq, { seq, record, causalContext })
    })
    return [...rows.values()]
  }

  #timeSource(): TimeListSource {
    return {
      ...this.#options,
      scan: (prefix) => this.scan(prefix),
      keyStates: (keys) => this.keyStates(keys),
      hasPinned: () => this.#pinned.size > 0,
    }
  }

  async #one(key: string, options: ListOptions): Promise<FoundEntries> {
    const { betweenBatches, head } = this.#options
    const { seq, found } = await betweenBatches(() => ({ seq: head(), found: this.keyState(key) }))
    const record = (await found)?.record
    const isShown = record?.kind === 'entry' && isCreatedIn(record, options)
    return { seq, entries: isShown ? limited([record], options) : [] }
  }

  /** Whether memory has the record of this key. */
  has(key: string): boolean {
    return this.#known(key) !== undefined
  }

  /** What is in memory of a key. */
  #known(key: string): KeyState | undefined {
    if (this.#options.isDamaged(key)) return undefined
    return this.#pinned.get(key) ?? this.#cache.get(key)
  }

  async #fetch(keys: readonly string[], found: Map<string, KeyState | undefined>): Promise<void> {
    const { adapter, leaderOf } = this.#options
    const fetch = { stale: false }
    for (const key of keys) this.#fetching.set(key, fetch)
    try {
      const values = await adapter.getMany(keys.map(recordRow))
      const doubt = values.includes(undefined) ? this.#options.doubt() : undefined
      if (doubt !== undefined) await doubt
      const rows: SequencedRow[] = []
      values.forEach((value, i) => {
        const key = keys[i] ?? ''
        const row = value === undefined ? undefined : this.#decode(key, value)
        const known = row === undefined ? this.#known(key) : undefined
        if (row !== undefined) rows.push(row)
        else if (known !== undefined) found.set(key, known)
      })
      const pending = await this.#arePending(rows)
      rows.forEach(({ record, seq }, i) => {
        const mark = pending[i]
        const keyState: KeyState = {
          record,
          seq,
          pendingFor: mark === undefined ? undefined : leaderOf(record.key),
          causalContext: mark?.causalContext,
        }
        found.set(record.key, keyState)
        if (!fetch.stale) this.#cache.set(keyState)
      })
    } finally {
      for (const key of keys) if (this.#fetching.get(key) === fetch) this.#fetching.delete(key)
    }
  }

  /** What the outbox says of each of the rows; undefined where it has none. */
  async #arePending(
    rows: readonly SequencedRow[],
  ): Promise<readonly ({ readonly causalContext: string | undefined } | undefined)[]> {
    // A count is off, even below zero, from when another leads until `retarget`.
    if ([...this.#pending.values()].every((count) => count === 0)) return []
    const names = rows.map(({ seq }) => outboxRow(seq))
    const marks = await this.#options.adapter.getMany(names)
    return marks.map((mark, i) => {
      if (mark === undefined) return undefined
      const row = unsealRow(names[i] ?? '', mark)
      return { causalContext: row === undefined ? undefined : decodePending(row).causalContext }
    })
  }

  #overlaid(
    rows: AsyncIterable<Row>,
    pinned: ReadonlyMap<string, KeyState>,
  ): AsyncGenerator<SequencedRow> {
    return overlaid(rows, pinned, (key, value) => this.#decode(key, value) ?? this.#known(key))
  }

  /** undefined when the row is damaged, or not to be served. */
  #decode(key: string, value: string): SequencedRow | undefined {
    if (this.#options.isDamaged(key)) return undefined
    const decoded = decodeRecord(key, value)
    if (decoded === undefined) this.unreadable(key)
    return decoded
  }

  #count(leader: string, step: number): void {
    this.#pending.set(leader, (this.#pending.get(leader) ?? 0) + step)
  }
}
