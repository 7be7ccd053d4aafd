/**
 * PATCH under a write filter that may answer later. A plan is synchronous, so a filter that has no
 * answer yet stops the plan; when it has answered the plan is tried again, and the answer counts
 * if the merged value is still the one the filter was asked about. Nothing is locked meanwhile.
 */
import { deepMerge } from '../core/deep-merge.ts'
import type { Entry } from '../core/entry.ts'
import { StateError } from '../core/errors.ts'

/** Attempts until a write gives up: each one that fails means that another write was made. */
const MAX_ATTEMPTS = 1000

/** Checks and changes the JSON text about to be written; throws or rejects to refuse it. */
export type JsonFilter = (json: string) => string | Promise<string>

/** Stops a plan until `answered` settles. Never seen outside of `untilAnswered`. */
class FilterPending {
  readonly answered: Promise<void>

  constructor(answered: Promise<void>) {
    this.answered = answered
    // It is awaited a little later; until then a rejection is not an unheard one.
    answered.catch(() => undefined)
  }
}

/**
 * The change of `Store.update` that merges `patch` and passes the result through `filter`. Run the
 * write in `untilAnswered`. A filter that answers later may be asked more than once.
 */
export function filteredMerge(patch: string, filter: JsonFilter): (current: Entry) => string {
  let known: { readonly merged: string; readonly json: string } | undefined
  return (current) => {
    const merged = deepMerge(current.data, patch)
    if (known?.merged === merged) return known.json
    const json = filter(merged)
    if (typeof json === 'string') return json
    throw new FilterPending(
      json.then((answer) => {
        known = { merged, json: answer }
      }),
    )
  }
}

/**
 * Tries a write whose plan holds filtered merges until no filter is left to wait for.
 * @throws what the write or a filter throws; StateError `overloaded` after 1000 attempts.
 */
export async function untilAnswered<Result>(write: () => Promise<Result>): Promise<Result> {
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
    try {
      return await write()
    } catch (error) {
      if (!(error instanceof FilterPending)) throw error
      await error.answered
    }
  }
  throw new StateError(
    'overloaded',
    `ooo: other writes came first in ${MAX_ATTEMPTS} attempts, which is the limit`,
  )
}
