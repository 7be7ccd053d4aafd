/** Picking the entries of a glob out of many, in steps: the same entries in the same order as at once. */
import { type Entry, newestFirst, type StoredRecord } from '../../core/data/entry.ts'
import { directoryOf, hasGlob, matchKey } from '../../core/keys/key.ts'
import type { Steps } from '../../core/steps.ts'
import type { SequencedRow } from '../format/rows.ts'
import type { ListPace } from '../types/list-pace.ts'
import type { KeyState, ListOptions } from './state.ts'

/** Bytes of rows that are read before the reader is asked again. */
const READ_AT_ONCE = 262_144
/** Bytes of an entry beside its text. */
const ENTRY_BYTES = 200
/** Keys that are read between two questions to the reader. */
const PAGE = 64
/** Entries that are sorted in one step. */
const RUN = 64

/** Those of `entries` that match, newest first, cut to what was asked for. */
export function* pickingEntries(
  entries: readonly Entry[],
  pattern: string,
  options: ListOptions,
): Steps<Entry[]> {
  const found: Entry[] = []
  for (const entry of entries) {
    yield
    if (matchKey(pattern, entry.key) && isCreatedIn(entry, options)) found.push(entry)
  }
  return limited(yield* sortingEntries(found), options)
}

/** Newest first: short runs are sorted, then merged two by two. What is in order already is left so. */
export function* sortingEntries(entries: Entry[]): Steps<Entry[]> {
  if (yield* isInOrder(entries)) return entries
  let from: Entry[] = []
  for (let i = 0; i < entries.length; i += RUN) {
    yield
    from.push(...entries.slice(i, i + RUN).sort(newestFirst))
  }
  for (let width = RUN; width < from.length; width *= 2) {
    const into: Entry[] = []
    for (let start = 0; start < from.length; start += 2 * width) {
      yield* merging(from, start, width, into)
    }
    from = into
  }
  return from
}

/** As entries of one directory in memory are. */
function* isInOrder(entries: readonly Entry[]): Steps<boolean> {
  for (let i = 1; i < entries.length; i++) {
    yield
    if (newestFirst(entries[i - 1] as Entry, entries[i] as Entry) > 0) return false
  }
  return true
}

/** Adds the two sorted runs of `width` from `start` on to `into`, merged. */
function* merging(
  from: readonly Entry[],
  start: number,
  width: number,
  into: Entry[],
): Steps<void> {
  const middle = Math.min(start + width, from.length)
  const end = Math.min(middle + width, from.length)
  let left = start
  let right = middle
  while (left < middle || right < end) {
    yield
    const a = from[left] as Entry
    const b = from[right] as Entry
    const isLeft = right >= end || (left < middle && newestFirst(a, b) <= 0)
    into.push(isLeft ? a : b)
    if (isLeft) left++
    else right++
  }
}

/** Those of rows from a storage that match, newest first, as of commit `seq`. */
export async function entriesOfRows(
  { seq, rows }: { readonly seq: number; readonly rows: AsyncIterable<SequencedRow> },
  pattern: string,
  options: ListOptions,
  pace?: ListPace,
): Promise<Entry[]> {
  const entries: Entry[] = []
  let unread = 0
  for await (const { seq: at, record } of rows) {
    if (pace !== undefined && ++unread >= READ_AT_ONCE) {
      await pace.read(unread)
      unread = 0
    }
    if (at > seq || record.kind !== 'entry' || !matchKey(pattern, record.key)) continue
    if (!isCreatedIn(record, options)) continue
    entries.push(record)
    unread += bytesOf(record)
  }
  const isLong = pace !== undefined && entries.length > RUN
  const sorted = isLong ? await pace.run(sortingEntries(entries)) : entries.sort(newestFirst)
  return limited(sorted, options)
}

/** What is known of many keys, read page by page as the reader allows. */
export async function statesInPages(
  read: (keys: readonly string[]) => Promise<readonly (KeyState | undefined)[]>,
  keys: readonly string[],
  pace: ListPace | undefined,
): Promise<readonly (KeyState | undefined)[]> {
  if (pace === undefined || keys.length <= PAGE) return read(keys)
  const states: (KeyState | undefined)[] = []
  for (let i = 0; i < keys.length; i += PAGE) {
    const page = await read(keys.slice(i, i + PAGE))
    states.push(...page)
    await pace.read(page.reduce((sum, state) => sum + bytesOf(state?.record), 0))
  }
  return states
}

function bytesOf(record: StoredRecord | undefined): number {
  return record?.kind === 'entry' ? record.key.length + record.data.length + ENTRY_BYTES : 0
}

/** Cuts a list in display order to what was asked for. */
export function limited(newestFirstEntries: Entry[], { order, limit }: ListOptions): Entry[] {
  if (order === 'oldest') newestFirstEntries.reverse()
  const isCut = limit !== undefined && limit < newestFirstEntries.length
  return isCut ? newestFirstEntries.slice(0, limit) : newestFirstEntries
}

export function isCreatedIn({ created }: Entry, { from, to }: ListOptions): boolean {
  return (from === undefined || created >= from) && (to === undefined || created <= to)
}

/** Whether the glob stands for all that lies in one directory, which is kept in the order of lists. */
export function isWholeDirectory(pattern: string): boolean {
  const directory = directoryOf(pattern)
  return pattern === `${directory}*` && !hasGlob(directory)
}
