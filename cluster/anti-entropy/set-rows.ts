/** Reading the records of a set of keys below some nodes of the digest tree, by one scan. */
import type { Hash } from '../../src/core/data/digest.ts'
import { encodeHash, hashRecord, hashText } from '../../src/core/data/digest.ts'
import { type StoredRecord, versionOf } from '../../src/core/data/entry.ts'
import { StateError } from '../../src/core/errors.ts'
import { literalPrefix } from '../../src/core/keys/key.ts'
import type { TimeSource } from '../../src/core/ports/time.ts'
import { type KeySet, MAX_HASHES } from '../../src/core/wire/comparison.ts'
import type { SequencedRow } from '../../src/store/format/rows.ts'
import { planExpireUnknown } from '../../src/store/plans/expire-unknown.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import { leafMask, leafOf } from './digest-tree.ts'
import type { HashSet } from './hash-set.ts'
import { coversKey } from './key-set.ts'
import { countsInDigest, planForUnknown } from './unknown-entries.ts'

/** What to read, and from where. */
export interface SetReading {
  readonly store: ReplicationStore
  readonly time: TimeSource
  readonly set: KeySet
  readonly nodes: readonly string[]
  /** Version of the stream that the peer speaks, whose hashes these are compared with. Default: the newest. */
  readonly protocol?: number
}

export interface HashedRow {
  readonly row: SequencedRow
  readonly hash: Hash
}

/** Records read between two breaths. */
const BREATH = 5000
/** Records of the outbox that are looked at. */
const MAX_PENDING = 1000
/** Rows settled in one batch. */
const PAGE = 1000

/** The records, tombstones too, key ascending, as of the moment of the first. */
export async function* setRows(reading: SetReading): AsyncGenerator<HashedRow, undefined> {
  const { rows } = await scanOf(reading)
  yield* hashed(reading, rows)
  return undefined
}

/**
 * The hashes of the first `MAX_HASHES` records, 16 hexadecimal digits each, without what is on its
 * way up anyhow: the first thousand records pending for `leader`. Ends early, with a part of them, when
 * `isWanted` says no.
 */
export async function hashesOf(
  reading: SetReading,
  leader: string,
  isWanted: () => boolean,
): Promise<string> {
  const { rows } = await scanOf(reading)
  // Read after the scan has its place: what left the outbox before that is at the leader.
  const pending = await reading.store.pending(leader, MAX_PENDING, new Set())
  const { protocol } = reading
  const skipped = new Set(pending.map(({ record }) => encodeHash(hashRecord(record, protocol))))
  const hashes: string[] = []
  for await (const { hash } of hashed(reading, rows)) {
    if (!isWanted() || hashes.length >= MAX_HASHES) break
    const text = encodeHash(hash)
    if (!skipped.has(text)) hashes.push(text)
  }
  return hashes.join('')
}

function scanOf({ store, set }: SetReading): ReturnType<ReplicationStore['scanRows']> {
  return store.scanRows({ prefix: literalPrefix(set.path) })
}

async function* hashed(
  { time, set, nodes, protocol }: SetReading,
  rows: AsyncIterable<SequencedRow>,
): AsyncGenerator<HashedRow, undefined> {
  const mask = leafMask(nodes)
  let read = 0
  for await (const row of rows) {
    if (++read % BREATH === 0) await breathe(time)
    const { key } = row.record
    if (mask[leafOf(key)] !== 1 || !coversKey(set, key)) continue
    yield { row, hash: hashRecord(row.record, protocol) }
  }
  return undefined
}

/** How to deal with what the leader has no record for. */
export interface SettleOptions {
  readonly leader: string
  /** Hashes the leader has no record for; undefined: all but what it has as well. */
  readonly lacks: HashSet | undefined
  /** Hashes of keys that the log tells of: what is pushed of those is not counted. */
  readonly underWay: HashSet
  /** Hashes of keys that the leader acknowledged meanwhile: it has what it said it lacked. */
  readonly acknowledged: HashSet
  /** See `UnknownContext`. */
  readonly forgotten: bigint
  readonly horizon: bigint
  /** What `forgotten` says nothing of. */
  readonly isApart: (row: SequencedRow) => boolean
  /** Up to which stamp the leader has removed tombstones. */
  readonly removed: bigint
  /** Hears of entries that are pushed though their tombstones may have been removed. */
  readonly doubted: (count: number) => void
  /** Ends early when it says no. */
  readonly isWanted: () => boolean
}

