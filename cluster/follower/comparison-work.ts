/** Reads what a follower's comparison needs, one thing after the other: digests and hashes. */
import { StateError } from '../../src/core/errors.ts'
import type { TimeSource } from '../../src/core/ports/time.ts'
import type { Digests } from '../../src/core/wire/comparison.ts'
import { encodeMessage } from '../../src/core/wire/protocol.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import type { DigestTable } from '../anti-entropy/digest-table.ts'
import { hashesOf } from '../anti-entropy/set-rows.ts'
import type { FollowerEffect, FollowerEvent, FollowerState } from './state/link.ts'
import { isFollowing } from './state/link.ts'

export interface ComparisonWorkOptions {
  readonly store: ReplicationStore
  readonly time: TimeSource
  readonly digests: DigestTable
  readonly leader: string
  /** Version of the stream that is spoken with it. */
  readonly protocol: () => number
  /** The link's state at this moment. */
  readonly state: () => FollowerState
  readonly dispatch: (event: FollowerEvent) => void
  readonly send: (text: string) => void
  /** Hears why the comparison of the present connection can not go on. */
  readonly fail: (error: unknown) => void
}

export class ComparisonWork {
  readonly #options: ComparisonWorkOptions
  #reading: Promise<void> = Promise.resolve()

  constructor(options: ComparisonWorkOptions) {
    this.#options = options
  }

  /** Whether this connection is the present one. */
  isCurrent(session: number): boolean {
    const state = this.#options.state()
    return state.kind !== 'closed' && state.kind !== 'offline' && state.session === session
  }

  /** @param horizon tombstones up to it will not count, as far as known. */
  begin(effect: Extract<FollowerEffect, { type: 'ask' | 'hash' }>, horizon: bigint): void {
    this.#then(effect.session, () =>
      effect.type === 'ask' ? this.#ask(effect, horizon) : this.#hash(effect),
    )
  }

  /** Puts our digests beside the leader's, of the same horizon. */
  received(message: Digests): void {
    const state = this.#options.state()
    if (state.kind === 'closed' || state.kind === 'offline') return
    const { session } = state
    const { phase, sets } = (isFollowing(state) ? state.comparison : undefined) ?? {}
    const set = sets?.[0]
    this.#then(session, async () => {
      if (phase?.kind !== 'asking' || set === undefined) {
        throw new StateError('out_of_order', 'stream: digests that were not asked for')
      }
      const { digests, dispatch } = this.#options
      const counting = { set, horizon: message.horizon, protocol: this.#options.protocol() }
      await digests.track(counting)
      if (!this.isCurrent(session)) return
      const ours = digests.digests(counting, phase.walk.asked)
      dispatch({ type: 'digestsReceived', message, ours })
    })
  }

  /** Resolves when nothing is being read. */
  async ended(): Promise<void> {
    await this.#reading
  }

  #then(session: number, work: () => Promise<void>): void {
    this.#reading = this.#reading.then(async () => {
      if (!this.isCurrent(session)) return
      try {
        await work()
      } catch (error) {
        if (this.isCurrent(session)) this.#options.fail(error)
      }
    })
  }

  /** Ours are counted before theirs are asked for. */
  async #ask(
    { session, n, set, nodes }: Extract<FollowerEffect, { type: 'ask' }>,
    horizon: bigint,
  ): Promise<void> {
    const { digests, send } = this.#options
    await digests.track({ set, horizon, protocol: this.#options.protocol() })
    if (this.isCurrent(session)) send(encodeMessage({ t: 'ask', n, set, nodes }))
  }

  async #hash(effect: Extract<FollowerEffect, { type: 'hash' }>): Promise<void> {
    const { store, time, leader, dispatch } = this.#options
    const { session, n, set, nodes } = effect
    const isWanted = (): boolean => this.isCurrent(session)
    const protocol = this.#options.protocol()
    const hashes = await hashesOf({ store, time, set, nodes, protocol }, leader, isWanted)
    if (isWanted()) dispatch({ type: 'hashed', session, n, hashes })
  }
}
