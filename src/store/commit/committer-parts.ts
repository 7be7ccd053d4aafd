/** What a committer is made of, put together: the guard of its storage, and the state behind a bounded cache. */
import type { StorageAdapter } from '../../core/ports/storage-adapter.ts'
import { StorageGuard, type StorageGuardOptions } from '../integrity/storage-guard.ts'
import { BoundedState } from '../state/bounded-state.ts'
import type { State } from '../state/state.ts'
import type { LeaderOf, StoreOptions } from '../types/store-options.ts'
import type { BatchWriter } from './batch-writer.ts'
import type { Job } from './plan-jobs.ts'
import type { CommitQueue, QueueOptions } from './queue.ts'

const MIB = 1024 * 1024
/**
 * Most bytes that one batch writes of several operations: what takes a few milliseconds, since others wait
 * meanwhile. The contract of an adapter allows 32 MiB.
 */
export const MAX_BATCH_BYTES: number = MIB

export function queueBounds(options: StoreOptions): Omit<QueueOptions<Job>, 'flush'> {
  return {
    maxWaiting: options.maxWaitingOperations ?? 100_000,
    maxWaitingBytes: options.maxWaitingBytes ?? 32 * MIB,
    maxBatch: options.maxBatchOperations ?? 1000,
    maxBatchBytes: MAX_BATCH_BYTES,
  }
}

export interface BoundedParts {
  readonly adapter: StorageAdapter
  readonly cacheBytes: number
  readonly queue: CommitQueue<Job>
  readonly guard: StorageGuard
  readonly head: () => number
  readonly leaderOf: LeaderOf
  /** Records pending for each leader at the start. */
  readonly pending: ReadonlyMap<string, number>
}

export function openBounded({ queue, guard, ...parts }: BoundedParts): BoundedState {
  return new BoundedState({
    ...parts,
    betweenBatches: (take) => queue.betweenBatches(take),
    exclusively: (work) => queue.exclusively(work),
    isDamaged: (key) => guard.damage.has(key),
    damaged: (key, isCached) => {
      if (isCached) guard.rewrite(key)
      else guard.suspect(key)
    },
    isRewriting: (key) => guard.isRewriting(key),
    doubt: () => guard.doubt,
  })
}

export interface GuardParts
  extends Pick<StorageGuardOptions, 'adapter' | 'newId' | 'logger' | 'head' | 'run' | 'time'> {
  readonly queue: CommitQueue<Job>
  readonly writer: BatchWriter
  /** The state as of now: another object after each opening. */
  readonly records: () => State
}

export function createGuard({ queue, writer, records, ...parts }: GuardParts): StorageGuard {
  const bounded = (): BoundedState | undefined => {
    const state = records()
    return state instanceof BoundedState ? state : undefined
  }
  return new StorageGuard({
    ...parts,
    unreadable: (key) => bounded()?.unreadable(key),
    isInMemory: (key) => records().has(key),
    betweenBatches: (take) => queue.betweenBatches(take),
    isBehind: () => writer.isBehind,
    recount: async () => bounded()?.recount() ?? [],
  })
}
