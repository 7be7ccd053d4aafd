/**
 * The sync engine of one node: leads the scopes that have no leader above, follows the others.
 * Written against clock, storage, transport and randomness only, so that it runs the same on a
 * virtual network.
 */
import type { HybridClock } from '../../src/core/data/clock.ts'
import { type ErrorCode, errorText } from '../../src/core/errors.ts'
import { onceAMinute } from '../../src/core/ports/once-a-minute.ts'
import {
  type CancelTimer,
  NS_PER_MS,
  type Random,
  type TimeSource,
} from '../../src/core/ports/time.ts'
import type { MessageSocket, SocketHandlers, Transport } from '../../src/core/ports/transport.ts'
import type { MemberNode } from '../../src/core/wire/node.ts'
import type { ConflictLog } from '../../src/store/conflicts/conflict-log.ts'
import { incarnationsOf } from '../../src/store/recovery/incarnations.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import { DigestTable } from '../anti-entropy/digest-table.ts'
import { followedSets, usualSets } from '../anti-entropy/key-set.ts'
import { BusPublisher } from '../bus/publisher.ts'
import type { BusReport } from '../bus/report.ts'
import type { ResolvedClusterOptions } from '../config/options.ts'
import { grantsOf, type Standing } from '../election/voters/standing.ts'
import { FollowerLink } from '../follower/follower.ts'
import { CloneGuard } from '../incarnation/clone-guard.ts'
import { type FollowerStatus, Leader } from '../leader/leader.ts'
import { type Placement, scopeOf } from '../members/placement.ts'
import { FollowerProgress } from '../progress/follower-progress.ts'
import type { RegisteredFollower } from '../progress/follower-registry.ts'
import { leavePlacement, loadProgress, settlePlacement } from '../progress/link-progress.ts'
import { type LivedTime, livedTimeOf } from '../progress/lived-time.ts'
import { horizonAt } from '../progress/retention.ts'
import { PartialValues } from '../stream/partial-values.ts'
import { ConflictRevision } from './conflict-revision.ts'
import type { ClusterRole, ClusterStatus } from './engine-status.ts'
import { Monitor } from './monitor.ts'

export interface EngineOptions {
  readonly options: ResolvedClusterOptions
  readonly placement: Placement
  /** Open, with `setLeaderOf` already told the placement. */
  readonly store: ReplicationStore
  readonly clock: HybridClock
  readonly time: TimeSource
  readonly random: Random
  /** Where this node is, for its leaders. Default: they are not told. */
  readonly node?: MemberNode
  /** What of a path of the placement this node follows. Default: all of it. */
  readonly narrow?: (path: string) => string
  /** Hears of each follower that is no member any more. Default: nobody does. */
  readonly forgotten?: (follower: RegisteredFollower) => void
  /** Opens connections to leaders. */
  readonly transport: Transport
  /** Where others reach this node, as a URL; for people. Default: it does not tell. */
  readonly url?: string
  /** Makes ids for placements. */
  readonly newId: () => string
  /** Who leads by election, and what that needs. Default: leaders are configured. */
  readonly standing?: Standing
  /**
   * Digests that outlive this engine: who gives them counts them, has them hear every commit, and stops
   * them. Default: the engine's own.
   */
  readonly digests?: DigestTable
}

/** Milliseconds before a comparison that could not begin is tried again. */
const RETRY_MS = 1000

export class ClusterEngine {
  readonly #engine: EngineOptions
  readonly #leader: Leader
  readonly #digests: DigestTable
  readonly #followerProgress: FollowerProgress
  readonly #guard: CloneGuard
  readonly #lived: LivedTime
  readonly #revision: ConflictRevision
  readonly #monitor: Monitor
  readonly #publisher: BusPublisher | undefined
  readonly #partials: PartialValues
  #links: FollowerLink[] = []
  /** What was lost in concurrent writes that this node decided. */
  readonly conflicts: ConflictLog
  readonly #progressListeners = new Set<() => void>()
  #stopListening: (() => void) | undefined
  /** Comparisons again, one after the other. */
  #restarts: Promise<void> = Promise.resolve()
  #isStopped = false
  #cancelRetry: CancelTimer | undefined

