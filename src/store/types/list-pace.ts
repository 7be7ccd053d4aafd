/** How a reader takes a list that may be long: counted before it is there, and in turns of the event loop. */
import type { Steps } from '../../core/steps.ts'

export interface ListPace {
  /**
   * So many entries are about to be taken or looked through. Not asked for short lists.
   * @returns what to wait for before that; rejects, or throws, when there is no room
   */
  enter(entries: number): Promise<void>
  /** Works steps off, with turns for others in between. */
  run<Result>(steps: Steps<Result>): Promise<Result>
  /**
   * So many bytes were read that memory did not hold before.
   * @returns what to wait for before reading on; undefined to read on at once
   * @throws StateError `too_large`, `overloaded` when there is no room for them
   */
  read(bytes: number): Promise<void> | undefined
}

/** Lists of up to so many entries are taken, and looked through, at once: a millisecond. */
export const SHORT_LIST = 1000