/**
 * Settles the records for which the leader has none, durably: queues those that it lacks, deletes
 * those that it has deleted and forgotten. To be called when its own records have been merged.
 * @returns how many records were not pending when they were hashed, or were deleted.
 */
export async function settleUnknown(reading: SetReading, options: SettleOptions): Promise<number> {
  const { store } = reading
  const { leader, lacks, underWay, acknowledged, forgotten, horizon, isWanted } = options
  const pages: Record<'push' | 'drop' | 'doubt', SequencedRow[]> = { push: [], drop: [], doubt: [] }
  let settled = 0
  const news = (rows: readonly SequencedRow[]): readonly SequencedRow[] =>
    rows.filter(({ record }) => !underWay.meet(hashText(record.key)))
  const flush = async (plan: keyof typeof pages): Promise<void> => {
    const rows = pages[plan]
    pages[plan] = []
    if (rows.length === 0) return
    const changed = await (plan === 'drop'
      ? store.run(planExpireUnknown(leader, rows))
      : store.enqueue(leader, rows))
    if (plan === 'doubt') options.doubted(changed)
    // What a leader has an older record for had it queued when that was merged: that counts as well.
    settled += plan !== 'drop' && lacks !== undefined ? news(rows).length : changed
  }
  for await (const { row, hash } of setRows(reading)) {
    if (!isWanted()) break
    if (lacks !== undefined && !lacks.meet(hash)) continue
    // what is pending already is left as it is by either of them.
    const known = options.isApart(row) ? 0n : forgotten
    const plan = planForUnknown(row.record, { isPending: false, forgotten: known, horizon })
    if (plan === 'leave') continue
    // To queue it again would take from writes over it what their makers had seen.
    if (isAcknowledged(acknowledged, row.record.key)) continue
    const page = plan === 'push' && isDoubtful(row.record, options.removed) ? 'doubt' : plan
    pages[page].push(row)
    if (pages[page].length >= PAGE) await flush(page)
  }
  await flush('push')
  await flush('doubt')
  await flush('drop')
  return settled
}

function isDoubtful(record: StoredRecord, removed: bigint): boolean {
  return record.kind === 'entry' && versionOf(record) <= removed
}

/**
 * Whether the leader has got the key since it said that it lacks it.
 * @throws StateError `overloaded` when that can not be told, so that the two compare again.
 */
function isAcknowledged(acknowledged: HashSet, key: string): boolean {
  if (acknowledged.size > MAX_HASHES) {
    throw new StateError('overloaded', `stream: more than ${MAX_HASHES} pushes while comparing`)
  }
  return acknowledged.meet(hashText(key))
}

/**
 * The records without those tombstones that are to be removed anyhow and delete nothing here: this
 * node may have removed them already.
 */
export async function leaveForgotten(
  store: ReplicationStore,
  records: readonly StoredRecord[],
  horizon: bigint,
): Promise<StoredRecord[]> {
  const wanted: StoredRecord[] = []
  for (const record of records) {
    const isNeeded = countsInDigest(record, horizon) || (await holdsEntry(store, record.key))
    if (isNeeded) wanted.push(record)
  }
  return wanted
}

async function holdsEntry(store: ReplicationStore, key: string): Promise<boolean> {
  if (store.damagedCount(key) > 0) return true
  return (await store.get(key)) !== undefined
}

/** Lets the rest of the process run: some storages answer without ever leaving it a turn. */
export function breathe(time: TimeSource): Promise<void> {
  return new Promise((resolve) => {
    time.after(0, resolve)
  })
}
