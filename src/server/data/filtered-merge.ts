/**
 * PATCH of what may take long to merge, and under a write filter that may answer later. A plan is synchronous,
 * so a merge or a filter that has no result yet stops the plan; when it has one the plan is tried again, and the
 * result counts if the value that it was made for is still the same. Nothing is locked meanwhile.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Entry } from '../../core/data/entry.ts'
import { StateError } from '../../core/errors.ts'
import { type JsonBounds, jsonExcess } from '../../core/json/bounds.ts'
import { deepMerge, deepMerging } from '../../core/json/deep-merge.ts'
import { inTurns } from '../../core/steps.ts'
import { MAX_MERGED_AT_ONCE, type MergeClaim } from '../turns/merge-room.ts'

/** Attempts until a write gives up: each one that fails means that another write was made. */
const MAX_ATTEMPTS = 1000
/** Merges in turns that others overtook, after which one is made at once. */
const MAX_OVERTAKEN = 3

/** Checks and changes the JSON text about to be written; throws or rejects to refuse it. */
export type JsonFilter = (json: string) => string | Promise<string>

/** Stops a plan until `done` settles. Never seen outside of `untilAnswered`. */
class MergePending {
  readonly done: Promise<void>

  constructor(done: Promise<void>) {
    this.done = done
    // It is awaited a little later; until then a rejection is not an unheard one.
    done.catch(() => undefined)
  }
}

/**
 * The change of a write that makes a document of what is stored and passes it through `filter`, unless it is beyond
 * the bounds: filters may take it apart. Run the write in `untilAnswered`. A filter that answers later may be
 * asked more than once.
 */
export function filteredChange(
  change: (current: Entry) => string,
  bounds: JsonBounds,
  filter: JsonFilter,
): (current: Entry) => string {
  let known: { readonly merged: string; readonly json: string } | undefined
  return (current) => {
    const merged = change(current)
    if (known?.merged === merged) return known.json
    const excess = jsonExcess(merged, bounds, current.data)
    if (excess !== undefined) throw excess
    const json = filter(merged)
    if (typeof json === 'string') return json
    throw new MergePending(
      json.then((answer) => {
        known = { merged, json: answer }
      }),
    )
  }
}

/**
 * The change that merges into a document, at once where both are short.
 * @param claim that of the write, where a large merge takes its room from
 */
export function mergeInTurns(patch: string, claim: MergeClaim): (current: Entry) => string {
  let made: { readonly document: string; readonly merged: string } | undefined
  let overtaken = 0
  let counted = 0
  claim.add()
  return ({ data: document }) => {
    if (made?.document === document) return made.merged
    const characters = document.length + patch.length
    // Waited for without the document, which others may change meanwhile: it is read again then.
    const room = claim.resize(counted, characters)
    counted = characters
    if (room !== undefined) throw new MergePending(room)
    if (characters <= MAX_MERGED_AT_ONCE || overtaken === MAX_OVERTAKEN)
      return deepMerge(document, patch)
    overtaken++
    made = undefined
    const merging = inTurns(deepMerging(document, patch), nextTurn)
    throw new MergePending(
      merging.then((merged) => {
        made = { document, merged }
      }),
    )
  }
}

/**
 * Tries a write whose plan holds filtered merges until nothing is left to wait for. The room of `claim`, that of
 * the write, is given back then.
 * @throws what the write, a merge or a filter throws; StateError `overloaded` after 1000 attempts.
 */
export async function untilAnswered<Result>(
  claim: MergeClaim,
  write: () => Promise<Result>,
): Promise<Result> {
  try {
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
      try {
        return await write()
      } catch (error) {
        if (!(error instanceof MergePending)) throw error
        await error.done
      }
    }
  } finally {
    claim.end()
  }
  throw new StateError(
    'overloaded',
    `ooo: other writes came first in ${MAX_ATTEMPTS} attempts, which is the limit`,
  )
}
