/**
 * The steps of a follower that touch its storage: each makes one thing durable, with the progress
 * that it stands for in the same batch, and returns the event that says so. One at a time.
 */

import { hashText } from '../../src/core/data/digest.ts'
import { nameOf } from '../../src/core/data/entry.ts'
import { StateError } from '../../src/core/errors.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import type { BatchOperation } from '../../src/core/ports/storage-adapter.ts'
import { NS_PER_MS, type TimeSource } from '../../src/core/ports/time.ts'
import { type KeySet, MAX_HASHES } from '../../src/core/wire/comparison.ts'
import type { LogPosition, Welcome } from '../../src/core/wire/protocol.ts'
import type { ConflictLog } from '../../src/store/conflicts/conflict-log.ts'
import { type Apart, apartHash, apartOf, MAX_APART } from '../../src/store/lineage/in-step.ts'
import { progressRow } from '../../src/store/lineage/link-rows.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import { HashSet } from '../anti-entropy/hash-set.ts'
import { leaveForgotten, setRows, settleUnknown } from '../anti-entropy/set-rows.ts'
import {
  encodeProgress,
  horizonRow,
  laterSeen,
  leaveLog,
  marksBeside,
} from '../progress/link-progress.ts'
import type { LinkStatus } from './link-status.ts'
import type { DeniedRow, FollowerEffect, FollowerEvent, LinkProgress } from './state/link.ts'

export type DurableEffect = Extract<
  FollowerEffect,
  { type: 'save' | 'merge' | 'settle' | 'restamp' | 'take' }
>

/** What a leader says of tombstones it does not keep; see `unknown-entries.ts`. */
export interface LeaderHorizon {
  readonly forgotten: bigint
  /** Up to which stamp it has removed tombstones, whether it is known of which log or not. */
  readonly removed: bigint
  /** Up to which stamp what it holds lacks tombstones, its own and inherited. */
  readonly gone: bigint
  readonly horizon: bigint
  /** Whether it has held all that was in the log at one of the places that it was told. */
  readonly knows: boolean
  /** Exceeds all stamps that the leader holds. */
  readonly greatest: bigint
}

/** What a welcome says of them. */
export function keptBy(
  welcome: Welcome,
): Pick<LeaderHorizon, 'forgotten' | 'removed' | 'gone' | 'knows'> {
  const { forgotten, removed = forgotten, gone = removed, continues, knows } = welcome
  return {
    forgotten: BigInt(forgotten),
    removed: BigInt(removed),
    gone: BigInt(gone),
    knows: continues || knows !== undefined,
  }
}

export interface FollowerStepsOptions {
  readonly store: ReplicationStore
  readonly time: TimeSource
  readonly logger: Logger
  /** Takes what the leader refused for good. */
  readonly conflicts: ConflictLog
  readonly leader: string
  /** Version of the stream that is spoken with it. */
  readonly protocol: () => number
  /** What is held for this leader. */
  readonly sets: readonly KeySet[]
  /** Id of the placement the progress belongs to. */
  readonly placementId: string
  readonly progress: LinkProgress
  /** For how long deletes are kept; 0: for ever. */
  readonly retentionMs: number
}

function isSamePlace(a: LogPosition | undefined, b: LogPosition | undefined): boolean {
  return a?.epoch === b?.epoch && a?.seq === b?.seq
}

/** When a leader was last in step is noted so many times per retention where nothing else is. */
const NOTES = 8
/** Of all that is sent nothing tells. */
const ALL_STAMPS = 2n ** 63n - 1n
/** Countings that writes come between, before nothing is taken for known. */
const MAX_TRIES = 5

export class FollowerSteps {
  readonly #options: FollowerStepsOptions
  /** The progress on disk; each step writes it again. */
  #durable: LinkProgress
  /** What the leader has no record for, as told so far in the exchange under way. */
  #lacks = new HashSet()
  /**
   * Of the same exchange, hashes of keys: what the leader changed under way lost against ours, so the
   * outbox has ours already. MAX_HASHES at most; what is beyond is counted as a difference.
   */
  #underWay = new HashSet()
  /**
   * Hashes of keys that the leader acknowledged since the exchange before, or told of in this one: when it
   * said what it lacks it may not have had them yet. Those of one connection.
   */
  #acknowledged = { session: 0, keys: new HashSet() }

  /** Deletes up to this stamp may be forgotten at the leader. */
  #gone = 0n
  #denied = 0
  #unproven = 0

  constructor(options: FollowerStepsOptions) {
    this.#options = options
    this.#durable = options.progress
  }

