/**
 * What a leader keeps for its followers beside the log: how far each of them is, how long deletions
 * are remembered, and the clock it goes by. One per node.
 */
import type { HybridClock } from '../../src/core/data/clock.ts'
import { lastStampOf, type StoredRecord, versionOf } from '../../src/core/data/entry.ts'
import { errorText } from '../../src/core/errors.ts'
import { mayOverlap } from '../../src/core/keys/pattern-overlap.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import { NS_PER_MS, type TimeSource } from '../../src/core/ports/time.ts'
import type { LeaderClock } from '../../src/core/wire/leader-clock.ts'
import type { Hello } from '../../src/core/wire/protocol.ts'
import { planReemit } from '../../src/store/plans/reemit.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import { type Placement, scopeOf } from '../members/placement.ts'
import {
  FollowerRegistry,
  type RegisteredFollower,
  type Registration,
} from './follower-registry.ts'
import type { LivedTime } from './lived-time.ts'
import { type PlaceProof, proofOfPlace } from './proof-of-place.ts'
import { horizonAt, TombstoneRemover } from './retention.ts'

export interface FollowerProgressOptions {
  /** Open. */
  readonly store: ReplicationStore
  readonly placement: Placement
  readonly clock: HybridClock
  readonly time: TimeSource
  /** By which age is told. */
  readonly lived: LivedTime
  readonly logger: Logger
  /** 0: tombstones are never removed. */
  readonly tombstoneRetentionMs: number
  /** Up to which stamp the leader with this URL removes tombstones; 0n while it has not told. */
  readonly horizonOfLeader: (url: string) => bigint
  /** Hears that tombstones up to this stamp are gone. */
  readonly removed: (forgotten: bigint) => void
  /** Hears of each follower that is no member any more. */
  readonly forgotten?: (follower: RegisteredFollower) => void
}

/** How a follower that says hello is taken. */
export interface Admission {
  /** The log tells all that the follower lacks. */
  readonly canResume: boolean
  readonly proof: PlaceProof
  readonly registration: Registration
}

export class FollowerProgress {
  readonly #options: FollowerProgressOptions
  readonly #registry: FollowerRegistry
  readonly #remover: TombstoneRemover

  constructor(options: FollowerProgressOptions) {
    this.#options = options
    const { store, placement, clock, time, lived, logger, tombstoneRetentionMs } = options
    this.#registry = new FollowerRegistry({
      store,
      nowMs: () => Number(clock.physicalNs() / NS_PER_MS),
      livedMs: () => lived.ms,
      ...(options.forgotten === undefined ? {} : { forgotten: options.forgotten }),
      logger,
    })
    this.#remover = new TombstoneRemover({
      store,
      registry: this.#registry,
      time,
      logger,
      retentionMs: tombstoneRetentionMs,
      horizonOf: (key) => this.#horizon(scopeOf(placement, key)?.leader),
      removed: options.removed,
    })
  }

  start(): void {
    this.#remover.start()
  }

  /** Waits for what is being removed, and notes how far the followers are. */
  async stop(): Promise<void> {
    await this.#remover.stop()
    try {
      await this.#registry.save()
    } catch (error) {
      // They are asked again when they join; until then deletions are kept longer.
      this.#options.logger.warn('how far the followers are could not be noted', {
        error: errorText(error),
      })
    }
  }

  /** Every follower that is remembered, connected or away. */
  followers(): RegisteredFollower[] {
    return this.#registry.list()
  }

  isConnected(id: string): boolean {
    return this.#registry.isConnected(id)
  }

  /** Every follower, connected or away. */
  members(): (RegisteredFollower & { readonly connected: boolean })[] {
    return this.followers().map((each) => ({ ...each, connected: this.isConnected(each.id) }))
  }

  /** Forgets a follower that is away. @returns it; undefined when there is none, or it is connected. */
  forget(id: string): RegisteredFollower | undefined {
    return this.#registry.forget(id)
  }

  /** Up to which stamp tombstones of the keys of this path are removed, sooner or later. */
  horizonOf(path: string): bigint {
    const { scopes } = this.#options.placement
    return this.#horizon(scopes.find((scope) => mayOverlap(scope.path, path))?.leader)
  }

  /** Removes old tombstones now. @returns how many. @throws StateError of the storage. */
  removeOld(): Promise<number> {
    return this.#remover.run()
  }

  /** Takes a follower in: from now on, nothing it has not passed is removed. */
  admit(hello: Hello): Admission {
    const { store } = this.#options
    const { cursor } = hello
    const { retention } = this.#remover
    const proof = proofOfPlace(store, retention, hello)
    const canResume = proof.continues && cursor !== null && cursor.seq >= retention.floor
    const registration = this.#registry.joined(hello, canResume ? cursor : null)
    return { canResume, proof, registration }
  }

  /**
   * Re-emits winning records that the follower does not hear of otherwise. There are two kinds. The follower
   * has passed the record in the log, but dropped it for a record of its own that was given a lesser stamp later. Or
   * the record is an old delete: the follower may remove that before this node does, and would then take an old
   * record of one of its own followers for a new one.
   * @param lost what was superseded here.
   * @param passed seq up to which the follower may have dropped what it heard of.
   * @throws StateError of the storage.
   */
  async reemit(lost: readonly StoredRecord[], passed: number): Promise<void> {
    // An old delete wins only against what is older still.
    const concerned = lost.filter(
      (record) => passed > 0 || versionOf(record) <= this.horizonOf(record.key),
    )
    if (concerned.length === 0) return
    const isOldDelete = (record: StoredRecord): boolean =>
      record.kind === 'tombstone' && lastStampOf(record) <= this.horizonOf(record.key)
    const keys = concerned.map(({ key }) => key)
    await this.#options.store.run(
      planReemit(keys, ({ record, seq }) => seq <= passed || isOldDelete(record)),
    )
  }

  /** What this node goes by, for a follower of these scopes. */
  leaderClock(n: number, scopes: readonly string[]): LeaderClock {
    const { clock } = this.#options
    const now = clock.physicalNs()
    const horizons = scopes.map((path) => this.horizonOf(path))
    return {
      t: 'terms',
      n,
      clock: now,
      greatest: clock.last > now ? clock.last : now,
      latest: clock.latest,
      horizon: horizons.reduce((least, horizon) => (horizon < least ? horizon : least)),
    }
  }

  #horizon(leader: string | undefined): bigint {
    const { lived, tombstoneRetentionMs, horizonOfLeader } = this.#options
    if (leader !== undefined) return horizonOfLeader(leader)
    return horizonAt(lived.oldNs('tombstones'), tombstoneRetentionMs)
  }
}
