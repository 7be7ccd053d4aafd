/** The steps from one list of entries to another, whatever entered, left, moved or changed. */
import type { Entry } from '../../core/data/entry.ts'
import { metaJson } from '../../core/data/entry.ts'
import { putOperation, removeOperation } from '../../core/json/patch.ts'

/**
 * Patch operations that turn `before` into `after`; empty when both show the same. Removals come
 * first, last position first, so that each names a position of the old list; then, in order of
 * position, what is added or replaced. Keys are unique within each list.
 */
export function diffEntries(before: readonly Entry[], after: readonly Entry[]): string[] {
  const ranks = new Map(after.map((entry, rank) => [entry.key, rank]))
  const kept = inOrder(before.map((entry) => ranks.get(entry.key) ?? -1))
  const operations: string[] = []
  const staying = new Map<string, Entry>()
  for (let rank = before.length - 1; rank >= 0; rank--) {
    const entry = before[rank]
    if (entry === undefined) continue
    if (kept.has(rank)) staying.set(entry.key, entry)
    else operations.push(removeOperation(`/${rank}`))
  }
  after.forEach((entry, rank) => {
    const old = staying.get(entry.key)
    if (old === undefined) operations.push(putOperation('add', `/${rank}`, metaJson(entry)))
    else if (!sameEntry(old, entry)) {
      operations.push(putOperation('replace', `/${rank}`, metaJson(entry)))
    }
  })
  return operations
}

/** Whether two entries are shown alike. */
export function sameEntry(a: Entry, b: Entry): boolean {
  return (
    a === b ||
    (a.created === b.created && a.updated === b.updated && a.data === b.data && a.key === b.key)
  )
}

/**
 * Positions of a longest increasing run of `values`, negative ones left out: the entries that
 * need not move. Patience sorting; linear when all are in order already.
 */
function inOrder(values: readonly number[]): Set<number> {
  const tails: number[] = []
  const previous = new Array<number>(values.length).fill(-1)
  values.forEach((value, position) => {
    if (value < 0) return
    const place = placeOf(values, tails, value)
    previous[position] = tails[place - 1] ?? -1
    tails[place] = position
  })
  const kept = new Set<number>()
  for (let at = tails.at(-1) ?? -1; at >= 0; at = previous[at] ?? -1) kept.add(at)
  return kept
}

/** The first tail whose value is not below `value`; past the end when there is none. */
function placeOf(values: readonly number[], tails: readonly number[], value: number): number {
  const last = tails[tails.length - 1]
  if (last === undefined || (values[last] ?? 0) < value) return tails.length
  let low = 0
  let high = tails.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if ((values[tails[middle] ?? 0] ?? 0) < value) low = middle + 1
    else high = middle
  }
  return low
}
