/**
 * The members of a cluster as a leader knows them: its followers, connected or away, where they are, and how
 * far each is. Nobody gets here but by the stream, with the credential where there is one; what clients write
 * never does. Tombstones stay until all of them have passed. Kept on disk, in one meta row; bounded. A follower that was silent for longer
 * than tombstones are kept is forgotten: when it returns it is compared with. Silence is counted in time that
 * this node has lived: a wall clock that jumps makes nobody silent.
 */

import type { Logger } from '../../src/core/ports/logger.ts'
import type { MemberNode } from '../../src/core/wire/node.ts'
import type { LogPosition } from '../../src/core/wire/protocol.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'

export interface RegisteredFollower {
  readonly id: string
  readonly name: string
  readonly scopes: readonly string[]
  /** Up to where it durably has this node's log; null while that is to be found out. */
  readonly cursor: LogPosition | null
  /** When it was last heard of, this node's time, milliseconds since the Unix epoch. */
  readonly lastContactMs: number
  /** Since when it is away, this node's time, milliseconds since the Unix epoch; absent while it is connected. */
  readonly awaySinceMs?: number
  /** Where it is; absent when it has not told. */
  readonly node?: MemberNode
}

/** As it is kept. */
interface KnownFollower extends RegisteredFollower {
  /** How long this node had lived when it was last heard of, milliseconds. */
  readonly contactLivedMs: number
}

/** One connection of a follower. */
export interface Registration {
  /** The follower has this node's log durably up to `seq`. */
  passed(seq: number): void
  /** Something was heard of it. */
  heard(): void
  /** The connection ended. */
  left(): void
}

export interface FollowerRegistryOptions {
  readonly store: ReplicationStore
  /** This node's time, milliseconds since the Unix epoch. */
  readonly nowMs: () => number
  /** How long this node has lived, milliseconds; see `lived-time.ts`. */
  readonly livedMs: () => number
  /** Hears of each that is no member any more. */
  readonly forgotten?: (follower: RegisteredFollower) => void
  readonly logger: Logger
}

const ROW = 'followers'
/** Beyond this, those away are forgotten, the longest silent first. */
const MAX_FOLLOWERS = 1000

export class FollowerRegistry {
  readonly #options: FollowerRegistryOptions
  readonly #followers = new Map<string, KnownFollower>()
  /** Connections by follower. */
  readonly #connections = new Map<string, number>()
  #isChanged = false

  /** Reads what is on disk; the store is open. */
  constructor(options: FollowerRegistryOptions) {
    this.#options = options
    const livedMs = options.livedMs()
    for (const follower of decode(options.store.meta(ROW))) {
      const { contactLivedMs = livedMs } = follower
      // Not told by an earlier release: heard of now, which is noted, or it would be so at every start.
      if (follower.contactLivedMs === undefined) this.#isChanged = true
      const known = { ...follower, contactLivedMs: Math.min(contactLivedMs, livedMs) }
      this.#followers.set(follower.id, known)
    }
  }

  /** A follower connected. `cursor`: null unless the log continues from there. */
  joined(
    { id, name, scopes, node }: Pick<RegisteredFollower, 'id' | 'name' | 'scopes' | 'node'>,
    cursor: LogPosition | null,
  ): Registration {
    const { store, nowMs, livedMs } = this.#options
    const change = (fields: Partial<RegisteredFollower>): void => {
      const { awaySinceMs: _, ...known } = this.#followers.get(id) ?? { id, name, scopes, cursor }
      const contact = { lastContactMs: nowMs(), contactLivedMs: livedMs() }
      this.#followers.set(id, { ...known, ...contact, ...fields })
      this.#isChanged = true
    }
    change({ name, scopes, cursor, ...(node === undefined ? {} : { node }) })
    if (this.#followers.size > MAX_FOLLOWERS) this.forgetSilent(Number.POSITIVE_INFINITY)
    this.#connections.set(id, (this.#connections.get(id) ?? 0) + 1)
    let isConnected = true
    return {
      passed: (seq) => change({ cursor: { epoch: store.epoch, seq } }),
      heard: () => change({}),
      left: () => {
        if (!isConnected) return
        isConnected = false
        const others = (this.#connections.get(id) ?? 1) - 1
        if (others > 0) this.#connections.set(id, others)
        else {
          this.#connections.delete(id)
          this.#isAway(id)
        }
      },
    }
  }

  /** Everyone has passed this seq; infinite when there is nobody, 0 when someone's place is unknown. */
  get passed(): number {
    const { store } = this.#options
    let least = Number.POSITIVE_INFINITY
    for (const { cursor } of this.#followers.values()) {
      const seq = cursor !== null && store.canResume(cursor) ? cursor.seq : 0
      if (seq < least) least = seq
    }
    return least
  }

  /** Whether it is connected. */
  isConnected(id: string): boolean {
    return this.#connections.has(id)
  }

  /** Forgets one that is away. @returns it; undefined when there is none, or it is connected. */
  forget(id: string): RegisteredFollower | undefined {
    const follower = this.#followers.get(id)
    if (follower === undefined || this.#connections.has(id)) return undefined
    this.#drop(follower)
    return follower
  }

  /** Forgets those away that were not heard of for so long of lived time, and those beyond the bound. */
  forgetSilent(silentMs: number): void {
    const { livedMs, logger } = this.#options
    const since = livedMs() - silentMs
    const away = [...this.#followers.values()]
      .filter(({ id }) => !this.#connections.has(id))
      .sort((a, b) => a.contactLivedMs - b.contactLivedMs)
    for (const follower of away) {
      const { id, name, lastContactMs, contactLivedMs } = follower
      if (contactLivedMs >= since && this.#followers.size <= MAX_FOLLOWERS) return
      this.#drop(follower)
      logger.warn('a follower was away too long: deletions are not kept for it any more', {
        follower: name,
        id,
        lastContact: new Date(lastContactMs).toISOString(),
      })
    }
  }

  #isAway(id: string): void {
    const follower = this.#followers.get(id)
    if (follower === undefined) return
    this.#followers.set(id, { ...follower, awaySinceMs: this.#options.nowMs() })
    this.#isChanged = true
  }

  #drop(follower: RegisteredFollower): void {
    this.#followers.delete(follower.id)
    this.#isChanged = true
    this.#options.forgotten?.(follower)
  }

  /** Writes what changed since the last time. @throws StateError of the storage. */
  async save(): Promise<void> {
    if (!this.#isChanged) return
    this.#isChanged = false
    try {
      const known = [...this.#followers.values()]
      await this.#options.store.saveMeta(new Map([[ROW, JSON.stringify(known)]]))
    } catch (error) {
      this.#isChanged = true
      throw error
    }
  }

  /** By the order in which they first joined. */
  list(): RegisteredFollower[] {
    return [...this.#followers.values()].map(({ contactLivedMs: _, ...follower }) => follower)
  }
}

type KeptFollower = RegisteredFollower & Partial<KnownFollower>

function decode(text: string | undefined): KeptFollower[] {
  return text === undefined ? [] : (JSON.parse(text) as KeptFollower[])
}
