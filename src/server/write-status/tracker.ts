/**
 * Answers what has become of writes, at once or when something has: from the store, from what
 * followers have acknowledged, and, where another node leads the key, by asking it.
 */

import { isOriginOf } from '../../core/data/origin.ts'
import { errorText, StateError } from '../../core/errors.ts'
import type { Logger } from '../../core/ports/logger.ts'
import { NS_PER_MS, type TimeSource } from '../../core/ports/time.ts'
import type { ReplicationStore } from '../../store/replication-store.ts'
import type { KeyState } from '../../store/state/state.ts'
import type { Replication } from '../contract/replication.ts'
import { formatWriteId, type WriteId } from '../contract/write-id.ts'
import {
  isFinal,
  parseWriteStatus,
  standingOf,
  statusAtLeader,
  statusJson,
  type WriteStatus,
} from './status.ts'

export interface WriteStatusTrackerOptions {
  readonly store: Pick<
    ReplicationStore,
    'id' | 'keyState' | 'isToBeShown' | 'leaderOf' | 'onCommit' | 'onSettled'
  >
  /** What replicates; undefined on a node that stands alone. */
  readonly replication: () => Replication | undefined
  readonly time: TimeSource
  readonly logger: Logger
}

/** Writes waited for at once; one more is refused. */
export const MAX_WAITERS = 1000
/** Longest question to a leader, milliseconds; it is asked again then. */
const ASK_MS = 20_000
/** Pause before a leader that gave no answer is asked again, milliseconds. */
const PAUSE_MS = 250

/** What a waiter wants to hear of. */
export interface StatusWait {
  readonly id: WriteId
  readonly key: string
  /** Ends the wait. */
  readonly until: (status: WriteStatus) => boolean
  /** The least of `until` that a leader can be asked to wait for. */
  readonly level: 'leader' | 'replicated' | 'majority' | number
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

export class WriteStatusTracker {
  readonly #options: WriteStatusTrackerOptions
  readonly #wakes = new Set<() => void>()
  /** By key, those whom a change of it may concern. */
  readonly #byKey = new Map<string, Set<() => void>>()
  #waiters = 0
  /** Places held, by address. */
  readonly #byAddress = new Map<string, number>()
  #stopListening: (() => void)[] | undefined
  readonly #closed = new AbortController()

  constructor(options: WriteStatusTrackerOptions) {
    this.#options = options
  }

  get waiters(): number {
    return this.#waiters
  }

