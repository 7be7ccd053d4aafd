/**
 * Which subscribers hear a change. Subscriptions to one pattern share a pool: its state is read once,
 * each frame is computed and encoded once, and a commit costs what its keys' pools cost, whatever
 * the number of other subscriptions.
 *
 * Order: `commit` is called for every commit in seq order. A subscriber gets a snapshot of one point
 * in that order, then a frame for each later commit that changed what it sees, in order; frames leave in
 * batches (see Pacer), and a full state replaces the frames that wait before it.
 */
import type { Commit, StoredRecord } from '../core/data/entry.ts'
import { StateError } from '../core/errors.ts'
import { matchKey } from '../core/keys/key.ts'
import { mayOverlap } from '../core/keys/pattern-overlap.ts'
import type { Logger } from '../core/ports/logger.ts'
import { SILENT_LOGGER } from '../core/ports/logger.ts'
import type { TimeSource } from '../core/ports/time.ts'
import {
  type AskCatchUp,
  type FanoutCounters,
  type FrameSink,
  newFanoutCounters,
  type PoolMember,
  Subscriber,
} from './frames/subscriber.ts'
import { UnreadLedger } from './frames/unread-ledger.ts'
import { Pacer } from './pacer.ts'
import { PatternIndex } from './pattern-index.ts'
import { PoolMemory } from './pool/memory.ts'
import { Pool, type PoolContext, type SnapshotSource } from './pool/pool.ts'
import { PLAIN_SHAPE, type ReadShape } from './views/read-shape.ts'

export interface HubOptions {
  readonly source: SnapshotSource
  readonly time: TimeSource
  /** Gives pool versions: a stamp greater than all before, also than those of earlier processes. */
  readonly nextVersion: () => bigint
  /** Pools without users whose version is remembered, so that a reconnect is cheap. Default 1000; 0 for none. */
  readonly maxIdlePools?: number
  /** Unread bytes per subscriber beyond which patches are dropped for it. Default 1 MiB. */
  readonly maxBufferedBytes?: number
  /** Bytes of full states, and of patches, that subscribers have not read. Default: no limit. */
  readonly maxUnreadBytes?: number
  /** Bytes of full states and patches kept for subscribers to come. Default: no limit. */
  readonly maxPoolBytes?: number
  /** Milliseconds a subscriber that is behind may take nothing before it is closed. Default 15 000. */
  readonly slowConsumerTimeoutMs?: number
  /** Keys that may change while a pool is read before the read is repeated. Default 10 000. */
  readonly maxPendingKeys?: number
  /** Milliseconds before a pool that could not be read again is retried; doubles up to a minute. Default 1000. */
  readonly reloadDelayMs?: number
  /** What reads show of what is stored: the filters. Default: all of it. */
  readonly shape?: ReadShape
  /** True to send every state as a snapshot. Default false. */
  readonly noPatch?: boolean
  /** Latest patches kept per pool for clients that reconnect. Default 64; 0 for none. */
  readonly historyFrames?: number
  /** Bytes of patches kept per pool for them. Default 256 KiB; 0 for none. */
  readonly historyBytes?: number
  /**
   * Runs its argument when the current turn of the event loop has ended: changes until then leave in
   * one write per connection. Default `setImmediate`.
   */
  readonly endOfTurn?: (run: () => void) => void
  /** Resolves when no write is under way: what comes of those that are can leave together. */
  readonly settled?: () => Promise<void>
  readonly logger?: Logger
}

/** Counters since the hub was made, and gauges of this moment. */
export interface HubMetrics extends Readonly<FanoutCounters> {
  /** Patterns with at least one user. */
  readonly pools: number
  readonly idlePools: number
  readonly subscribers: number
  /** Bytes of full states that subscribers have been sent and may not have read. */
  readonly unreadStateBytes: number
  /** Bytes of full states and patches kept for subscribers to come. */
  readonly poolBytes: number
}

/** A pool as tools see it. */
export interface PoolDescription {
  readonly key: string
  readonly connections: number
  readonly version: string
}

