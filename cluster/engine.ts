/**
 * The sync engine of one node: leads the scopes that have no leader above, follows the others.
 * Written against clock, storage, transport and randomness only, so that it runs the same on a
 * virtual network.
 */
import type { HybridClock } from '../src/core/clock.ts'
import { errorText } from '../src/core/errors.ts'
import type { Random, TimeSource } from '../src/core/time.ts'
import type { MessageSocket, SocketHandlers, Transport } from '../src/core/transport.ts'
import type { Store } from '../src/store/store.ts'
import type { LinkStatus } from './follower.ts'
import { FollowerLink } from './follower.ts'
import type { FollowerStatus } from './leader.ts'
import { Leader } from './leader.ts'
import { loadProgress, settlePlacement } from './link-progress.ts'
import type { ResolvedClusterOptions } from './options.ts'
import type { Placement, Scope } from './placement.ts'

/** `leader`: follows nobody. `follower`: follows for every scope. `mixed`: leads some. */
export type ClusterRole = 'leader' | 'follower' | 'mixed'

export interface ClusterStatus {
  readonly id: string
  readonly name: string
  readonly role: ClusterRole
  readonly epoch: string
  /** Seq of this node's last change. */
  readonly head: number
  readonly scopes: readonly Scope[]
  readonly links: readonly LinkStatus[]
  readonly followers: readonly FollowerStatus[]
}

export interface EngineOptions {
  readonly options: ResolvedClusterOptions
  readonly placement: Placement
  /** Open, with `setLeaderOf` already told the placement. */
  readonly store: Store
  readonly clock: HybridClock
  readonly time: TimeSource
  readonly random: Random
  /** Opens connections to leaders. */
  readonly transport: Transport
  /** Makes ids for placements. */
  readonly newId: () => string
}

export class ClusterEngine {
  readonly #engine: EngineOptions
  readonly #leader: Leader
  #links: FollowerLink[] = []
  #stopListening: (() => void) | undefined
  /** Comparisons anew, one after the other. */
  #restarts: Promise<void> = Promise.resolve()
  #isStopped = false

  constructor(engine: EngineOptions) {
    this.#engine = engine
    const { store, placement, clock, time, options } = engine
    const { limits, logger } = options
    this.#leader = new Leader({ store, placement, clock, time, limits, logger })
  }

  /** Starts following. The returned promise waits for the storage, not for any leader. */
  async start(): Promise<void> {
    const { store } = this.#engine
    await this.#makeLinks()
    const unsubscribe = [
      store.onCommit((commit) => {
        this.#leader.committed(commit)
        for (const link of this.#links) {
          if (store.owedCount(link.leader) > 0) link.outboxChanged()
        }
      }),
      store.onDamage(() => this.#compareAnew()),
    ]
    this.#stopListening = () => {
      for (const stop of unsubscribe) stop()
    }
    for (const link of this.#links) link.start()
  }

  /** Ends all streams, waiting for what they have begun to write. Idempotent. */
  async stop(): Promise<void> {
    this.#isStopped = true
    this.#stopListening?.()
    await this.#endStreams('the node is closing')
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
        for (const link of this.#links) link.start()
      })
      .catch((error: unknown) => {
        this.#engine.options.logger.error('peers could not be compared with anew', {
          error: errorText(error),
        })
      })
  }

  async #endStreams(reason: string): Promise<void> {
    await Promise.all([this.#leader.stop(reason), ...this.#links.map((link) => link.stop(reason))])
  }

  async #makeLinks(): Promise<void> {
    const { store, placement, newId } = this.#engine
    const placementId = await settlePlacement(store, placement.fingerprint, newId)
    this.#links = [...placement.upstreams].map(([leader, scopes], i) =>
      this.#link(leader, scopes, placementId, i === 0),
    )
  }

  /** Takes a follower's stream. */
  accept(socket: MessageSocket, address: string): SocketHandlers {
    return this.#leader.accept(socket, address)
  }

  /** When followers that were connected were found gone, milliseconds since the epoch, by their id. */
  get departed(): ReadonlyMap<string, number> {
    return this.#leader.departed
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
      links: this.#links.map((link) => link.status()),
      followers: this.#leader.followers(),
    }
  }

  #link(
    leader: string,
    scopes: readonly string[],
    placementId: string,
    correctsClock: boolean,
  ): FollowerLink {
    const { store, clock, time, random, transport, options } = this.#engine
    return new FollowerLink({
      leader,
      identity: { id: store.id, name: this.name, scopes },
      progress: loadProgress(store, leader, placementId),
      placementId,
      store,
      clock: correctsClock ? clock : undefined,
      time,
      random,
      transport,
      token: options.token,
      limits: options.limits,
      logger: options.logger,
    })
  }
}
