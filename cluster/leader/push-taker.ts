/** Takes what one follower pushes into the store, and says what became of each record. One per stream. */
import type { HybridClock } from '../../src/core/data/clock.ts'
import { type StoredRecord, versionOf } from '../../src/core/data/entry.ts'
import { MAX_OVERTAKEN, overtakenName } from '../../src/core/data/overtaken.ts'
import { jsonExcess } from '../../src/core/json/bounds.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import type { TimeSource } from '../../src/core/ports/time.ts'
import { excessOf, flawOf, isUnreadable, type RecordLimits } from '../../src/core/records/check.ts'
import type { Push, PushOutcome, PushReason } from '../../src/core/wire/protocol.ts'
import type { ConflictLog } from '../../src/store/conflicts/conflict-log.ts'
import { planDeny } from '../../src/store/plans/deny.ts'
import type { TakeOutcome } from '../../src/store/replication/replication.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import { inScopes, type Placement, scopeOf } from '../members/placement.ts'
import type { FollowerProgress } from '../progress/follower-progress.ts'
import { isTooLong } from '../stream/page.ts'
import { DriftLog } from './drift-log.ts'
import type { StreamingState } from './session.ts'

export interface PushTakerOptions {
  readonly store: ReplicationStore
  readonly placement: Placement
  readonly clock: HybridClock
  readonly time: TimeSource
  readonly followerProgress: FollowerProgress
  /** Takes what is lost in concurrent writes of followers. */
  readonly conflicts: ConflictLog
  readonly logger: Logger
}

/** What became of a push. */
export interface Taken {
  /** One per record, in order. */
  readonly outcomes: readonly PushOutcome[]
  /** Of those that no node may hold, or this one does not. */
  readonly reasons: readonly PushReason[]
}

export class PushTaker {
  readonly #options: PushTakerOptions
  readonly #source: string
  readonly #drift: DriftLog
  /** What was refused as stamped too far in the future, and may come again behind later changes. */
  #refused: readonly string[] = []

  /** @param source marks the commits of this stream */
  constructor(options: PushTakerOptions, source: string) {
    this.#options = options
    this.#source = source
    this.#drift = new DriftLog(options)
  }

  /** Records that were refused so far as stamped too far in the future. */
  get drifted(): number {
    return this.#drift.count
  }

  /**
   * Merges a push, durably. One at a time.
   * @param session as of when the push came.
   * @throws StateError of the storage.
   */
  async take(
    {
      records,
      seen = [],
      lost = [],
      withheld = [],
      overtaken = [],
    }: Omit<Push, 't' | 'n' | 'whole'>,
    { follower, acked }: StreamingState,
  ): Promise<Taken> {
    const { store, placement, conflicts, clock, followerProgress } = this.#options
    const notAfter = clock.latest
    const ours = records
      .map((record, i) => ({
        ...{ record, causalContext: seen[i] ?? undefined, isLost: lost.includes(i) },
        isTooGreat: withheld.includes(i) || isTooGreat(record, store.limits),
      }))
      .filter(
        // Of one without a key nobody can say whose it is.
        ({ record }) =>
          isUnreadable(record) ||
          (inScopes(follower.scopes, record.key) && scopeOf(placement, record.key) !== undefined),
      )
    const accepted = ours.filter((item) => !item.isTooGreat)
    const denied = ours.flatMap((item) => (item.isTooGreat ? [item.record] : []))
    const answers = await this.#deny(denied, notAfter, follower.name)
    const pushed = {
      follower: follower.id,
      causalContexts: accepted.map((item) => item.causalContext),
      lost: accepted.map((item) => item.isLost),
      overtaken: [...this.#refused, ...overtaken],
      conflicts,
    }
    const merged = await store.merge(
      accepted.map(({ record }) => record),
      { source: this.#source, pushed, notAfter },
    )
    // Durable before the follower hears that its records lost: it does not push them again.
    const hasLost = (i: number): boolean => merged[i] === 'superseded' && !pushed.lost[i]
    const superseded = accepted.flatMap(({ record }, i) => (hasLost(i) ? [record] : []))
    // One that had to give its own records lesser stamps may have dropped what now wins against them.
    await followerProgress.reemit(superseded, this.drifted > 0 ? acked : 0)
    const byRecord = new Map<StoredRecord, PushOutcome | undefined>([
      ...answers,
      ...accepted.map(({ record }, i) => [record, outcomeOf(merged[i])] as const),
    ])
    const outcomes = records.map((record): PushOutcome => byRecord.get(record) ?? 'refused')
    const refused = records.filter((_record, i) => outcomes[i] === 'drift').map(overtakenName)
    this.#refused = [...this.#refused, ...refused].slice(-MAX_OVERTAKEN)
    this.#drift.note(follower.name, records, outcomes, notAfter)
    // That a value is longer than this node takes is known at the follower: the welcome says how long it may be.
    const tooLong = new Set(denied.filter((record) => !isTooComplex(record, store.limits)))
    const reasons = records.flatMap((record, i) =>
      outcomes[i] === 'denied' && !tooLong.has(record) ? [this.#reasonOf(record, i)] : [],
    )
    return { outcomes, reasons }
  }

  #reasonOf(record: StoredRecord, place: number): PushReason {
    const found = flawOf(record) ?? excessOf(record, undefined, this.#options.store.limits)
    const { code, text } = found ?? OF_STORAGE
    return [place, code, text]
  }

  /** Refuses records for good: what this node has of their keys is later from now on. */
  async #deny(
    records: readonly StoredRecord[],
    notAfter: bigint,
    follower: string,
  ): Promise<[StoredRecord, PushOutcome][]> {
    if (records.length === 0) return []
    const { store, logger } = this.#options
    const denied = records.filter((record) => versionOf(record) <= notAfter)
    await store.run(planDeny(denied))
    const [first] = denied
    if (first !== undefined) {
      const { maxValueBytes, json } = store.limits
      logger.warn('values of a follower are greater than this node takes: refused for good', {
        ...{ follower, key: first.key, maxValueBytes, ...json, refused: denied.length },
      })
    }
    return records.map((record) => [record, denied.includes(record) ? 'denied' : 'drift'])
  }
}

/** Of a record that the check lets pass and the storage does not. */
const OF_STORAGE = {
  code: 'too_large',
  text: 'the storage of the leader does not take it',
} as const

/** What the check of records refuses is refused for good: it would be as often as it came. */
function outcomeOf(merged: TakeOutcome | undefined): PushOutcome | undefined {
  return merged === 'refused' ? 'denied' : merged
}

/** Whether the value is beyond one of the limits of size. A delete never is. */
function isTooGreat(record: StoredRecord, limits: RecordLimits): boolean {
  return isTooLong(record, limits.maxValueBytes) || isTooComplex(record, limits)
}

/** Whether the value is nested too deep, or has too many members. */
function isTooComplex(record: StoredRecord, { json }: RecordLimits): boolean {
  return record.kind === 'entry' && jsonExcess(record.data, json) !== undefined
}