/** A place where one connection is sent a state and its changes, kept until the connection ends. */
export interface Place {
  /**
   * Connects the sink; sends the snapshot unless `heldVersion` is the pool's version. Call once.
   */
  attach(sink: FrameSink, heldVersion?: string): void
  /** Leaves the pool. Idempotent; also when nothing was attached. */
  close(): void
}

/** A place in a pool, kept from before the handshake. */
export interface Subscription extends Place {
  /** Bytes of the present full state, or a guess near them; 0 while there is none. */
  readonly byteLength: number
  /** In place of `attach`: joins what stands for connections elsewhere. Call once. */
  join(make: (catchUp: AskCatchUp) => PoolMember): void
}

export class Hub {
  readonly #context: PoolContext
  readonly #maxIdlePools: number
  readonly #counters: FanoutCounters = newFanoutCounters()
  readonly #index = new PatternIndex()
  readonly #pools = new Map<string, Pool>()
  /** Users per pool; a pool without an entry is idle. */
  readonly #users = new Map<Pool, number>()
  /** Idle pools, longest idle first. */
  readonly #idle = new Set<Pool>()
  /** Pools in which frames wait. */
  readonly #dirty = new Set<Pool>()
  readonly #pacer: Pacer
  readonly #unread: UnreadLedger
  readonly #memory: PoolMemory
  #heardSeq = -1
  #state: 'open' | 'closed' = 'open'