  constructor(engine: EngineOptions) {
    this.#engine = engine
    const { store, placement, clock, time, options } = engine
    const { limits, logger } = options
    this.#digests = engine.digests ?? new DigestTable(store, time, usualSets(placement))
    this.#lived = livedTimeOf(engine)
    this.conflicts = store.conflictLog({
      maxEntries: limits.conflictEntries,
      oldNs: () => this.#lived.oldNs('conflicts'),
      now: () => clock.physicalNs(),
      scopeOf: (key) => scopeOf(placement, key)?.path ?? '',
      onError: (error) => {
        logger.warn('the conflict log could not be trimmed', { error: errorText(error) })
      },
    })
    this.#revision = new ConflictRevision({ store, clock, logger, conflicts: this.conflicts })
    this.#followerProgress = new FollowerProgress({
      store,
      placement,
      clock,
      time,
      lived: this.#lived,
      logger,
      tombstoneRetentionMs: options.tombstoneRetentionMs,
      removed: (forgotten) => this.#digests.removed(forgotten),
      forgotten: (follower) => engine.forgotten?.(follower),
      horizonOfLeader: (url) => this.#links.find(({ leader }) => leader === url)?.horizon ?? 0n,
    })
    clock.maxDriftNs = BigInt(options.maxClockDriftMs) * NS_PER_MS
    this.#publisher = this.#makePublisher()
    this.#partials = new PartialValues({
      time,
      maxUnits: limits.maxPartialUnits,
      keepMs: limits.partialKeepMs,
    })
    this.#guard = new CloneGuard({
      ...{ store, logger, url: engine.url },
      nowMs: () => Number(time.wallNs() / NS_PER_MS),
    })
    this.#leader = new Leader({
      store,
      placement,
      clock,
      time,
      publisher: this.#publisher,
      digests: this.#digests,
      followerProgress: this.#followerProgress,
      guard: this.#guard,
      conflicts: this.conflicts,
      partials: this.#partials,
      ballot: grantsOf(engine.standing, store),
      progressed: () => {
        engine.standing?.ballot?.progressed()
        for (const listener of this.#progressListeners) listener()
      },
      limits,
      logger: onceAMinute(logger, time),
    })
    this.#monitor = new Monitor({
      time,
      clock,
      limits,
      logger,
      head: store.head,
      statusOf: (url) => this.#links.find((link) => link.leader === url)?.status(),
    })
  }

  /** Starts following. The returned promise waits for the storage, not for any leader. */
  async start(): Promise<void> {
    const { store } = this.#engine
    await this.#makeLinks()
    const unsubscribe = [
      store.onCommit((commit) => {
        this.#monitor.committed(commit.seq)
        if (this.#engine.digests === undefined) this.#digests.committed(commit)
        this.#leader.committed(commit)
        this.#revision.committed(commit)
        for (const link of this.#links) {
          if (store.pendingCount(link.leader) > 0) link.outboxChanged()
        }
      }),
      store.onDamage(() => this.#compareAnew()),
    ]
    this.#stopListening = () => {
      for (const stop of unsubscribe) stop()
    }
    if (this.#engine.digests === undefined) void this.#count()
    this.#lived.start()
    this.#followerProgress.start()
    this.#engine.standing?.ballot?.begin()
    for (const link of this.#links) link.start()
  }

  /** Counts what is held, for comparisons; they wait for it, and do it themselves when it failed. */
  async #count(): Promise<void> {
    try {
      // The leaders of what is followed have not told theirs, which is likely the same.
      const { tombstoneRetentionMs } = this.#engine.options
      await this.#digests.recount(horizonAt(this.#lived.oldNs('tombstones'), tombstoneRetentionMs))
    } catch (error) {
      if (this.#isStopped) return
      this.#engine.options.logger.warn('the digests could not be counted', {
        error: errorText(error),
      })
    }
  }

  /**
   * Ends all streams with this reason, waiting for what they have begun to write. Idempotent.
   */
  async stop(reason = 'the node is closing'): Promise<void> {
    this.#isStopped = true
    this.#cancelRetry?.()
    this.#stopListening?.()
    this.#publisher?.stop()
    if (this.#engine.digests === undefined) this.#digests.stop()
    await this.#endStreams(reason)
    await leavePlacement(this.#engine.store, this.#engine.options.logger)
    this.#partials.close()
    await this.#revision.stop()
    await this.#guard.stop()
    await this.#followerProgress.stop()
    await this.#lived.stop()
    await this.#restarts
  }

  /**
   * The storage was found damaged, so its log has a new epoch: every stream is ended, and every peer
   * compared with in full, which brings back what any of them holds.
   */
  #compareAnew(): void {
    this.#restarts = this.#restarts
      .then(async () => {
        await this.#endStreams('the storage was damaged: comparing anew')
        if (this.#isStopped) return
        await this.#makeLinks()
        if (this.#isStopped) return
        void this.#count()
        for (const link of this.#links) link.start()
      })
      .catch((error: unknown) => {
        const { options, time } = this.#engine
        options.logger.error('peers could not be compared with anew; trying again', {
          error: errorText(error),
        })
        if (!this.#isStopped) this.#cancelRetry = time.after(RETRY_MS, () => this.#compareAnew())
      })
  }

  async #endStreams(reason: string): Promise<void> {
    await Promise.all([this.#leader.stop(reason), ...this.#links.map((link) => link.stop(reason))])
  }

  async #makeLinks(): Promise<void> {
    const { store, placement, newId } = this.#engine
    const placementId = await settlePlacement(store, placement, newId)
    this.#links = [...placement.upstreams].map(([leader, scopes], i) =>
      this.#link(leader, scopes, placementId, i === 0),
    )
  }

  /** Every follower that is a member, connected or away, and where it is. */
  members(): (RegisteredFollower & { readonly connected: boolean })[] {
    return this.#followerProgress.members()
  }

  /** Forgets a member that is away. @returns it; undefined when there is none, or it is connected. */
  forget(id: string): RegisteredFollower | undefined {
    if (!this.#followerProgress.isConnected(id)) this.#guard.forget(id)
    return this.#followerProgress.forget(id)
  }

  /** Takes a follower's stream. */
  accept(socket: MessageSocket, address: string): SocketHandlers {
    return this.#monitor.accept(socket, address, (watched) => this.#leader.accept(watched, address))
  }

  /** Counts a peer that was turned away before it had a stream. */
  refused(code: ErrorCode, reason: string, peer: string): void {
    this.#monitor.refused(code, reason, peer)
  }

  /** When followers that were connected were found gone, milliseconds since the epoch, by their id. */
  get departed(): ReadonlyMap<string, number> {
    return this.#leader.departed
  }

  /** Has followers say at once when they hold everything up to `seq` of this node's log. */
  ask(seq: number): void {
    this.#leader.ask(seq)
  }

  /** Connected followers. */
  followers(): FollowerStatus[] {
    return this.#leader.followers()
  }

  /** Hears that a follower may hold more of this node's log than before. Must not throw. */
  onProgress(listener: () => void): () => void {
    this.#progressListeners.add(listener)
    return () => this.#progressListeners.delete(listener)
  }

  get name(): string {
    return this.#engine.options.name ?? this.#engine.store.id
  }

  get role(): ClusterRole {
    const { scopes, upstreams } = this.#engine.placement
    if (upstreams.size === 0) return 'leader'
    return scopes.every((scope) => scope.leader !== undefined) ? 'follower' : 'mixed'
  }

  status(): ClusterStatus {
    const { store, placement } = this.#engine
    return {
      id: store.id,
      name: this.name,
      role: this.role,
      epoch: store.epoch,
      head: store.head,
      scopes: placement.scopes,
      links: this.#links.map((link) => this.#monitor.link(link.status())),
      followers: this.#leader.followers().map((follower) => this.#monitor.follower(follower)),
      refusals: this.#monitor.refusals(),
      registered: this.#followerProgress.followers(),
      clones: this.#guard.clones(),
      clockOffsetMs: this.#monitor.clockOffsetMs,
      bus: this.#busReport(),
    }
  }

  #busReport(): BusReport | undefined {
    const { bus } = this.#engine.options
    if (bus === undefined || this.#publisher === undefined) return undefined
    return { ...bus.status(), ...this.#publisher.report() }
  }

  #makePublisher(): BusPublisher | undefined {
    const { store, placement, time, newId, options } = this.#engine
    const { bus, limits } = options
    if (bus === undefined) return undefined
    const failed = (): void => this.#leader.unpublished()
    return new BusPublisher({ bus, store, placement, time, limits, newId, failed })
  }

  #link(
    leader: string,
    scopes: readonly string[],
    placementId: string,
    correctsClock: boolean,
  ): FollowerLink {
    const { store, clock, time, random, transport, options, url } = this.#engine
    const { node, narrow = (path: string) => path } = this.#engine
    const { token, bus, limits, logger, tombstoneRetentionMs: retentionMs } = options
    const described = { ...(node && { node }), ...(url !== undefined && { url }) }
    const incarnations = incarnationsOf(store)
    const who = { id: store.id, name: this.name, scopes: scopes.map(narrow), incarnations }
    return new FollowerLink({
      leader,
      identity: { ...who, ...described },
      sets: followedSets(this.#engine.placement, leader).map(({ path, except }) => ({
        path: narrow(path),
        except,
      })),
      digests: this.#digests,
      progress: loadProgress(store, leader, placementId),
      partials: this.#partials,
      conflicts: this.conflicts,
      placementId,
      store,
      clock: correctsClock ? clock : undefined,
      time,
      random,
      transport: this.#monitor.transportTo(leader, transport),
      voting: this.#engine.standing?.follows === leader ? this.#engine.standing.voting : undefined,
      ...{ token, bus, limits, logger, retentionMs },
    })
  }
}
