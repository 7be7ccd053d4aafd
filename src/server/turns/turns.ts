/**
 * Turns of the event loop for long work of many at once. All of them together take a few milliseconds of a turn,
 * one piece of each after the other; then whatever else waits is served.
 */
import type { Steps } from '../../core/steps.ts'

/** Milliseconds of one turn for all pieces together. */
const TURN_MS = 5
/** Milliseconds after which a piece of steps gives way to the next in line. */
const PIECE_MS = 1
/** Steps between two looks at the clock. */
const STEPS_AT_ONCE = 64

export class Turns {
  /** In the order in which they came. */
  readonly #waiting = new Set<() => void>()
  #isScheduled = false

  /** Runs a piece of work, a millisecond or so, when it is in line. */
  run<Result>(piece: () => Result): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#waiting.add(() => {
        try {
          resolve(piece())
        } catch (error) {
          reject(error)
        }
      })
      this.#schedule()
    })
  }

  /** Works steps off in such pieces. */
  async work<Result>(steps: Steps<Result>): Promise<Result> {
    for (;;) {
      const step = await this.run(() => pieceOf(steps))
      if (step.done === true) return step.value
    }
  }

  #schedule(): void {
    if (this.#isScheduled || this.#waiting.size === 0) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      const end = performance.now() + TURN_MS
      for (const piece of this.#waiting) {
        this.#waiting.delete(piece)
        piece()
        if (performance.now() >= end) break
      }
      this.#schedule()
    })
  }
}

function pieceOf<Result>(steps: Steps<Result>): IteratorResult<void, Result> {
  const end = performance.now() + PIECE_MS
  for (;;) {
    for (let i = 0; i < STEPS_AT_ONCE; i++) {
      const step = steps.next()
      if (step.done === true) return step
    }
    if (performance.now() >= end) return { done: false, value: undefined }
  }
}
