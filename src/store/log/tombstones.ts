/**
 * Removing tombstones that nobody needs any more, and remembering that it was done: whoever has
 * not seen all of them can not be told by the change log alone what was deleted.
 */
import { lastStampOf } from '../../core/data/entry.ts'
import type { SequencedRow } from '../format/rows.ts'
import type { Planner } from '../planning/planner.ts'
import type { KeyState } from '../state/state.ts'

/** What the change log does not tell any more. */
export interface Retention {
  /** Greatest seq of a tombstone that was removed: a log read from an earlier place has a gap. */
  readonly floor: number
  /** Greatest stamp of what a tombstone that was removed has won against, or its own. */
  readonly forgotten: bigint
}

/** Name of the meta row that holds a Retention. */
export const RETENTION_ROW = 'retention'

const NOTHING_REMOVED: Retention = Object.freeze({ floor: 0, forgotten: 0n })

export function decodeRetention(text: string | undefined): Retention {
  const [floor, forgotten] = text?.split(' ') ?? []
  if (floor === undefined || forgotten === undefined) return NOTHING_REMOVED
  return { floor: Number(floor), forgotten: BigInt(forgotten) }
}

function encodeRetention({ floor, forgotten }: Retention): string {
  return `${floor} ${forgotten}`
}

/** What decides, in the turn of the operation, and what is told in it. */
export interface ForgetOptions {
  /** Whether every follower has passed this seq of the log. */
  readonly isPassed: (seq: number) => boolean
  /** Told before anything is written what will have been removed: whoever joins now must know. */
  readonly planned: (retention: Retention) => void
}

/**
 * Removes the given tombstones with their rows, unless they changed since or are pending; nobody hears
 * of it. `retention` tells what was removed before.
 * @returns how many were removed.
 */
export function planForget(
  rows: readonly SequencedRow[],
  retention: () => Retention,
  { isPassed, planned }: ForgetOptions,
): Planner<number> {
  return {
    reads: () => ({ keys: rows.map(({ record }) => record.key) }),
    plan(context) {
      const removals: KeyState[] = []
      let { floor, forgotten } = retention()
      for (const { record, seq } of rows) {
        const keyState = context.keyState(record.key)
        if (keyState?.seq !== seq || keyState.pendingFor !== undefined || !isPassed(seq)) continue
        if (keyState.record.kind !== 'tombstone') continue
        removals.push(keyState)
        if (seq > floor) floor = seq
        const last = lastStampOf(keyState.record)
        if (last > forgotten) forgotten = last
      }
      if (removals.length === 0) return { plan: undefined, result: 0 }
      planned({ floor, forgotten })
      const meta = new Map([[RETENTION_ROW, encodeRetention({ floor, forgotten })]])
      return { plan: { keyStates: [], removals, meta }, result: removals.length }
    },
  }
}
