/** Takes what one follower pushes into the store, and says what became of each record. One per stream. */
import type { HybridClock } from '../src/core/clock.ts'
import { type StoredRecord, versionOf } from '../src/core/entry.ts'
import { jsonExcess } from '../src/core/json-bounds.ts'
import type { Logger } from '../src/core/logger.ts'
import { MAX_OVERTAKEN, overtakenName } from '../src/core/overtaken.ts'
import type { Push, PushOutcome } from '../src/core/protocol.ts'
import type { RecordLimits } from '../src/core/record-check.ts'
import type { TimeSource } from '../src/core/time.ts'
import type { ConflictLog } from '../src/store/conflict-log.ts'
import { planDeny } from '../src/store/plan-deny.ts'
import type { Store } from '../src/store/store.ts'
import { DriftLog } from './drift-log.ts'
import type { LeaderKeeping } from './leader-keeping.ts'
import type { StreamingState } from './leader-session.ts'
import { isTooLong } from './page.ts'
import { inScopes, type Placement, scopeOf } from './placement.ts'

export interface PushTakerOptions {
  readonly store: Store
  readonly placement: Placement
  readonly clock: HybridClock
  readonly time: TimeSource
  readonly keeping: LeaderKeeping
  /** Takes what is lost in concurrent writes of followers. */
  readonly conflicts: ConflictLog
  readonly logger: Logger
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
   * @returns one outcome per record, in order.
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
  ): Promise<PushOutcome[]> {
    const { store, placement, conflicts, clock, keeping } = this.#options
    const notAfter = clock.latest
    const ours = records
      .map((record, i) => ({
        ...{ record, seen: seen[i] ?? undefined, isLost: lost.includes(i) },
        isTooGreat: withheld.includes(i) || isTooGreat(record, store.limits),
      }))
      .filter(
        ({ record: { key } }) =>
          inScopes(follower.scopes, key) && scopeOf(placement, key) !== undefined,
      )
    const accepted = ours.filter((item) => !item.isTooGreat)
    const denied = ours.flatMap((item) => (item.isTooGreat ? [item.record] : []))
    const answers = await this.#deny(denied, notAfter, follower.name)
    const pushed = {
      follower: follower.id,
      seen: accepted.map((item) => item.seen),
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
    await keeping.tellAgain(superseded, this.drifted > 0 ? acked : 0)
    const fates = new Map<StoredRecord, PushOutcome | undefined>([
      ...answers,
      ...accepted.map(({ record }, i) => [record, merged[i]] as const),
    ])
    const outcomes = records.map((record): PushOutcome => fates.get(record) ?? 'refused')
    const refused = records.filter((_record, i) => outcomes[i] === 'drift').map(overtakenName)
    this.#refused = [...this.#refused, ...refused].slice(-MAX_OVERTAKEN)
    this.#drift.note(follower.name, records, outcomes, notAfter)
    return outcomes
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

/** Whether the value is beyond one of the limits of size. A delete never is. */
function isTooGreat(record: StoredRecord, { maxValueBytes, json }: RecordLimits): boolean {
  if (record.kind === 'tombstone') return false
  return isTooLong(record, maxValueBytes) || jsonExcess(record.data, json) !== undefined
}
