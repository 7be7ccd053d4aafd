/**
 * Writes batches of rows, one at a time, over lost connections and restarts of the server.
 *
 *   ready ──connection lost──▶ recovering ──claimed again──▶ ready
 *                                │ attempts failed             ▲
 *                                ▼                             │
 *                              down ────────claimed again──────┘
 *   any ──another owner, a batch gone or come too late, close──▶ over
 *
 * The owner is looked at again while nothing is written, so that a node which was overtaken hears of it.
 *
 * A batch whose answer was lost is settled by the mark that each batch moves: once the namespace is
 * claimed again the mark tells whether it was stored; when not, it is sent again.
 *
 * At level `process` the server answers before its log is on disk and may lose what it answered last
 * when it crashes. Such batches are kept here until a later synced one, and are sent again when the
 * mark shows them missing. So they survive a killed node or a crashed server, but not both at once.
 */

import { atMost, pause } from '../../postgres/connection/pause.ts'
import { isConnectionLost } from '../../postgres/connection/postgres-error.ts'
import { clientTextOf, errorText, isStateError, StateError } from '../../src/core/errors.ts'
import { backoffDelayMs } from '../../src/core/ports/backoff.ts'
import type { Durability } from '../../src/core/ports/storage-adapter.ts'
import {
  type Claimant,
  claimRows,
  lossOf,
  newToken,
  type RowClaim,
  reclaimRows,
  releaseRows,
} from './row-claim.ts'
import { type BatchMark, type RowChanges, writeRows } from './row-tables.ts'
import { UnsyncedBatches } from './unsynced-batches.ts'

/** How often a batch is sent when the connection breaks each time. */
const MAX_SENDS = 3
/** Attempts to reconnect during which callers wait; later ones are told at once that the server is away. */
const PATIENT_ATTEMPTS = 2
/** Milliseconds for which `close` waits for the last batches to be synced. */
const SYNC_LIMIT_MS = 2_000

export interface RowSessionOptions extends Omit<Claimant, 'signal' | 'token'> {
  /** Milliseconds for which `open` waits for another owner to leave. */
  readonly ownershipWaitMs: number
  /** Milliseconds between two looks at the owner; 0: none. */
  readonly ownerCheckMs: number
  /** Milliseconds for which a batch without an answer waits for the server to come back. */
  readonly recoveryWaitMs: number
}

type State =
  | { readonly kind: 'ready'; readonly claim: RowClaim }
  | { readonly kind: 'recovering' }
  | { readonly kind: 'down'; readonly error: StateError }
  | { readonly kind: 'over'; readonly error: StateError }

/** One opening of a namespace; `open` first, `close` last. Only one `write` at a time. */
export class RowSession {
  /** Resolves with the reason when the opening ends before `close`, for good. */
  readonly lost: Promise<StateError>
  readonly #options: RowSessionOptions
  readonly #token: string = newToken()
  readonly #closing = new AbortController()
  #reportLost: (error: StateError) => void = () => undefined
  #state: State = { kind: 'over', error: notOpen() }
  #changed: (() => void)[] = []
  /** Number of the last batch known to be applied. */
  #last = 0n
  /** The batch after `#last` was sent and not answered; `given up` when its writer was told so. */
  #doubt: 'none' | 'waiting' | 'given up' = 'none'
  readonly #unsynced = new UnsyncedBatches()
  #recoveries = 0
  #hurried = false

  constructor(options: RowSessionOptions) {
    this.#options = options
    this.lost = new Promise((resolve) => {
      this.#reportLost = resolve
    })
  }

  /** How often the connection was made again. */
  get recoveries(): number {
    return this.#recoveries
  }

  /** Whether a crash of the server may still lose something it answered. */
  get hasUnsynced(): boolean {
    return !this.#unsynced.isEmpty
  }

