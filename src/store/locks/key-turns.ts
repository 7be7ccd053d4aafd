/**
 * Who may touch a key: one exclusively, or any number sharing it. Per key first come, first served; bounded;
 * a wait ends by its turn, its time, its signal or `close`. Nothing here knows what a turn is for.
 */
import { StateError } from '../../core/errors.ts'
import { hasGlob, matchKey } from '../../core/keys/key.ts'
import { NS_PER_MS, type TimeSource } from '../../core/ports/time.ts'

/** Ends a turn. Call it once. */
export type Leave = () => void

export interface TurnOptions {
  /** Milliseconds to wait for a turn; 0 to give up at once. */
  readonly waitMs: number
  readonly signal: AbortSignal | undefined
}

export interface TurnMetrics {
  /** Those who wait now. */
  readonly waiting: number
  /** Waits that ended without a turn because their time was up. */
  readonly timedOut: number
  /** Refused because too many waited. */
  readonly refused: number
}

interface Waiter {
  readonly kind: 'exclusive' | 'shared'
  readonly begin: () => void
  readonly refuse: (error: unknown) => void
}

/** What is going on at one key; forgotten when nothing is. */
interface LockState {
  isTaken: boolean
  /** Shared turns under way. */
  shared: number
  /** First come, first served: a Set iterates in the order of insertion. */
  readonly queue: Set<Waiter>
}

export class KeyTurns {
  readonly #time: TimeSource
  readonly #maxWaiting: number
  readonly #states = new Map<string, LockState>()
  /** Globs whose shared turns are under way, each as an object of its own. */
  readonly #sweeps = new Set<{ readonly glob: string }>()
  #waiting = 0
  #timedOut = 0
  #refused = 0
  /** Why nobody gets a turn any more; undefined while it is open. */
  #over: StateError | undefined

  constructor(options: { readonly time: TimeSource; readonly maxWaiting: number }) {
    this.#time = options.time
    this.#maxWaiting = options.maxWaiting
  }

  /**
   * Waits until nobody else is at `key`; `take` runs at that moment, before anybody else can. The turn
   * lasts until `release`.
   */
  acquireExclusive<T>(key: string, options: TurnOptions, take: () => T): Promise<T> {
    const begin = (): T => {
      this.#assertOpen()
      const taken = take()
      this.#state(key).isTaken = true
      return taken
    }
    const state = this.#states.get(key)
    if (state?.queue.size || !this.#isFree(key, state)) {
      return this.#wait(key, 'exclusive', options, begin)
    }
    return new Promise((resolve) => {
      resolve(begin())
    })
  }

  /** Ends an exclusive turn. */
  release(key: string): void {
    const state = this.#states.get(key)
    if (state === undefined) return
    state.isTaken = false
    this.#next(key, state)
  }

  /**
   * Waits until nobody has an exclusive turn at any of the keys, or of the keys that a glob matches, but those in
   * `own`. It holds at most one of them meanwhile, so that two who wait for each other's keys can
   * not be for ever in each other's way.
   */
  acquireShared(
    keysOrGlobs: readonly string[],
    own: ReadonlySet<string>,
    options: TurnOptions,
  ): Leave | Promise<Leave> {
    if (this.#over === undefined && this.#busyKey(keysOrGlobs, own) === undefined) {
      return this.#join(keysOrGlobs)
    }
    return this.#joinLater(keysOrGlobs, own, options)
  }

