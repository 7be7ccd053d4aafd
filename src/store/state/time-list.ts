/** Part of a directory on disk by its time index: what lies outside is not read. */
import { type Entry, newestFirst } from '../../core/data/entry.ts'
import type { StorageAdapter } from '../../core/ports/storage-adapter.ts'
import { keyOfTimeRow, type SequencedRow, timeRow, timeRows } from '../format/rows.ts'
import type { ListPace } from '../types/list-pace.ts'
import { entriesOfRows, limited, statesInPages } from './glob-scan.ts'
import type { FoundEntries, KeyState, ListOptions } from './state.ts'

/** What a part of a directory is read from. */
export interface TimeListSource {
  readonly adapter: StorageAdapter
  readonly head: () => number
  /** Runs `take` when no batch is under way. */
  readonly betweenBatches: <T>(take: () => T) => Promise<T>
  scan(prefix: string): Promise<{ seq: number; rows: AsyncIterable<SequencedRow> }>
  keyStates(keys: readonly string[]): Promise<readonly (KeyState | undefined)[]>
  /** Whether something that was applied is not in the adapter yet. */
  hasPinned(): boolean
}

/** A list by time that changes under every reading is read at rest after so many. */
const MAX_TRIES = 3
const LAST_STAMP = 2n ** 64n - 1n

/** Read again when a record changed in between. */
export async function listByTime(
  source: TimeListSource,
  directory: string,
  options: ListOptions,
  pace: ListPace | undefined,
): Promise<FoundEntries> {
  for (let i = 0; i < MAX_TRIES; i++) {
    const found = await tryByTime(source, directory, options, pace)
    if (found !== undefined) return found
  }
  const scan = await source.scan(directory)
  return { seq: scan.seq, entries: await entriesOfRows(scan, `${directory}*`, options, pace) }
}

async function tryByTime(
  { adapter, betweenBatches, head, keyStates, hasPinned }: TimeListSource,
  directory: string,
  options: ListOptions,
  pace: ListPace | undefined,
): Promise<FoundEntries | undefined> {
  const { order, limit = Number.POSITIVE_INFINITY, from = 0n, to = LAST_STAMP } = options
  const range = { ...timeRows(directory, from, to), reverse: order !== 'oldest' }
  const { seq, rows, isPinned } = await betweenBatches(() => ({
    seq: head(),
    rows: adapter.iterate(range),
    isPinned: hasPinned(),
  }))
  // What is pinned may add to or take from the index: rare, and read in full then.
  if (isPinned) return undefined
  const found: string[] = []
  let lastCreated: string | undefined
  for await (const [row] of rows) {
    const created = row.slice(row.indexOf(' '), row.lastIndexOf(' '))
    // Entries of one stamp are shown by key, ascending: all of them are fetched.
    if (found.length >= limit && created !== lastCreated) break
    lastCreated = created
    found.push(row)
  }
  const states = await statesInPages(keyStates, found.map(keyOfTimeRow), pace)
  const entries: Entry[] = []
  for (const [i, state] of states.entries()) {
    if (state === undefined || state.seq > seq || state.record.kind !== 'entry') return undefined
    // A row that an earlier damage left behind names another time.
    if (timeRow(state.record) === found[i]) entries.push(state.record)
  }
  return { seq, entries: limited(entries.sort(newestFirst), options) }
}
