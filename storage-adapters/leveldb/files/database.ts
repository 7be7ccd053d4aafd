/** LevelDB itself (package `level`): the part of it that is used here, and opening it. */

import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Level } from 'level'
import type { BatchOperation } from '../../../src/core/ports/storage-adapter.ts'
import { codeOf } from './errors.ts'
import { readVarint } from './snappy.ts'

/**
 * The row in which each batch leaves its number and the number of the last one acknowledged before
 * it: numbers of refused batches are not used again. Sorts before all rows of callers.
 */
export const NUMBER_ROW = '\u0000batch'

/** A batch's number, and that of the one acknowledged before it; 0 when there is none. */
export interface BatchNumber {
  readonly number: number
  readonly previous: number
}

/** The value of the number row. */
export function formatNumber({ number, previous }: BatchNumber): string {
  return `${number} ${previous}`
}

/** Reads the value of a number row; undefined when it is not one. */
export function parseNumber(value: string | undefined): BatchNumber | undefined {
  const [, number, previous] = /^(\d{1,16}) (\d{1,16})$/.exec(value ?? '') ?? []
  if (number === undefined || previous === undefined) return undefined
  return { number: Number(number), previous: Number(previous) }
}

/** A page-wise cursor over rows of one snapshot. */
export interface EngineRows {
  nextv(size: number): Promise<[string, string][]>
  close(): Promise<void>
}

/** A batch that is filled row by row. */
interface RowBatch {
  put(key: string, value: string): unknown
  del(key: string): unknown
  write(options: { sync: boolean }): Promise<void>
  close(): Promise<void>
}

/** An open engine. */
export interface Database {
  get(key: string): Promise<string | undefined>
  getMany(keys: string[]): Promise<(string | undefined)[]>
  batch(): RowBatch
  iterator(options: object): EngineRows
  /** Also writes the memory buffer to a sorted file and begins a new log. */
  compactRange(start: string, end: string): Promise<void>
  close(): Promise<void>
}

export interface DatabaseOptions {
  readonly directory: string
  readonly cacheBytes: number
  readonly writeBufferBytes: number
}

/** Opens or makes the database of an existing folder. */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const database = new Level<string, string>(options.directory, {
    keyEncoding: 'utf8',
    valueEncoding: 'utf8',
    cacheSize: options.cacheBytes,
    writeBufferSize: options.writeBufferBytes,
  })
  await database.open()
  // The types of `level` leave out what browsers do not have.
  return database as unknown as Database
}

/** Rows that are handed to the engine in one turn: some milliseconds. */
const ROWS_PER_TURN = 2000

/**
 * Writes rows as one batch. Row by row, since an array of them costs this thread twice the time, and with a turn
 * of the event loop for others now and then.
 */
export async function writeRows(
  database: Pick<Database, 'batch'>,
  rows: readonly BatchOperation[],
  options: { readonly sync: boolean },
): Promise<void> {
  const batch = database.batch()
  try {
    for (const [i, row] of rows.entries()) {
      if (i % ROWS_PER_TURN === ROWS_PER_TURN - 1) await nextTurn()
      if (row.type === 'put') batch.put(row.key, row.value)
      else batch.del(row.key)
    }
  } catch (error) {
    await batch.close()
    throw error
  }
  await batch.write(options)
}

/**
 * Rejects with the engine's `LEVEL_LOCKED` when another process or object holds the folder, and for
 * whatever keeps this process from locking it. Changes nothing: it asks to open a database that
 * neither exists nor does not, which the engine refuses once it has the lock.
 */
export async function assertNotLocked(directory: string): Promise<void> {
  const probe = new Level<string, string>(directory)
  try {
    await probe.open({ createIfMissing: false, errorIfExists: true })
    await probe.close()
  } catch (error) {
    const reason = error instanceof Error ? error.cause : undefined
    if (
      codeOf(reason) === 'LEVEL_LOCKED' ||
      !/error_if_exists|create_if_missing/.test(String(reason))
    )
      throw error
  }
}

/**
 * Runs the engine's repair, which makes the list of files again from the files. It takes no lock of
 * its own, so that two processes that start at once are kept apart by a database made only for that.
 */
export async function whileLocked<T>(directory: string, work: () => Promise<T>): Promise<T> {
  const lock = new Level<string, string>(join(directory, 'mending'))
  await lock.open()
  try {
    await assertNotLocked(directory)
    return await work()
  } finally {
    await lock.close()
  }
}

/** The engine's repair of a folder. */
export async function repairDatabase(directory: string): Promise<void> {
  await (Level as unknown as { repair(location: string): Promise<void> }).repair(directory)
}

/** A batch in a log: 12 bytes of head, then the operations; the number comes last. */
const NUMBER_HEAD: Buffer = Buffer.concat([
  Buffer.of(1, Buffer.byteLength(NUMBER_ROW)),
  Buffer.from(NUMBER_ROW),
])

/** The number of a batch as it stands in a log; undefined when it has none. */
export function numberOfBatch(batch: Buffer): BatchNumber | undefined {
  const at = batch.lastIndexOf(NUMBER_HEAD)
  if (at < 12) return undefined
  const length = readVarint(batch, at + NUMBER_HEAD.length)
  if (length === undefined || length.next + length.value !== batch.length) return undefined
  return parseNumber(batch.toString('latin1', length.next))
}