  metrics(): TurnMetrics {
    return { waiting: this.#waiting, timedOut: this.#timedOut, refused: this.#refused }
  }

  /** Refuses all who wait, and all who come. Turns under way may still end. */
  close(reason: StateError = closing()): void {
    this.#over ??= reason
    for (const { queue } of [...this.#states.values()]) {
      for (const waiter of [...queue]) waiter.refuse(reason)
    }
  }

  async #joinLater(
    keysOrGlobs: readonly string[],
    own: ReadonlySet<string>,
    { waitMs, signal }: TurnOptions,
  ): Promise<Leave> {
    const dueNs = this.#time.monotonicNs() + BigInt(waitMs) * NS_PER_MS
    let held: string | undefined
    for (;;) {
      const busy = this.#busyKey(keysOrGlobs, own, held)
      if (busy === undefined) break
      if (held !== undefined) this.#leave(held)
      held = undefined
      const leftMs = Number((dueNs - this.#time.monotonicNs()) / NS_PER_MS)
      const options = { waitMs: Math.max(0, leftMs), signal }
      await this.#wait(busy, 'shared', options, () => undefined, waitMs)
      held = busy
    }
    const leave = this.#join(keysOrGlobs)
    if (held !== undefined) this.#leave(held)
    return leave
  }

  /** Begins a shared turn at all of them, now. */
  #join(keysOrGlobs: readonly string[]): Leave {
    this.#assertOpen()
    const sweeps: { readonly glob: string }[] = []
    for (const key of keysOrGlobs) {
      if (!hasGlob(key)) {
        this.#state(key).shared++
        continue
      }
      const sweep = { glob: key }
      this.#sweeps.add(sweep)
      sweeps.push(sweep)
    }
    return () => {
      for (const sweep of sweeps) this.#sweeps.delete(sweep)
      for (const key of keysOrGlobs) if (!hasGlob(key)) this.#leave(key)
      if (sweeps.length === 0) return
      for (const [key, state] of [...this.#states]) {
        if (sweeps.some(({ glob }) => matchKey(glob, key))) this.#next(key, state)
      }
    }
  }

  #leave(key: string): void {
    const state = this.#states.get(key)
    if (state === undefined) return
    state.shared--
    this.#next(key, state)
  }

  /** A key where a shared turn would have to wait. */
  #busyKey(
    keysOrGlobs: readonly string[],
    own: ReadonlySet<string>,
    held?: string,
  ): string | undefined {
    for (const pattern of keysOrGlobs) {
      const candidates = hasGlob(pattern) ? this.#states.keys() : [pattern]
      for (const key of candidates) {
        if (key === held || own.has(key)) continue
        const state = this.#states.get(key)
        const isBusy = state !== undefined && (state.isTaken || state.queue.size > 0)
        if (isBusy && matchKey(pattern, key)) return key
      }
    }
    return undefined
  }

  #wait<T>(
    key: string,
    kind: Waiter['kind'],
    { waitMs, signal }: TurnOptions,
    take: () => T,
    limitMs: number = waitMs,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      this.#assertOpen()
      if (waitMs === 0) throw this.#tooLate(key, limitMs)
      this.#assertRoom()
      const end = (): void => {
        this.#waiting--
        state.queue.delete(waiter)
        stopTimer()
        signal?.removeEventListener('abort', onAbort)
      }
      const refuse = (error: unknown): void => {
        end()
        this.#next(key, state)
        reject(error)
      }
      const begin = (): void => {
        end()
        try {
          resolve(take())
        } catch (error) {
          reject(error)
        }
      }
      const onAbort = (): void => refuse(signal?.reason)
      const waiter: Waiter = { kind, begin, refuse }
      const state = this.#state(key)
      const stopTimer = this.#time.after(waitMs, () => refuse(this.#tooLate(key, limitMs)))
      state.queue.add(waiter)
      this.#waiting++
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  /** Begins the turns that can begin, and forgets a key where nothing is left. */
  #next(key: string, state: LockState): void {
    for (const waiter of this.#over === undefined ? state.queue : []) {
      if (waiter.kind === 'exclusive') {
        if (this.#isFree(key, state)) waiter.begin()
        break
      }
      if (state.isTaken) break
      state.shared++
      waiter.begin()
    }
    this.#forget(key, state)
  }

  #isFree(key: string, state: LockState | undefined): boolean {
    if (state !== undefined && (state.isTaken || state.shared > 0)) return false
    for (const { glob } of this.#sweeps) if (matchKey(glob, key)) return false
    return true
  }

  #state(key: string): LockState {
    let state = this.#states.get(key)
    if (state === undefined) {
      state = { isTaken: false, shared: 0, queue: new Set() }
      this.#states.set(key, state)
    }
    return state
  }

  #forget(key: string, state: LockState): void {
    if (!state.isTaken && state.shared === 0 && state.queue.size === 0) this.#states.delete(key)
  }

  #tooLate(key: string, limitMs: number): StateError {
    this.#timedOut++
    return new StateError(
      'locked',
      `storage: key "${key}" is locked, and was not free within ${limitMs} ms, which is the limit`,
    )
  }

  #assertRoom(): void {
    if (this.#waiting < this.#maxWaiting) return
    this.#refused++
    throw new StateError(
      'overloaded',
      `storage: ${this.#waiting} wait for locked keys, the limit is ${this.#maxWaiting}`,
    )
  }

  #assertOpen(): void {
    if (this.#over !== undefined) throw this.#over
  }
}

function closing(): StateError {
  return new StateError('closing', 'storage: storage is closing')
}
