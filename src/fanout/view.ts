/** What a pool holds for its subscribers: the state they have, and the step from it to the next. */
import type { StoredRecord } from '../core/entry.ts'
import type { FrameBody } from './frame.ts'

/** No I/O, no time: a frame depends on the state and the records alone. */
export interface View {
  /**
   * Takes the records of one commit, each matching the view's pattern.
   * @returns the one frame that brings a subscriber from the old state to the new one, or undefined
   *   when nothing it can see changed.
   */
  apply(records: readonly StoredRecord[]): FrameBody | undefined
  /** The full state as JSON text. */
  json(): string
}