  constructor(options: HubOptions) {
    this.#maxIdlePools = options.maxIdlePools ?? 1000
    const { time, endOfTurn = setImmediate, settled } = options
    this.#unread = new UnreadLedger(options.maxUnreadBytes ?? Number.POSITIVE_INFINITY)
    this.#memory = new PoolMemory(options.maxPoolBytes ?? Number.POSITIVE_INFINITY)
    this.#pacer = new Pacer({ time, endOfTurn, settled }, () => this.#flush())
    this.#context = {
      source: options.source,
      time: options.time,
      nextVersion: options.nextVersion,
      shape: options.shape ?? PLAIN_SHAPE,
      noPatch: options.noPatch ?? false,
      history: {
        historyFrames: options.historyFrames ?? 64,
        historyBytes: options.historyBytes ?? 256 * 1024,
      },
      logger: options.logger ?? SILENT_LOGGER,
      counters: this.#counters,
      unread: this.#unread,
      memory: this.#memory,
      heardSeq: () => this.#heardSeq,
      maxPendingKeys: options.maxPendingKeys ?? 10_000,
      reloadDelayMs: options.reloadDelayMs ?? 1000,
      requestFlush: (pool) => {
        this.#dirty.add(pool)
        this.#pacer.request()
      },
      limits: {
        maxBufferedBytes: options.maxBufferedBytes ?? 1024 * 1024,
        slowConsumerTimeoutMs: options.slowConsumerTimeoutMs ?? 15_000,
      },
    }
  }

  /**
   * Reserves a place in the pool of `pattern` (a plain key or any glob), reading its state first
   * when nobody else has.
   * @throws what the source's read threw; StateError `closing` after `close`.
   */
  async subscribe(pattern: string): Promise<Subscription> {
    if (this.#state === 'closed') throw new StateError('closing', 'ooo: server is closing')
    const pool = this.#acquire(pattern)
    try {
      await pool.load()
    } catch (error) {
      this.#release(pool)
      throw error
    }
    return this.#subscription(pool)
  }

  /**
   * Takes the next commit; nobody is told of a silent one. Never throws: a fault costs a pool a fresh
   * read, not the write.
   */
  commit(commit: Commit): void {
    this.#heardSeq = commit.seq
    for (const [pool, records] of this.#touched(commit)) {
      const isTrue = commit.silent === true ? pool.conceal() : pool.commit(commit.seq, records)
      if (!isTrue) this.#forget(pool)
    }
  }

  /** Settles when every commit so far is on its way to its subscribers; undefined when it is already. */
  flushed(): Promise<void> | undefined {
    return this.#pacer.flushed()
  }

  /** Sends what time has changed in the lists that a filter of `path` shapes. */
  refresh(path: string): void {
    for (const pool of this.#users.keys()) if (matchKey(path, pool.pattern)) pool.refresh()
  }

  /** The filters of `path` have changed: pools concerned are read again, for a snapshot to everyone. */
  reshape(path: string): void {
    for (const pool of [...this.#pools.values()]) {
      const concerned = matchKey(path, pool.pattern) || mayOverlap(path, pool.pattern)
      if (concerned && !pool.reshape()) this.#forget(pool)
    }
  }

  metrics(): HubMetrics {
    let subscribers = 0
    for (const pool of this.#users.keys()) subscribers += pool.subscriberCount
    return {
      ...this.#counters,
      pools: this.#users.size,
      idlePools: this.#idle.size,
      subscribers,
      unreadStateBytes: this.#unread.stateBytes,
      poolBytes: this.#memory.bytes,
    }
  }

  /** Adds what was counted where else connections of these pools are served. */
  count(deltas: Readonly<FanoutCounters>): void {
    for (const [name, delta] of Object.entries(deltas)) {
      this.#counters[name as keyof FanoutCounters] += delta
    }
  }

  /** The pools in use, in no particular order. */
  describe(): PoolDescription[] {
    return [...this.#users.keys()].map((pool) => ({
      key: pool.pattern,
      connections: pool.subscriberCount,
      version: pool.version ?? '',
    }))
  }

  /** Forgets every pool and stops every timer. Connections are their owner's to close. Idempotent. */
  close(): void {
    this.#state = 'closed'
    this.#pacer.close()
    for (const pool of [...this.#pools.values()]) this.#forget(pool)
  }

  #flush(): void {
    const dirty = [...this.#dirty]
    this.#dirty.clear()
    for (const pool of dirty) pool.flush()
  }

  #subscription(pool: Pool): Subscription {
    let state: PoolMember | 'reserved' | 'closed' = 'reserved'
    const join: Subscription['join'] = (make) => {
      if (state !== 'reserved') return
      state = make((heldVersion) => pool.catchUp(heldVersion))
      pool.add(state)
    }
    return {
      get byteLength() {
        return pool.snapshot()?.byteLength ?? 0
      },
      join,
      attach: (sink, heldVersion) =>
        join((catchUp) => new Subscriber(sink, this.#context, catchUp, heldVersion)),
      close: () => {
        if (state === 'closed') return
        if (state !== 'reserved') pool.remove(state)
        state = 'closed'
        this.#release(pool)
      },
    }
  }

  #touched(commit: Commit): Map<Pool, StoredRecord[]> {
    const touched = new Map<Pool, StoredRecord[]>()
    for (const change of commit.changes) {
      for (const pattern of this.#index.match(change.key)) {
        const pool = this.#pools.get(pattern)
        if (pool === undefined) continue
        const records = touched.get(pool)
        if (records === undefined) touched.set(pool, [change.after])
        else records.push(change.after)
      }
    }
    return touched
  }

  #acquire(pattern: string): Pool {
    let pool = this.#pools.get(pattern)
    if (pool === undefined) {
      pool = new Pool(pattern, this.#context)
      this.#pools.set(pattern, pool)
      this.#index.add(pattern)
    }
    this.#idle.delete(pool)
    this.#users.set(pool, (this.#users.get(pool) ?? 0) + 1)
    return pool
  }

  #release(pool: Pool): void {
    const users = this.#users.get(pool)
    if (users === undefined) return
    if (users > 1) {
      this.#users.set(pool, users - 1)
      return
    }
    this.#users.delete(pool)
    pool.rest()
    if (!pool.isIdle) {
      this.#forget(pool)
      return
    }
    this.#idle.add(pool)
    if (this.#idle.size <= this.#maxIdlePools) return
    for (const oldest of this.#idle) {
      this.#forget(oldest)
      break
    }
  }

  #forget(pool: Pool): void {
    pool.close()
    this.#dirty.delete(pool)
    this.#idle.delete(pool)
    this.#users.delete(pool)
    this.#pools.delete(pool.pattern)
    this.#index.remove(pool.pattern)
  }
}
