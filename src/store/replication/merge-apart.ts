/**
 * Merging records of which the storage may refuse some: what can not be stored for what one record holds
 * is taken apart, half by half, until that record is alone. It is refused, the others are merged.
 */
import type { StoredRecord } from '../../core/data/entry.ts'
import type { Durability } from '../../core/ports/storage-adapter.ts'
import type { Planner } from '../planning/planner.ts'
import type { RefusedRecords } from '../planning/refused-records.ts'
import { isOfContent } from '../types/content-error.ts'
import { type AnyMergeOptions, type AnyOutcome, planMerge, senderOf } from './replication.ts'

/** What a merge is run by. */
export interface Merger {
  run<Result>(planner: Planner<Result>, durability?: Durability): Promise<Result>
  readonly refused: RefusedRecords
}

/**
 * One outcome per record, in order. The meta rows are written with the last records, or after them.
 * @throws StateError of the storage, when it refuses not for what a record holds.
 */
export async function mergeApart(
  merger: Merger,
  records: readonly StoredRecord[],
  options: AnyMergeOptions,
): Promise<AnyOutcome[]> {
  const { durability } = options
  try {
    return await merger.run(planMerge(records, options), durability)
  } catch (error) {
    const [first] = records
    if (first === undefined || !isOfContent(error)) throw error
    if (records.length === 1) {
      merger.refused.note(first, { code: error.code, text: error.clientText }, senderOf(options))
      if (options.meta !== undefined) {
        await merger.run(planMerge([], part(options, 0, 0, true)), durability)
      }
      return ['refused']
    }
    const middle = Math.ceil(records.length / 2)
    const start = part(options, 0, middle, false)
    const end = part(options, middle, records.length, true)
    return [
      ...(await mergeApart(merger, records.slice(0, middle), start)),
      ...(await mergeApart(merger, records.slice(middle), end)),
    ]
  }
}

/** The options for some of the records. */
function part(
  options: AnyMergeOptions,
  from: number,
  to: number,
  isLast: boolean,
): AnyMergeOptions {
  const { meta, pushed, ...rest } = options
  return {
    ...rest,
    ...(isLast && meta !== undefined ? { meta } : {}),
    ...(pushed === undefined
      ? {}
      : {
          pushed: {
            ...pushed,
            causalContexts: pushed.causalContexts.slice(from, to),
            lost: pushed.lost.slice(from, to),
          },
        }),
  }
}