  /**
   * A place among those who wait; what it returns gives it back.
   * @param address whose it is: nobody holds more places than are left, so that the last ones go to others
   * @throws StateError `overloaded`.
   */
  enter(address?: string): () => void {
    if (this.#waiters >= MAX_WAITERS) {
      throw new StateError(
        'overloaded',
        `ooo: ${this.#waiters} writes are waited for, the limit is ${MAX_WAITERS}`,
      )
    }
    const held = address === undefined ? 0 : (this.#byAddress.get(address) ?? 0)
    if (held >= MAX_WAITERS - this.#waiters) {
      throw new StateError(
        'overloaded',
        `ooo: ${address} waits for ${held} writes, and ${this.#waiters} of ${MAX_WAITERS} are waited for`,
      )
    }
    this.#waiters++
    if (address !== undefined) this.#byAddress.set(address, held + 1)
    this.#listen()
    let isIn = true
    return () => {
      if (isIn) this.#leave(address)
      isIn = false
    }
  }

  #leave(address: string | undefined): void {
    this.#waiters--
    if (address === undefined) return
    const held = (this.#byAddress.get(address) ?? 0) - 1
    if (held > 0) this.#byAddress.set(address, held)
    else this.#byAddress.delete(address)
  }

  /** The status as far as it is known now. @throws StateError of the storage. */
  now(id: WriteId, key: string): Promise<WriteStatus> {
    return this.#look({ id, key, query: '', timeoutMs: PAUSE_MS * 8 })
  }

  /** The status once `until` holds of it, or as it is when the time is up, or the server closes. */
  async wait(wait: StatusWait): Promise<WriteStatus> {
    const { time } = this.#options
    const endNs = time.monotonicNs() + BigInt(wait.timeoutMs) * NS_PER_MS
    const leftMs = (): number => Number((endNs - time.monotonicNs()) / NS_PER_MS)
    for (;;) {
      const bell = this.#bell(wait.key, wait.signal)
      try {
        const timeoutMs = Math.min(leftMs(), ASK_MS)
        const query = `&until=${wait.level}&timeoutMs=${Math.max(1, timeoutMs)}`
        const status = await this.#look({ ...wait, query, timeoutMs: timeoutMs + PAUSE_MS })
        const isOver = leftMs() <= 0 || this.#isClosed || wait.signal?.aborted === true
        if (isOver || wait.until(status)) return status
        const isAsked = this.#leaderOf(wait.key) !== undefined
        await bell.rung(isAsked ? Math.min(PAUSE_MS, leftMs()) : leftMs())
      } finally {
        bell.stop()
      }
    }
  }

  /**
   * The status, and each change of it, until nothing more can change, or the signal, or the server closes.
   * undefined stands for a while without news.
   */
  async *watch(
    id: WriteId,
    key: string,
    signal: AbortSignal,
  ): AsyncGenerator<WriteStatus | undefined> {
    let reported = ''
    let status = await this.now(id, key)
    for (;;) {
      const text = statusJson(status)
      yield text === reported ? undefined : status
      reported = text
      if (isFinal(status) || signal.aborted || this.#isClosed) return
      status = await this.wait({
        id,
        key,
        until: (next) => statusJson(next) !== reported,
        level: status.state === 'local' ? 'leader' : 'replicated',
        timeoutMs: ASK_MS,
        signal,
      })
    }
  }

  /** Ends every wait. */
  close(): void {
    this.#closed.abort()
    for (const stop of this.#stopListening ?? []) stop()
    for (const wake of [...this.#wakes]) wake()
  }

  get #isClosed(): boolean {
    return this.#closed.signal.aborted
  }

  #leaderOf(key: string): string | undefined {
    const { store, replication } = this.#options
    return replication() === undefined ? undefined : store.leaderOf(key)
  }

  async #look(question: Question): Promise<WriteStatus> {
    const { id, key } = question
    const { store, replication } = this.#options
    const keyState = await store.keyState(key)
    const standing = standingOf(id, keyState?.record)
    const leader = this.#leaderOf(key)
    if (leader === undefined) {
      if (!standing.isKnown || keyState === undefined) return unknown(id, key)
      const holders = replication()?.holders(key, keyState.seq, id.origin) ?? NO_HOLDERS
      return statusAtLeader(id, key, standing, holders, store.id)
    }
    const here = statusBelow(id, key, keyState, store.id)
    if (keyState?.pendingFor !== undefined && standing.isKnown) return here
    // Whatever took its place: the leader has not said yet whether it takes this one.
    if (standing.isKnown && store.isToBeShown(key, id)) return here
    const refusedFor = await replication()?.refusalOf(key, id)
    if (refusedFor !== undefined) return { ...unknown(id, key), state: 'refused', refusedFor }
    const there = await this.#ask(leader, question)
    if (there === undefined) {
      // What this node holds and is not pending, its leader has acknowledged.
      return standing.isKnown ? { ...here, state: 'leader', replicas: here.replicas + 1 } : here
    }
    return there.state === 'unknown' ? here : there
  }

  /** What the leader says; undefined when it says nothing that is understood. */
  async #ask(
    leader: string,
    { id, key, query, ...question }: Question,
  ): Promise<WriteStatus | undefined> {
    const { replication, logger } = this.#options
    try {
      const answer = await replication()?.call(leader, {
        method: 'GET',
        target: `${WRITES_PREFIX}${formatWriteId(id)}?key=${encodeURIComponent(key)}${query}`,
        headers: { accept: 'application/json' },
        timeoutMs: question.timeoutMs,
        signal:
          question.signal === undefined
            ? this.#closed.signal
            : AbortSignal.any([question.signal, this.#closed.signal]),
      })
      if (answer?.status !== 200) return undefined
      return parseWriteStatus(id, key, new TextDecoder().decode(answer.body))
    } catch (error) {
      logger.debug('a leader could not be asked after a write', { leader, error: errorText(error) })
      return undefined
    }
  }

  #bell(key: string, signal: AbortSignal | undefined): Bell {
    let ring = (): void => undefined
    const rung = new Promise<void>((resolve) => {
      ring = resolve
    })
    const keyed = this.#byKey.get(key) ?? new Set()
    this.#byKey.set(key, keyed.add(ring))
    this.#wakes.add(ring)
    signal?.addEventListener('abort', ring)
    return {
      rung: async (waitMs) => {
        const cancel = this.#options.time.after(Math.max(1, waitMs), ring)
        await rung
        cancel()
      },
      stop: () => {
        signal?.removeEventListener('abort', ring)
        this.#wakes.delete(ring)
        keyed.delete(ring)
        if (keyed.size === 0 && this.#byKey.get(key) === keyed) this.#byKey.delete(key)
      },
    }
  }

  /** From the first waiter on, so that a node without any pays nothing. */
  #listen(): void {
    if (this.#stopListening !== undefined || this.#isClosed) return
    const { store, replication } = this.#options
    const wakeAll = (): void => {
      for (const wake of [...this.#wakes]) wake()
    }
    this.#stopListening = [
      store.onSettled(wakeAll),
      store.onCommit(({ changes }) => {
        if (this.#byKey.size === 0) return
        for (const { key } of changes) for (const wake of this.#byKey.get(key) ?? []) wake()
      }),
    ]
    const unsubscribe = replication()?.onProgress(wakeAll)
    if (unsubscribe !== undefined) this.#stopListening.push(unsubscribe)
  }
}

/** Where the status of a write is asked for. */
export const WRITES_PREFIX = '/-/writes/'

const NO_HOLDERS = Object.freeze({ following: 0, holding: 0, isMajority: false })

interface Question {
  readonly id: WriteId
  readonly key: string
  /** What is added to the question to a leader. */
  readonly query: string
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

interface Bell {
  /** Resolves when something happened that may concern the waiter, or after `waitMs`. */
  rung(waitMs: number): Promise<void>
  stop(): void
}

/** What a node that follows for the key knows by itself. */
function statusBelow(
  id: WriteId,
  key: string,
  keyState: KeyState | undefined,
  nodeId: string,
): WriteStatus {
  const standing = standingOf(id, keyState?.record)
  if (!standing.isKnown) return unknown(id, key)
  const replicas = isOriginOf(nodeId, id.origin) ? 0 : 1
  const { overriddenBy } = standing
  return { id, key, state: 'local', replicas, isMajority: false, overriddenBy }
}

function unknown(id: WriteId, key: string): WriteStatus {
  return { id, key, state: 'unknown', replicas: 0, isMajority: false }
}