  async open(): Promise<void> {
    const claim = await claimRows(this.#claimant(), this.#options.ownershipWaitMs)
    this.#last = claim.stored
    this.#stand(claim)
  }

  /** Ends the ownership. A batch still waiting for the server is told that its outcome is open. */
  async close(): Promise<void> {
    await this.#sync()
    const state = this.#state
    this.#closing.abort()
    this.#become({ kind: 'over', error: notOpen() })
    if (state.kind === 'ready') await releaseRows(this.#claimant(), state.claim)
  }

  /** What was answered before it was synced must not depend on this process any more. */
  async #sync(): Promise<void> {
    if (!this.hasUnsynced || this.#state.kind !== 'ready') return
    const synced = this.write({ rows: new Map(), bytes: 0 }, 'disk')
    await atMost(this.#options.pool.options.time, SYNC_LIMIT_MS, synced)
  }

  /** From now on nothing waits for a server that is down. */
  hurry(): void {
    this.#hurried = true
    this.#wake()
  }

  /** The rows' namespace, once they can be read: waits for the first attempts to reconnect, not longer. */
  async ready(): Promise<number> {
    return (await this.#claim(0)).namespace
  }

  /** Applies one batch. @throws StateError `storage_failed`, `storage_full`, `in_use`, `not_open`. */
  async write(changes: RowChanges, level: Durability): Promise<void> {
    const number = this.#last + 1n
    const synced = level === 'disk' || this.#unsynced.isFull
    await this.#send(number, changes, synced ? 'disk' : 'process')
    this.#last = number
    if (synced) this.#unsynced.clear()
    else this.#unsynced.keep({ number, changes })
  }

  async #send(number: bigint, changes: RowChanges, level: Durability): Promise<void> {
    let claim = await this.#claim(0)
    const { time } = this.#options.pool.options
    const start = time.nowMs()
    for (let sends = 1; ; sends += 1) {
      try {
        await writeRows(claim.connection, this.#mark(claim, number), changes, level)
        return
      } catch (error) {
        if (isStateError(error, 'in_use')) throw this.#finish(await this.#taken(claim, error))
        if (!isConnectionLost(error)) throw error
        this.#lose(claim)
        claim = await this.#settle(this.#options.recoveryWaitMs - (time.nowMs() - start), error)
        if (claim.stored >= number) return
        if (sends === MAX_SENDS) throw error
      }
    }
  }

  /** Waits until it is known what became of the batch without an answer. */
  async #settle(waitMs: number, error: unknown): Promise<RowClaim> {
    this.#doubt = 'waiting'
    try {
      const claim = await this.#claim(waitMs)
      this.#doubt = 'none'
      return claim
    } catch (reason) {
      this.#doubt = 'given up'
      if (isStateError(reason, 'in_use')) throw reason
      throw new StateError(
        'storage_failed',
        `storage: the server was lost while a batch was written: ${errorText(reason)}`,
        {
          cause: error,
          clientText: `storage: the database was lost while a batch was written: ${clientTextOf(reason)}`,
          isAway: true,
        },
      )
    }
  }

  /** The claim, once it stands. While the server is down it is waited for up to `waitMs`. */
  async #claim(waitMs: number): Promise<RowClaim> {
    const { time } = this.#options.pool.options
    const start = time.nowMs()
    for (;;) {
      const state = this.#state
      if (state.kind === 'ready') return state.claim
      if (state.kind === 'over') throw state.error
      const left = this.#hurried ? 0 : waitMs - (time.nowMs() - start)
      if (state.kind === 'down' && left <= 0) throw state.error
      await this.#change(state.kind === 'down' ? left : undefined)
    }
  }

  /** Resolves at the next change of state, or after `limitMs`. */
  #change(limitMs: number | undefined): Promise<void> {
    return new Promise((resolve) => {
      const cancel =
        limitMs === undefined ? undefined : this.#options.pool.options.time.after(limitMs, resolve)
      this.#changed.push(() => {
        cancel?.()
        resolve()
      })
    })
  }

  #become(state: State): void {
    if (this.#state.kind === 'over' && this.#closing.signal.aborted) return
    this.#state = state
    this.#wake()
  }

  #wake(): void {
    for (const wake of this.#changed.splice(0)) wake()
  }

  #stand(claim: RowClaim): void {
    this.#become({ kind: 'ready', claim })
    void claim.connection.lost.then(() => this.#lose(claim))
    void this.#watchOwner(claim)
  }

  /** Looks at the owner again and again, for as long as the claim stands. */
  async #watchOwner(claim: RowClaim): Promise<void> {
    const { ownerCheckMs, pool } = this.#options
    if (ownerCheckMs === 0) return
    const ended = new AbortController()
    const { signal } = this.#closing
    const end = (): void => ended.abort()
    signal.addEventListener('abort', end, { once: true })
    void claim.connection.lost.then(end)
    while (!ended.signal.aborted) {
      await pause(pool.options.time, ownerCheckMs, ended.signal)
      if (!this.#isHeld(claim)) break
      // A statement that fails tells nothing of the owner; a lost connection is heard of by itself.
      const loss = await lossOf(this.#claimant(), claim).catch(() => undefined)
      if (loss !== undefined && this.#isHeld(claim)) this.#finish(loss)
    }
    signal.removeEventListener('abort', end)
  }

  #isHeld(claim: RowClaim): boolean {
    return this.#state.kind === 'ready' && this.#state.claim === claim
  }

  /** The error of a batch that was refused to one that is not the owner, with who is, when that can be told. */
  async #taken(claim: RowClaim, error: StateError): Promise<StateError> {
    return (await lossOf(this.#claimant(), claim).catch(() => undefined)) ?? error
  }

  /** The claim's connection broke: starts over, once per claim. */
  #lose(claim: RowClaim): void {
    if (!this.#isHeld(claim)) return
    this.#become({ kind: 'recovering' })
    void claim.connection.close()
    void this.#recover(claim.backend)
  }

  async #recover(backend: number): Promise<void> {
    const { backoff, random, time } = this.#options.pool.options
    const { signal } = this.#closing
    for (let attempt = 1; !signal.aborted; attempt += 1) {
      try {
        await this.#reclaim(backend)
        return
      } catch (error) {
        if (this.#state.kind === 'over') return
        if (isStateError(error, 'in_use')) {
          this.#finish(error)
          return
        }
        if (attempt >= PATIENT_ATTEMPTS) this.#become({ kind: 'down', error: away(error) })
        await pause(time, backoffDelayMs(attempt, backoff, random), signal)
      }
    }
  }

  async #reclaim(backend: number): Promise<void> {
    const claim = await reclaimRows(this.#claimant(), backend)
    try {
      const stored = await this.#reconcile(claim)
      if (this.#closing.signal.aborted) throw notOpen()
      this.#recoveries += 1
      this.#stand({ ...claim, stored })
    } catch (error) {
      await claim.connection.close()
      throw error
    }
  }

  /** Makes the database agree with what was answered; resolves with the number of its last batch. */
  async #reconcile(claim: RowClaim): Promise<bigint> {
    const { stored } = claim
    if (stored === this.#last) {
      if (this.#doubt === 'given up') this.#doubt = 'none'
      return stored
    }
    if (stored === this.#last + 1n && this.#doubt === 'waiting') return stored
    const missing = this.#unsynced.after(stored)
    if (stored > this.#last || BigInt(missing.length) !== this.#last - stored) {
      throw this.#finish(
        new StateError(
          'storage_failed',
          `storage: batch ${this.#last} was the last one answered, but the database is at ${stored}; open the storage again`,
          { isAway: true },
        ),
      )
    }
    for (const { number, changes } of missing) {
      await writeRows(claim.connection, this.#mark(claim, number), changes, 'disk')
    }
    this.#unsynced.clear()
    return this.#last
  }

  /** Ends the opening for good, and gives the reason back. */
  #finish(error: StateError): StateError {
    const state = this.#state
    if (state.kind === 'over') return error
    this.#become({ kind: 'over', error })
    if (state.kind === 'ready') void state.claim.connection.close()
    this.#reportLost(error)
    return error
  }

  #mark(claim: RowClaim, number: bigint): BatchMark {
    return { namespace: claim.namespace, owner: this.#token, number }
  }

  #claimant(): Claimant {
    return { ...this.#options, token: this.#token, signal: this.#closing.signal }
  }
}

function notOpen(): StateError {
  return new StateError('not_open', 'storage: not open')
}

function away(error: unknown): StateError {
  if (isStateError(error, 'storage_failed')) return error
  return new StateError('storage_failed', `storage: ${errorText(error)}`, {
    cause: error,
    clientText: `storage: ${clientTextOf(error)}`,
    isAway: true,
  })
}
