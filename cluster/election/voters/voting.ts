/**
 * What a node keeps on its disk of votes: the greatest grant it took part in, the list of voters, and
 * whether the disk is the one it voted on before. Used by a follower's link to an elected leader, and by the
 * ballot of a leader.
 *
 * A disk is whole from when a leader that decides has refilled it, or a list was founded with it. It is not
 * any more when it comes back empty or restored (its log does not know the epoch noted here), or damaged.
 */

import {
  decodeVoterList,
  encodeVoterList,
  isLaterList,
  type VoterList,
} from '../../../src/core/voter-list.ts'
import type { Grant, Vote } from '../../../src/core/wire/voting.ts'
import type { ReplicationStore } from '../../../src/store/replication-store.ts'

export interface VotingOptions {
  readonly store: Pick<
    ReplicationStore,
    'id' | 'epoch' | 'meta' | 'saveMeta' | 'canResume' | 'onDamage' | 'durability'
  >
  /** By which the list of voters knows this node. Default: its id. */
  readonly name: string | undefined
}

interface VotingState {
  readonly n: number
  readonly isWhole: boolean
  readonly list: VoterList | undefined
}

/** Meta row: what the node keeps, as JSON. */
export const VOTING_ROW = 'voting'

/** The row of a node whose disk is not the one that was voted on: a copy under another id. */
export function withoutWholeDisk(row: string): string {
  const stored: StoredVoting = { ...(JSON.parse(row) as StoredVoting), whole: false }
  return JSON.stringify(stored)
}

export class Voting {
  readonly #options: VotingOptions
  #state: VotingState = { n: 0, isWhole: false, list: undefined }
  /** What is written, one after the other. */
  #work: Promise<void> = Promise.resolve()
  #stopListening: () => void = () => undefined
  /** The leader says that another node goes by the name of this one. */
  isTwin = false
  /** This node gave the lease up, as it has missed deletes, and was in step with no leader since; see `Yielding`. */
  hasYielded = false
  /** The greatest ceiling that was heard of before a grant. */
  ceilingBefore: (n: number) => bigint = () => 0n

  constructor(options: VotingOptions) {
    this.#options = options
  }

  /** Reads what is stored; the store is open. */
  start(): void {
    const { store } = this.#options
    const text = store.meta(VOTING_ROW)
    if (text !== undefined) {
      const { n, whole, epoch, voters } = JSON.parse(text) as StoredVoting
      const isWhole = whole && store.canResume({ epoch, seq: 0 })
      this.#state = { n, isWhole, list: decodeVoterList(voters) }
      // Old epochs are forgotten some day.
      if (isWhole && epoch !== store.epoch) this.#refresh()
    }
    this.#stopListening = store.onDamage(() => {
      void this.save({ isWhole: false }).catch(() => undefined)
    })
  }

  stop(): Promise<void> {
    this.#stopListening()
    return this.#work
  }

  get name(): string {
    return this.#options.name ?? this.#options.store.id
  }

  /** Id of this node. */
  get node(): string {
    return this.#options.store.id
  }

  /** The greatest grant that this node took part in. */
  get n(): number {
    return this.#state.n
  }

  get isWhole(): boolean {
    return this.#state.isWhole
  }

  get list(): VoterList | undefined {
    return this.#state.list
  }

  get isDurable(): boolean {
    return this.#options.store.durability.usual !== 'memory'
  }

  /**
   * Takes part in a leader's grant, durably.
   * @param isHeld the leader holds all that this node held when it first took part.
   * @returns false when this node took part in a later one: nothing is to be acknowledged to that leader.
   * @throws StateError of the storage.
   */
  async takePart({ n, decides, founds, voters }: Grant, isHeld: boolean): Promise<boolean> {
    if (n < this.n) return false
    if (isHeld) this.hasYielded = false
    const isRefilled = isHeld && (decides || (founds && voters !== undefined))
    await this.save({
      n,
      ...(voters !== undefined && isLaterList(voters, this.list) ? { list: voters } : {}),
      ...(isRefilled ? { isWhole: true } : {}),
    })
    return n >= this.n
  }

  /** How this node votes in grant `n`. */
  vote(n: number, held: boolean, refused: number): Vote {
    const { isWhole: whole, list: voters } = this.#state
    const { name, isDurable: durable } = this
    const ceiling = this.ceilingBefore(n)
    return { t: 'vote', n, name, held, whole, durable, refused, voters, ceiling }
  }

  /** Changes what is stored, durably; numbers never go down. @throws StateError of the storage. */
  save(change: Partial<VotingState>): Promise<void> {
    const done = this.#work.then(() => this.#save(change))
    this.#work = done.catch(() => undefined)
    return done
  }

  #refresh(): void {
    this.#work = this.#work.then(() => this.#write(this.#state)).catch(() => undefined)
  }

  async #save(change: Partial<VotingState>): Promise<void> {
    const before = this.#state
    const next = { ...before, ...change, n: Math.max(before.n, change.n ?? 0) }
    const isSame =
      next.n === before.n && next.isWhole === before.isWhole && next.list === before.list
    if (isSame) return
    await this.#write(next)
    this.#state = next
  }

  async #write(next: VotingState): Promise<void> {
    const { store } = this.#options
    const stored: StoredVoting = {
      n: next.n,
      whole: next.isWhole,
      epoch: store.epoch,
      voters: next.list === undefined ? '' : encodeVoterList(next.list),
    }
    await store.saveMeta(new Map([[VOTING_ROW, JSON.stringify(stored)]]), {
      durability: store.durability.strongest,
    })
  }
}

interface StoredVoting {
  readonly n: number
  readonly whole: boolean
  /** Of the log, when this was stored. */
  readonly epoch: string
  /** Empty: none. */
  readonly voters: string
}
