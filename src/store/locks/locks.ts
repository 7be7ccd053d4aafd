/**
 * Locks on single keys, of this node and in its memory only: other nodes neither see nor heed them, and
 * what is replicated from them does not wait. A write through `LockingStore` waits while somebody
 * else holds the lock of its key.
 *
 * Per key there is one queue, first come, first served, of those who want the lock and of plain
 * writes. Plain writes do not keep each other out; a lock keeps out everybody, and is given only
 * when the writes before it are done, so that its holder reads what they wrote.
 *
 * A lock ends by `unlock` or after its `ttlMs`. A holder that lost it that way is refused when it
 * writes here with its token. What it does elsewhere is guarded by `fence`: a stamp that only grows,
 * across restarts too unless the clock is set back, so that whoever is written to can refuse less.
 */
import { StateError } from '../../core/errors.ts'
import { assertKey, hasGlob, matchKey } from '../../core/keys/key.ts'
import type { TimeSource } from '../../core/ports/time.ts'
import { KeyTurns, type Leave, type TurnMetrics, type TurnOptions } from './key-turns.ts'

export interface LockOptions {
  /** Milliseconds after which the lock ends by itself, an integer from 1. Default 30 000. */
  readonly ttlMs?: number | undefined
  /** Milliseconds to wait for it; 0 to give up at once. Default: `lockWaitMs` of the locks. */
  readonly waitMs?: number | undefined
  /** Aborting it ends the wait with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/** A lock that its caller holds. */
export interface Lock {
  readonly key: string
  /** Proof of holding it, for `unlock` and for writes. */
  readonly token: string
  /** Greater than that of every lock this node gave before, nanoseconds since the Unix epoch. */
  readonly fence: bigint
  /** Milliseconds it lasts from the moment it was given. */
  readonly ttlMs: number
}

export interface KeyLocksOptions {
  readonly time: TimeSource
  /** Makes tokens: unique, not to be guessed. */
  readonly newToken: () => string
  /** Gives fences, each greater than all before. */
  readonly nextFence: () => bigint
  /** Milliseconds that locks and writes wait when they do not say. Default 5000; 0 for not at all. */
  readonly lockWaitMs?: number
  /** Most who may wait, over all keys; more are refused with `overloaded`. Default 10 000. */
  readonly maxWaiting?: number
  /** Most locks held at once; more are refused with `overloaded`. Default 100 000. */
  readonly maxLocks?: number
}

/** How a write goes about locks. */
export interface LockedWriteOptions {
  /** Tokens of locks that the caller holds, each on a key that is written. Default: none. */
  readonly lock?: string | readonly string[] | undefined
  /** Milliseconds to wait for locks of others; 0 to give up at once. Default: `lockWaitMs`. */
  readonly waitMs?: number | undefined
  /** Aborting it ends the wait with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/** Gauges of this moment, and counters since the locks were made. */
export interface LockMetrics extends TurnMetrics {
  /** Locks held. */
  readonly held: number
  /** Locks that ended by their `ttlMs`. */
  readonly expired: number
}

interface HeldLock {
  readonly lock: Lock
  /** Monotonic nanoseconds. */
  dueNs: bigint
  cancel: () => void
}

/** Tokens of locks that expired are remembered, for a better refusal, up to this many. */
const MAX_EXPIRED_TOKENS = 1000

const DEFAULT_TTL_MS = 30_000

const NO_KEYS: ReadonlySet<string> = new Set()

export class KeyLocks {
  readonly #options: KeyLocksOptions
  readonly #waitMs: number
  readonly #maxLocks: number
  readonly #turns: KeyTurns
  readonly #held = new Map<string, HeldLock>()
  readonly #keyOfToken = new Map<string, string>()
  readonly #expiredTokens = new Set<string>()
  #expired = 0

  constructor(options: KeyLocksOptions) {
    this.#options = options
    this.#waitMs = assertMs('lockWaitMs', options.lockWaitMs ?? 5000, 0)
    this.#maxLocks = options.maxLocks ?? 100_000
    this.#turns = new KeyTurns({ time: options.time, maxWaiting: options.maxWaiting ?? 10_000 })
  }

  /**
   * Takes the lock of a plain key, whether there is an entry or not. Locks do not nest: a holder that
   * asks again waits for itself.
   * @throws StateError `invalid_key`, `invalid_glob`, `invalid_option`; `locked` when the wait was in
   * vain, `overloaded` when too many wait, `closing`.
   */
  async lock(key: string, options: LockOptions = {}): Promise<Lock> {
    assertLockable(key)
    const ttlMs = assertMs('ttlMs', options.ttlMs ?? DEFAULT_TTL_MS, 1)
    if (this.#held.size >= this.#maxLocks) {
      throw new StateError(
        'overloaded',
        `storage: ${this.#held.size} keys are locked, the limit is ${this.#maxLocks}`,
      )
    }
    return this.#turns.acquireExclusive(key, this.#turnOptions(options), () =>
      this.#hold(key, ttlMs),
    )
  }

  /** Gives a lock back. @throws StateError `lock_lost` unless `token` holds it. */
  unlock(key: string, token: string): void {
    this.#end(this.#require(key, token))
  }

