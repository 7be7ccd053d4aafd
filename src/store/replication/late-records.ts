/**
 * Records of a backup with stamps too far in the future, which a wrong clock made. Taken as they are, each would
 * beat all that is written to its key until its stamp has passed. So the node takes such a record as a write
 * of its own: with a stamp of now that exceeds what the key holds, under its own origin. As after any restamp
 * (see `plans/restamp.ts`), copies that others hold under the first stamp give way: the key gets a mark for it, and a
 * later one for what its maker wrote there before.
 *
 * Where the key holds a record that was itself given a lesser stamp, the greatest stamps that the two ever had
 * decide, as between two nodes that restamp (see `byFirstStamps` in `replication.ts`).
 */
import {
  marksOf,
  nameOf,
  type StoredRecord,
  versionOf,
  wasOf,
  withMarks,
  withWas,
} from '../../core/data/entry.ts'
import { addLaterMarks, addMarks, changesIn, isCovered, unionMarks } from '../../core/data/marks.ts'
import { mergeRecords } from '../../core/data/merge.ts'
import type { PlanContext } from '../planning/planner.ts'
import { firstStampOf, justBefore, nextWas, stampsOf, withStamps } from './restamped-record.ts'

/** The late ones among records that are merged together. */
export class LateRecords {
  readonly #context: PlanContext
  readonly #latest: bigint
  readonly #late: readonly StoredRecord[]
  #stamps: ReadonlyMap<bigint, bigint> | undefined

  /** @param latest the greatest stamp that is taken as it is. */
  constructor(context: PlanContext, records: readonly StoredRecord[], latest: bigint) {
    this.#context = context
    this.#latest = latest
    this.#late = records.filter((record) => this.has(record))
  }

  has(record: StoredRecord): boolean {
    return versionOf(record) > this.#latest
  }

  /** Whether the key holds this very change under another stamp. */
  isKnown(record: StoredRecord, current: StoredRecord | undefined): boolean {
    if (current === undefined) return false
    const was = changesIn(wasOf(current))
    return was.some(
      ({ origin, version }) => origin === record.origin && version === versionOf(record),
    )
  }

  /**
   * What is to be merged in place of a late record that would win; undefined: it does not, and is merged as it came.
   * @param current what its key holds.
   */
  take(record: StoredRecord, current: StoredRecord | undefined): StoredRecord | undefined {
    const version = versionOf(record)
    if (mergeRecords(current, record).order >= 0) return undefined
    if (current !== undefined) {
      const first = firstStampOf(current)
      const isYounger = first !== versionOf(current) && first > version
      // It is older than what the key holds, wherever it is.
      if (isYounger) return withMarks(record, addLaterMarks(marksOf(record), [nameOf(record)]))
    }
    return this.#restamped(record, current)
  }

  #restamped(record: StoredRecord, current: StoredRecord | undefined): StoredRecord {
    const { identity } = this.#context
    const { origin: maker } = record
    const first = { origin: maker, version: versionOf(record) }
    const stamps = this.#stampsAbove(record, current)
    const version = stamps.get(first.version) ?? first.version
    const known = addMarks(unionMarks(marksOf(current), marksOf(record)), [first])
    // What is replaced may come again under another stamp, from whoever holds it under its first one.
    const before = current === undefined ? [] : changesIn(wasOf(current))
    const older = [...justBefore([first]), ...before]
    const origin = identity.originFor(version, addLaterMarks(known, older))
    const named = withWas(withStamps(record, stamps, origin), nextWas(record, first))
    // What the record was itself is not older than it.
    const fit = older.filter(
      (change) => !isCovered(addLaterMarks(undefined, [change]), nameOf(named)),
    )
    return withMarks(named, addLaterMarks(known, fit))
  }

  /** New stamps for those of the record that are late, its version above what the key holds. */
  #stampsAbove(
    record: StoredRecord,
    current: StoredRecord | undefined,
  ): ReadonlyMap<bigint, bigint> {
    const { now } = this.#context
    this.#stamps ??= this.#inOrder()
    const version = versionOf(record)
    const held = current === undefined ? 0n : versionOf(current)
    if ((this.#stamps.get(version) ?? version) > held) return this.#stamps
    return new Map(this.#stamps).set(version, now(held))
  }

  /** A stamp of this node for each that is late, in order; equal ones stay equal. */
  #inOrder(): ReadonlyMap<bigint, bigint> {
    const beyond = new Set(this.#late.flatMap(stampsOf).filter((stamp) => stamp > this.#latest))
    const sorted = [...beyond].sort((a, b) => (a < b ? -1 : 1))
    return new Map(sorted.map((stamp) => [stamp, this.#context.now()]))
  }
}