  /** For people; see `LinkStatus`. */
  get counts(): Pick<LinkStatus, 'denied' | 'unproven'> {
    return { denied: this.#denied, unproven: this.#unproven }
  }

  /** No step is under way, so what the leader is told of the progress is all of it. */
  quiet(session: number): FollowerEvent {
    return { type: 'quiet', session, known: marksBeside(this.#options.store, this.#durable) }
  }

  get durable(): LinkProgress {
    return this.#durable
  }

  /**
   * @param isWanted when it says no, a long step may end early.
   * @throws StateError of the storage; `invalid_message` when the leader lacks more than it can.
   */
  async perform(
    effect: DurableEffect,
    retention: LeaderHorizon,
    isWanted: () => boolean,
  ): Promise<FollowerEvent> {
    const { store, leader } = this.#options
    const { session } = effect
    this.#gone = retention.gone > retention.horizon ? retention.gone : retention.horizon
    switch (effect.type) {
      case 'save': {
        const progress = await this.#saveProgress(effect)
        return { type: 'saved', session, progress }
      }
      case 'merge': {
        const { records, cursor, seen, isComplete } = effect
        const { base, leader: id, apart } = this.#durable
        const beyond = effect.beyond ?? cursor.seq
        const reported = { seen: this.#later(seen), leader: id }
        const progress = isComplete
          ? { cursor, ...reported, ...(beyond > cursor.seq ? { beyond } : {}) }
          : { cursor: null, ...reported, base, apart }
        await this.#save(progress, (meta) => store.merge(records, { source: leader, leader, meta }))
        return { type: 'applied', session, seq: cursor.seq, beyond, progress }
      }
      case 'settle': {
        const { n, rows, superseded } = effect
        const held = rows.filter(({ seq }) => superseded?.has(seq) !== true)
        this.#noteHeld(session, held)
        const progress = { ...this.#durable, seen: this.#later(effect.seen) }
        const noted = await this.#note(effect.denied ?? [])
        await this.#save(progress, (meta) => store.acknowledge(leader, rows, meta, noted))
        return { type: 'settled', session, n, progress }
      }
      case 'restamp':
        await store.restamp(leader, effect.rows, retention.greatest)
        return { type: 'restamped', session }
      case 'take':
        return this.#take(effect, retention, isWanted)
    }
  }

  async #saveProgress(effect: Extract<DurableEffect, { type: 'save' }>): Promise<LinkProgress> {
    const { store, leader } = this.#options
    const { cursor, seen, leader: id } = effect.progress
    const { base: reported } = effect.progress
    const place = this.#durable.cursor ?? this.#durable.base
    const isLeft = effect.baseIfEmpty !== undefined && !isSamePlace(reported, place)
    const left = isLeft ? await leaveLog(store, leader) : []
    const base = reported ?? (await this.#baseIfEmpty(effect.baseIfEmpty))
    const apart = await this.#named(effect.progress.apart)
    const later = seen === null ? null : this.#later(seen)
    const progress = { cursor, seen: later, base, leader: id, apart }
    await this.#save(progress, (meta) => store.saveMeta(new Map([...left, ...meta])))
    return progress
  }

  /**
   * What changed here before this leader was followed again, by its keys where those are not too many: what
   * changes from now on is pending for the leader, or comes from it.
   */
  async #named(apart: Apart | undefined): Promise<Apart | undefined> {
    if (apart?.after === undefined) return apart
    const { after, keys = [], ...rest } = apart
    const { rows } = await this.#options.store.log(after, MAX_APART + 1)
    const named = [...new Set([...keys, ...rows.map(({ record }) => apartHash(record.key))])]
    return rows.length > MAX_APART || named.length > MAX_APART ? apart : { ...rest, keys: named }
  }

  /** Entries are sent of which nothing tells whether the leader has deleted them. */
  #doubt(count: number): void {
    const { leader, logger } = this.#options
    if (count === 0) return
    this.#unproven += count
    logger.warn(
      'entries that the leader does not know are sent to it; nothing tells whether they were deleted',
      { leader, entries: count },
    )
  }

  async #take(
    effect: Extract<DurableEffect, { type: 'take' }>,
    retention: LeaderHorizon,
    isWanted: () => boolean,
  ): Promise<FollowerEvent> {
    const { store, time, leader, protocol } = this.#options
    const { session, n, part, last, records, fresh, set, nodes, isAll } = effect
    const progress = { ...this.#durable, seen: this.#later(effect.seen) }
    const { horizon } = retention
    const known = await leaveForgotten(store, records.slice(0, records.length - fresh), horizon)
    const late = await leaveForgotten(store, records.slice(records.length - fresh), horizon)
    const outcomes = await this.#save(progress, (meta) =>
      store.merge([...known, ...late], { source: leader, leader, meta }),
    )
    const news = outcomes.slice(0, known.length)
    const applied = news.filter((outcome) => outcome === 'applied').length
    if (part === 1) {
      this.#lacks = new HashSet()
      this.#underWay = new HashSet()
    }
    late.forEach(({ key }, i) => {
      if (outcomes[known.length + i] !== 'superseded' || this.#underWay.size >= MAX_HASHES) return
      this.#underWay.add(hashText(key))
    })
    this.#lacks.addAll(effect.lacks)
    // Where it had nothing when it was asked, it has by now what it sends: another follower delivered that.
    if (isAll) this.#noteHeld(session, records)
    if (this.#lacks.size > MAX_HASHES) {
      throw new StateError('invalid_message', `stream: more than ${MAX_HASHES} hashes lacking`)
    }
    const lacks = isAll ? undefined : this.#lacks
    const acknowledged = this.#acknowledgedIn(session)
    const unknown = {
      ...{ leader, lacks, underWay: this.#underWay, acknowledged, ...retention, isWanted },
      removed: !retention.knows && this.#wasAway() ? ALL_STAMPS : retention.removed,
      isApart: apartOf(this.#durable.apart ?? {}),
      doubted: (count: number) => this.#doubt(count),
    }
    const pending =
      last && (isAll || this.#lacks.size > 0)
        ? await settleUnknown({ store, time, set, nodes, protocol: protocol() }, unknown)
        : 0
    if (last) this.#acknowledged = { session, keys: new HashSet() }
    return { type: 'took', session, n, part, last, applied, pending, progress }
  }

  #acknowledgedIn(session: number): HashSet {
    if (this.#acknowledged.session !== session) {
      this.#acknowledged = { session, keys: new HashSet() }
    }
    return this.#acknowledged.keys
  }

  /** What the leader will never take is kept in the log of what was lost, in the batch that lets go of it. */
  async #note(denied: readonly DeniedRow[]): Promise<BatchOperation[]> {
    const { store, conflicts, leader, logger } = this.#options
    const noted: BatchOperation[] = []
    for (const { row, record: sent, code, reason } of denied) {
      this.#denied++
      const keyState = sent === undefined ? await store.keyState(row.key) : undefined
      const record = sent ?? (keyState?.seq === row.seq ? keyState.record : undefined)
      // One that a comparison brings up again has been noted.
      if (record === undefined || (await conflicts.refusalOf(row.key, nameOf(record)))) continue
      logger.warn('the leader refused a write for good: it is in the conflict log', {
        ...{ leader, key: row.key, reason },
      })
      noted.push(conflicts.noteRefused(record, code))
    }
    return noted
  }

  /** One more than `MAX_HASHES` at most, which says that some are not in it. */
  #noteHeld(session: number, rows: readonly { readonly key: string }[]): void {
    const keys = this.#acknowledgedIn(session)
    for (const { key } of rows) if (keys.size <= MAX_HASHES) keys.add(hashText(key))
  }

  /** `base` when all that is held for this leader is pending for it. */
  async #baseIfEmpty(base: LogPosition | undefined): Promise<LogPosition | undefined> {
    if (base === undefined) return undefined
    const { store, leader } = this.#options
    for (let i = 0; i < MAX_TRIES; i++) {
      const { head } = store
      const isPending = await this.#holdsNoMoreThan(store.pendingCount(leader))
      // What was written meanwhile would be counted in one of the two only.
      if (store.head === head) return isPending ? base : undefined
    }
    return undefined
  }

  async #holdsNoMoreThan(limit: number): Promise<boolean> {
    const { store, time, sets } = this.#options
    let held = 0
    for (const set of sets) {
      for await (const _row of setRows({ store, time, set, nodes: [''] })) {
        if (++held > limit) return false
      }
    }
    return true
  }

  #later(seen: LogPosition): LogPosition {
    return laterSeen(this.#durable.seen, seen)
  }

  /** Writes `progress` in the same batch as what it stands for. */
  async #save<Result>(
    progress: LinkProgress,
    write: (meta: ReadonlyMap<string, string>) => Promise<Result>,
  ): Promise<Result> {
    const durable = { ...progress, ...this.#inherited(progress) }
    const row = encodeProgress(this.#options.placementId, durable)
    const result = await write(new Map([[progressRow(this.#options.leader), row]]))
    this.#durable = durable
    return result
  }

  /** Inherited with all of the log, so not before that is compared. The stamp never falls. */
  #inherited({ cursor }: LinkProgress): Pick<LinkProgress, 'forgotten' | 'heardMs'> {
    const { forgotten, heardMs } = this.#durable
    if (cursor === null) return { forgotten, heardMs }
    const isMore = this.#gone > BigInt(forgotten ?? 0)
    return { forgotten: isMore ? String(this.#gone) : forgotten, heardMs: this.#nowMs || heardMs }
  }

  get #nowMs(): number {
    return Number(this.#options.time.wallNs() / NS_PER_MS)
  }

  /** Whether this node was not in step for so long that what it holds may have been deleted and forgotten. */
  #wasAway(): boolean {
    const { retentionMs } = this.#options
    const { heardMs } = this.#durable
    return retentionMs > 0 && heardMs !== undefined && this.#nowMs - heardMs > retentionMs
  }

  /** In step with the leader, which has told this horizon: notes both, when it is time. @throws StateError of the storage. */
  async keep(horizon: bigint): Promise<void> {
    const { leader, store, retentionMs } = this.#options
    const { cursor, heardMs = 0 } = this.#durable
    const name = horizonRow(leader)
    const reported = new Map(store.meta(name) === String(horizon) ? [] : [[name, String(horizon)]])
    const isTime = retentionMs > 0 && this.#nowMs - heardMs > retentionMs / NOTES
    if (cursor !== null && isTime) {
      await this.#save(this.#durable, (meta) => store.saveMeta(new Map([...reported, ...meta])))
    } else if (reported.size > 0) await store.saveMeta(reported)
  }
}