  /**
   * Makes a lock last `ttlMs` from now, as long as it is held.
   * @throws StateError `lock_lost` unless `token` holds it; `invalid_option`.
   */
  extend(key: string, token: string, ttlMs: number = DEFAULT_TTL_MS): void {
    assertMs('ttlMs', ttlMs, 1)
    const held = this.#require(key, token)
    held.cancel()
    this.#arm(held, ttlMs)
  }

  /** @throws StateError `lock_lost` unless `token` holds the lock of `key`. */
  assertHeld(key: string, token: string): void {
    this.#require(key, token)
  }

  /**
   * Lets a write of these keys and globs go ahead, at once where nobody is in its way, and gives what
   * to call when the write is done. Until then no lock of them is given to anybody else.
   * @throws StateError `lock_lost` for a token that holds none of them; `locked`, `overloaded`.
   */
  enter(keysOrGlobs: readonly string[], options: LockedWriteOptions = {}): Leave | Promise<Leave> {
    const tokens = tokensOf(options)
    const turn = this.#turns.acquireShared(
      keysOrGlobs,
      this.#keysOf(tokens, keysOrGlobs),
      this.#turnOptions(options),
    )
    if (tokens.length === 0 || !(turn instanceof Promise)) return turn
    return turn.then((leave) => {
      try {
        // A lock may have ended during the wait for another.
        this.#keysOf(tokens, keysOrGlobs)
        return leave
      } catch (error) {
        leave()
        throw error
      }
    })
  }

  metrics(): LockMetrics {
    return { ...this.#turns.metrics(), held: this.#held.size, expired: this.#expired }
  }

  /** Ends all locks and refuses all who wait with `reason`, by default `closing`. Idempotent. */
  close(reason?: StateError): void {
    for (const held of this.#held.values()) held.cancel()
    this.#held.clear()
    this.#keyOfToken.clear()
    this.#turns.close(reason)
  }

  #hold(key: string, ttlMs: number): Lock {
    const lock: Lock = Object.freeze({
      key,
      token: this.#options.newToken(),
      fence: this.#options.nextFence(),
      ttlMs,
    })
    const held: HeldLock = { lock, dueNs: 0n, cancel: () => undefined }
    this.#held.set(key, held)
    this.#keyOfToken.set(lock.token, key)
    this.#arm(held, ttlMs)
    return lock
  }

  #arm(held: HeldLock, ttlMs: number): void {
    const { time } = this.#options
    held.dueNs = time.monotonicNs() + BigInt(ttlMs) * 1_000_000n
    held.cancel = time.after(ttlMs, () => this.#expire(held))
  }

  #expire(held: HeldLock): void {
    this.#expired++
    if (this.#expiredTokens.size >= MAX_EXPIRED_TOKENS) {
      for (const oldest of this.#expiredTokens) {
        this.#expiredTokens.delete(oldest)
        break
      }
    }
    this.#expiredTokens.add(held.lock.token)
    this.#end(held)
  }

  #end(held: HeldLock): void {
    held.cancel()
    this.#held.delete(held.lock.key)
    this.#keyOfToken.delete(held.lock.token)
    this.#turns.release(held.lock.key)
  }

  /** The lock, unless it is lost; one that is due counts as ended although its timer is late. */
  #require(key: string, token: string): HeldLock {
    const held = this.#held.get(key)
    if (held?.lock.token === token) {
      if (this.#options.time.monotonicNs() < held.dueNs) return held
      this.#expire(held)
    }
    throw lockLost(`can't unlock: ${this.#reason(key, token)}`)
  }

  /** The keys that the tokens lock, each of which must be among those written. */
  #keysOf(tokens: readonly string[], keysOrGlobs: readonly string[]): ReadonlySet<string> {
    if (tokens.length === 0) return NO_KEYS
    const keys = new Set<string>()
    for (const token of tokens) {
      const key = this.#keyOfToken.get(token)
      if (key === undefined) throw lockLost(`can't write: ${this.#reason('', token)}`)
      this.#require(key, token)
      if (!keysOrGlobs.some((pattern) => matchKey(pattern, key))) {
        throw lockLost(`can't write: the token locks key "${key}", which is not written`)
      }
      keys.add(key)
    }
    return keys
  }

  #reason(key: string, token: string): string {
    if (this.#expiredTokens.has(token)) return 'the lock of the token has expired'
    if (this.#held.has(key)) return `the token is not that of the lock of key "${key}"`
    return key === '' ? 'no key is locked with the token' : `key "${key}" is not locked`
  }

  #turnOptions({ waitMs, signal }: LockOptions | LockedWriteOptions): TurnOptions {
    return { waitMs: assertMs('waitMs', waitMs ?? this.#waitMs, 0), signal }
  }
}

function lockLost(text: string): StateError {
  return new StateError('lock_lost', `storage: lock not found, ${text}`)
}

function tokensOf({ lock }: LockedWriteOptions): readonly string[] {
  if (lock === undefined) return []
  return typeof lock === 'string' ? [lock] : lock
}

function assertLockable(key: string): void {
  assertKey(key)
  if (hasGlob(key)) {
    throw new StateError('invalid_glob', "storage: can't lock a glob pattern path")
  }
}

function assertMs(name: string, value: number, min: number): number {
  if (Number.isInteger(value) && value >= min && value <= MAX_MS) return value
  throw new StateError(
    'invalid_option',
    `storage: ${name} must be an integer from ${min} to ${MAX_MS} (milliseconds), not ${value}`,
  )
}

/** Timers of JavaScript engines hold no more. */
const MAX_MS = 2_147_483_647
