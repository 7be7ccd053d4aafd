/**
 * The heart of the store: takes operations in turn, makes them durable in batches, applies them to
 * the state and announces them.
 *
 * The order of events, written once: an operation is planned against the committed state, written
 * in an atomic batch together with its change-log and outbox rows, then applied and announced to
 * listeners, and only then answered, refusals too. So nobody hears of a change that a crash could
 * undo, and every listener and reader sees the same sequence. Durability `memory` alone turns this
 * around: a batch of nothing else is applied, announced and answered, and written then.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { HybridClock } from '../../core/data/clock.ts'
import type { Digest } from '../../core/data/digest.ts'
import type { Commit } from '../../core/data/entry.ts'
import { StateError } from '../../core/errors.ts'
import { type Logger, SILENT_LOGGER } from '../../core/ports/logger.ts'
import { onceAMinute } from '../../core/ports/once-a-minute.ts'
import type { Durability, StorageAdapter } from '../../core/ports/storage-adapter.ts'
import { inTurns } from '../../core/steps.ts'
import { ORIGIN_ROW, WritingIdentity } from '../format/identity.ts'
import type { Damage } from '../integrity/damage.ts'
import type { StorageGuard } from '../integrity/storage-guard.ts'
import { StorageSilence } from '../integrity/storage-silence.ts'
import { WatchedStorage } from '../integrity/watched-storage.ts'
import { ChangeTail } from '../log/change-tail.ts'
import { applyMeta, Draft, type Step } from '../planning/draft.ts'
import { planContext } from '../planning/plan-context.ts'
import type { PlanContext, Planner } from '../planning/planner.ts'
import { RefusedRecords } from '../planning/refused-records.ts'
import { loadState, repairedOnce } from '../recovery/recovery.ts'
import { retarget } from '../replication/retarget.ts'
import { BoundedState } from '../state/bounded-state.ts'
import { InMemoryState } from '../state/in-memory-state.ts'
import { type RecordScan, type ScanParts, scanRecords } from '../state/scan-records.ts'
import type { State } from '../state/state.ts'
import { SupersededWrites } from '../state/superseded-writes.ts'
import { type DurabilityLevels, durabilityLevels } from '../types/durability-levels.ts'
import { assertStorable, type StoreLimits, storeLimits } from '../types/store-limits.ts'
import type { DecisionTermsOf, LeaderOf, StoreOptions } from '../types/store-options.ts'
import { BatchWriter, NOTHING, strongest } from './batch-writer.ts'
import { createGuard, MAX_BATCH_BYTES, openBounded, queueBounds } from './committer-parts.ts'
import { type Committed, flushJobs } from './flush-jobs.ts'
import { Holding } from './holding.ts'
import { jobOf } from './job-of.ts'
import { CommitListeners } from './listeners.ts'
import { type Job, planJobs, viewFor } from './plan-jobs.ts'
import { CommitQueue } from './queue.ts'
import type { StorageBacklog } from './storage-backlog.ts'

type CommitterState = 'closed' | 'opening' | 'open' | 'closing'

export class Committer {
  readonly adapter: StorageAdapter
  readonly clock: HybridClock
  /** The newest rows of the change log. */
  readonly tail: ChangeTail
  /** Records of others that were not taken. */
  readonly refused: RefusedRecords
  readonly limits: StoreLimits
  /** Changes that lost before their leader had them. */
  readonly superseded: SupersededWrites = new SupersededWrites()
  /** Whether the storage is still this node's. */
  readonly holding: Holding
  readonly #settledListeners = new Set<() => void>()
  /** Says which keys are pending for a leader. */
  leaderOf: LeaderOf = () => undefined
  /** Says how this node decides about what it leads. */
  decisionTerms: DecisionTermsOf = () => undefined
  readonly #options: StoreOptions
  readonly #logger: Logger
  readonly #queue: CommitQueue<Job>
  readonly #writer: BatchWriter
  readonly #listeners: CommitListeners
  #state: CommitterState = 'closed'
  #transition: Promise<void> = Promise.resolve()
  #records: State = new InMemoryState(() => 0)
  readonly #guard: StorageGuard
  readonly #silence: StorageSilence
  #meta = new Map<string, string>()
  #identity = new WritingIdentity('', undefined, 0n)
  /** Greatest seq given out, also to batches that failed; `#head` is the greatest committed. */
  #lastSeq = 0
  #head = 0

  constructor(options: StoreOptions) {
    this.clock = options.clock
    this.tail = new ChangeTail(options.tailRows ?? 4096)
    this.#options = options
    this.#logger = options.logger ?? SILENT_LOGGER
    this.holding = new Holding(this.#logger)
    this.#silence = new StorageSilence(options.time, this.#logger)
    this.adapter = new WatchedStorage(options.adapter, this.#silence, () => {
      if (this.#state === 'open') this.#guard.filesDamaged()
    })
    const quiet = onceAMinute(this.#logger, options.time)
    this.#listeners = new CommitListeners(quiet)
    this.refused = new RefusedRecords(this.#logger)
    this.limits = storeLimits(options)
    this.#queue = new CommitQueue({
      flush: (jobs) => flushJobs(jobs, (some) => this.#commit(some), quiet),
      ...queueBounds(options),
    })
    this.#writer = new BatchWriter({
      adapter: this.adapter,
      logger: this.#logger,
      time: options.time,
      retry: () => void this.run(NOTHING).catch(() => undefined),
    })
    this.#guard = createGuard({
      adapter: this.adapter,
      newId: options.newId,
      logger: this.#logger,
      head: () => this.#head,
      run: (planner) => this.run(planner),
      queue: this.#queue,
      writer: this.#writer,
      records: () => this.#records,
      time: options.time,
    })
  }

  /** Opens the adapter and reads the state. @throws StateError of the adapter. */
  open(): Promise<void> {
    if (this.#state === 'open' || this.#state === 'opening') return this.#transition
    this.#state = 'opening'
    this.#transition = this.#transition.catch(() => undefined).then(() => this.#load())
    return this.#transition
  }

  /** Waits for writes under way, then closes the adapter. New writes are refused at once. */
  close(): Promise<void> {
    if (this.#state === 'closed' || this.#state === 'closing') return this.#transition
    this.#state = 'closing'
    this.#transition = this.#transition
      .catch(() => undefined)
      .then(() => this.#finish())
      .finally(() => {
        if (this.#state === 'closing') this.#state = 'closed'
      })
    return this.#transition
  }

  /** Resolves when no write is under way. */
  settled(): Promise<void> {
    return this.#queue.drained()
  }

  /** The committed state; another object after each `open`. */
  get records(): State {
    return this.#records
  }

  /** Every record whose key starts with `prefix`, key ascending, exactly as of commit `seq`. */
  scan(prefix: string): Promise<RecordScan> {
    const parts: ScanParts = {
      ...{ adapter: this.adapter, records: this.#records, head: () => this.#head },
      isBehind: () => this.#writer.isBehind,
      betweenBatches: async (take) => this.#queue.betweenBatches(take),
      isDamaged: (key) => this.damage.has(key),
      rewrite: (key) => this.#guard.rewrite(key),
    }
    return scanRecords(parts, prefix)
  }

  /** What is known to be damaged. */
  get damage(): Damage {
    return this.#guard.damage
  }

  /** Seq of the last committed change. */
  get head(): number {
    return this.#head
  }

  /** @throws StateError `overloaded` when an operation of so many bytes may not wait. */
  assertRoom(bytes: number): void {
    this.#queue.assertRoom({ bytes, isPatient: false })
  }

  /** How the writes stand that the adapter has not taken yet. */
  get backlog(): StorageBacklog {
    const { refusal, ...rest } = this.#writer.backlog(this.#queue.metrics, this.#silence.ms)
    return { ...rest, refusal: refusal ?? this.adapter.fault?.message }
  }

  meta(name: string): string | undefined {
    return this.#meta.get(name)
  }

  /** Hears commits in seq order, synchronously, after they are durable. Must not throw. */
  onCommit(listener: (commit: Commit) => void): () => void {
    return this.#listeners.add(listener)
  }

  /** Hears that a leader has acknowledged something that was pending for it. Must not throw. */
  onSettled(listener: () => void): () => void {
    this.#settledListeners.add(listener)
    return () => this.#settledListeners.delete(listener)
  }

  /** Hears that damage was found while open: the epoch is another, peers are to be compared with. */
  onDamage(listener: () => void): () => void {
    return this.#guard.onDamage(listener)
  }

  /** Plans an operation in its turn; resolves with its result once it is durable and announced. */
  run<Result>(planner: Planner<Result>, durability?: Durability): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.#state !== 'open') {
        reject(new StateError('not_open', `storage: storage is not active (${this.#state})`))
        return
      }
      try {
        this.holding.assertHeld()
        this.#writer.assertOffered(durability)
        const job = jobOf({
          ...{ planner, resolve, reject, clock: this.clock, queue: this.#queue },
          durability: durability ?? this.#options.durability,
          leaderOf: (key) => this.leaderOf(key),
          context: (draft) => this.#context(draft),
        })
        this.#queue.push(job)
      } catch (error) {
        reject(error)
      }
    })
  }

  /** See `retarget.ts`. */
  retarget(change: () => void): Promise<void> {
    const exclusively = <T>(work: () => Promise<T>): Promise<T> => this.#queue.exclusively(work)
    const run = <T>(planner: Planner<T>): Promise<T> => this.run(planner)
    const { superseded } = this
    const leaderOf: LeaderOf = (key) => this.leaderOf(key)
    return retarget({ exclusively, run, leaderOf, records: this.#records, superseded }, change)
  }

  #context(draft: Draft): PlanContext {
    return planContext(
      {
        clock: this.clock,
        identity: this.#identity,
        leaderOf: this.leaderOf,
        decisionTerms: this.decisionTerms,
        meta: this.#meta,
        refused: this.refused,
        ...this.limits,
      },
      draft,
    )
  }

  /** Writes as many of the jobs as may go in one batch. */
  async #commit(jobs: readonly Job[]): Promise<Committed> {
    const ready = await viewFor(jobs, this.#records)
    if (ready === undefined) return { taken: jobs.length }
    const draft = new Draft({
      view: ready,
      lastSeq: this.#lastSeq,
      digest: this.#guard.digest,
      isDigestKnown: this.#guard.isDigestKnown,
      isIndexed: this.#records instanceof BoundedState,
      isDamaged: (key) => this.damage.has(key),
      assertStorable: (record, before) => assertStorable(record, before, this.limits),
      admitSuperseded: (change) => this.superseded.admit(change),
    })
    // Nothing else is committed until this batch is, so what was read stays true for all turns of it.
    const { taken, settle } = await inTurns(planJobs(jobs, draft, MAX_BATCH_BYTES), nextTurn)
    draft.setOrigin(this.#identity.unsavedRow(this.clock.last, this.#meta.get(ORIGIN_ROW)))
    this.#lastSeq = draft.seq
    // Others have their turn between the steps of a batch that takes long.
    if (draft.dataLength > MAX_BATCH_BYTES) await nextTurn()
    const levels = jobs.slice(0, taken).map(({ durability }) => durability)
    const level = levels.reduce(strongest, levels[0])
    const isBarrier = this.#writer.needsBarrier(level)
    const { rows, digest } = await inTurns(draft.rows(this.clock.last, isBarrier), nextTurn)
    if (levels.every((level) => this.#writer.answersEarly(level))) {
      this.#apply(draft, digest)
      settle()
      await this.#writer.writeAnswered(rows)
      if (!this.#writer.isBehind) this.#written()
      return { taken }
    }
    try {
      await this.#writer.write(rows, level)
    } catch (error) {
      return { taken, error }
    }
    this.#apply(draft, digest)
    this.#written()
    settle()
    return { taken }
  }

  #written(): void {
    this.#records.written()
    this.tail.trim()
  }

  /** Makes a batch visible: the state first, then listeners, operation by operation. */
  #apply(draft: Draft, digest: Digest): void {
    this.#guard.digest = digest
    applyMeta(this.#meta, draft.meta)
    for (const step of draft.steps) this.#applyStep(step)
  }

  #applyStep({ commit, changes, removals, superseded }: Step): void {
    let isSettled = false
    for (const change of changes) {
      const { keyState, before } = change
      this.#records.put(change)
      if (before?.pendingFor !== undefined && keyState.pendingFor === undefined) isSettled = true
      if (before?.record === keyState.record) continue
      this.tail.push({ seq: keyState.seq, key: keyState.record.key })
      this.damage.heal(keyState.record.key)
    }
    for (const keyState of removals) this.#records.remove(keyState)
    if (superseded !== undefined) this.superseded.apply(superseded)
    if ((superseded?.settled?.length ?? 0) > 0) isSettled = true
    if (commit !== undefined) {
      this.#head = commit.seq
      this.#listeners.announce(commit)
    }
    if (isSettled) for (const listener of this.#settledListeners) listener()
  }

  async #load(): Promise<void> {
    try {
      await this.adapter.open()
      await repairedOnce(this.adapter, () => this.#read())
      this.holding.begin(this.adapter)
      if (this.#state === 'opening') this.#state = 'open'
      if (this.#options.cacheBytes !== undefined) this.#guard.verify()
      this.#guard.checkIndexes()
    } catch (error) {
      if (this.#state === 'opening') this.#state = 'closed'
      await this.adapter.close()
      throw error
    }
  }

  async #read(): Promise<void> {
    const inMemory = new InMemoryState(() => this.#head)
    const { cacheBytes, newId, time } = this.#options
    const loaded = await loadState({
      adapter: this.adapter,
      leaderOf: this.leaderOf,
      newId,
      logger: this.#logger,
      time,
      inMemory: cacheBytes === undefined ? inMemory : undefined,
    })
    this.#meta = loaded.meta
    this.#guard.begin(loaded.damage, loaded.head.digest)
    this.clock.restore(loaded.head.clock)
    this.#identity = loaded.identity
    this.#lastSeq = loaded.head.seq
    this.#head = loaded.head.seq
    this.tail.reset(loaded.head.seq)
    const { pending } = loaded
    const bounded = { adapter: this.adapter, queue: this.#queue, guard: this.#guard, pending }
    const leaderOf: LeaderOf = (key) => this.leaderOf(key)
    const head = (): number => this.#head
    this.#records =
      cacheBytes === undefined ? inMemory : openBounded({ ...bounded, cacheBytes, head, leaderOf })
    await this.superseded.load(this.adapter, this.leaderOf)
  }

  async #finish(): Promise<void> {
    await this.#guard.stop()
    await this.#queue.drained()
    this.#writer.stop()
    if (this.#writer.isBehind) await this.#writer.writeAnswered([])
    this.holding.end()
    await this.adapter.close()
    this.#silence.stop()
  }

  /** @throws StateError `not_open`, or why the storage is lost. While closing, reads still work. */
  assertOpen(): void {
    this.holding.assertHeld()
    if (this.#state === 'open' || this.#state === 'closing') return
    throw new StateError('not_open', `storage: storage is not active (${this.#state})`)
  }

  get durability(): DurabilityLevels {
    return durabilityLevels(this.adapter, this.#options.durability)
  }

  /** A meta row that every open store has. @throws StateError `not_open` before that. */
  requireMeta(name: string): string {
    const value = this.#meta.get(name)
    if (value === undefined) throw new StateError('not_open', 'storage: storage is not active')
    return value
  }
}
