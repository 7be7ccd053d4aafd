/** What the storage suite is given for each case, and the short words its cases share. */

import assert from 'node:assert/strict'
import type {
  BatchOperation,
  ErrorCode,
  Row,
  StorageAdapter,
} from '../../src/core/ports/storage-adapter.ts'
import {
  isStateError,
  type RowRange,
  type StateError,
} from '../../src/core/ports/storage-adapter.ts'

/**
 * One adapter over empty storage, not opened yet, and what can be done to that storage. Each part
 * that is left out skips the cases that need it, with a reason.
 */
export interface StorageCase {
  readonly adapter: StorageAdapter
  /** A new adapter object over the same rows, not opened. Persistent adapters must have it. */
  reopen?(): StorageAdapter
  /**
   * A new adapter object as another process would make it while the first one is open, not opened.
   * It may be in this process when the adapter cannot tell the difference.
   */
  createSecond?(): StorageAdapter
  /**
   * Ends `adapter` as a killed process would end, at once and without its `close`. Gives an
   * adapter over what is left, not opened. The suite uses the old one no more, but closes it.
   */
  crash?(): Promise<StorageAdapter>
  /** Makes the engine fail every write, as a full disk would; the answer ends that. */
  disturb?(): Promise<() => Promise<void>>
  /** Frees what `create` took; the suite has closed the adapters. */
  cleanup?(): Promise<void>
}

/** What a case has besides its storage. */
export interface CaseTools {
  /** Another storage of its own. */
  create(): Promise<StorageCase>
  /** Closes an adapter after the case, whatever happens; gives it back. */
  keep(adapter: StorageAdapter): StorageAdapter
  readonly seed: number
  readonly walks: number
}

/** One guarantee, shown on any adapter. */
export interface ConformanceCase {
  /** Area and behaviour, as in `scans: can be left early`. */
  readonly name: string
  /** True when the case opens the adapter itself. */
  readonly closed?: boolean
  /** Why the case does not apply to this storage; undefined when it does. */
  readonly skip?: (storage: StorageCase) => string | undefined
  readonly run: (storage: StorageCase, tools: CaseTools) => Promise<void>
}

/** Every row that is left of a scan. */
export async function drain(rows: AsyncIterable<Row>): Promise<Row[]> {
  const seen: Row[] = []
  for await (const row of rows) seen.push(row)
  return seen
}

/** Every row of a range. */
export async function rowsOf(adapter: StorageAdapter, range?: RowRange): Promise<Row[]> {
  return drain(adapter.iterate(range))
}

export function put(key: string, value: string): BatchOperation {
  return { type: 'put', key, value }
}

export function del(key: string): BatchOperation {
  return { type: 'del', key }
}

/** Asserts that `work` rejects with a `StateError` of that code, which it gives. */
export async function assertRejects(
  work: Promise<unknown>,
  codes: ErrorCode | readonly ErrorCode[],
  what: string,
): Promise<StateError> {
  const wanted = typeof codes === 'string' ? [codes] : codes
  const outcome = await work.then(
    () => ({ resolved: true as const }),
    (error: unknown) => ({ resolved: false as const, error }),
  )
  assert.ok(!outcome.resolved, `${what}: resolved, ${wanted.join(' or ')} expected`)
  const { error } = outcome
  if (!isStateError(error)) {
    assert.fail(`${what}: rejected with ${String(error)}, a StateError of this package expected`)
  }
  assert.ok(wanted.includes(error.code), `${what}: ${error.code}, ${wanted.join(' or ')} expected`)
  return error
}

/** Batches being written one after the other, beside what the case does. */
export interface Writer {
  /** The number of the last batch that resolved; 0 before the first. */
  written(): number
  /** Whether batches are still to come; asking lets everything else have its turn first. */
  running(): Promise<boolean>
  /** Settles with the last batch; rejects with the first that does. */
  readonly done: Promise<void>
}

/** Writes batch 1 to `count`, each when the one before has resolved. */
export function startWriter(count: number, write: (i: number) => Promise<void>): Writer {
  let written = 0
  let running = true
  const done = (async (): Promise<void> => {
    for (let i = 1; i <= count; i += 1) {
      await write(i)
      written = i
    }
  })().finally(() => {
    running = false
  })
  // A case that fails before it waits for `done` must not leave an unhandled rejection.
  done.catch(() => undefined)
  const turn = async (): Promise<boolean> => {
    await new Promise((resolve) => setImmediate(resolve))
    return running
  }
  return { written: () => written, running: turn, done }
}
