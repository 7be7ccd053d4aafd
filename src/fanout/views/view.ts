/** What a pool holds for its subscribers: the state they have, and the step from it to the next. */
import type { Entry, StoredRecord } from '../../core/data/entry.ts'
import type { FrameBody } from '../frames/frame.ts'

/**
 * No I/O: a frame depends on the state, the records and the read filters alone. What a filter throws is
 * thrown; the view is of no use after that.
 */
export interface View {
  /**
   * Takes the records of one commit, each matching the view's pattern.
   * @returns the one frame that brings a subscriber from the old state to the new one, or undefined
   *   when nothing it can see changed.
   */
  apply(records: readonly StoredRecord[]): FrameBody | undefined
  /** The full state as JSON text. */
  json(): string
  /** Characters of the full state as JSON text, near enough to weigh patches against it. */
  readonly length: number
  /** The entries of a list, as `json` has them. */
  entries?(): readonly Entry[]
  /** The step to what the filters show now; only of views that may change without a record. */
  refresh?(): FrameBody | undefined
  /** What subscribers hold, in order; only of views that have `refresh`. */
  list?(): readonly Entry[]
}
