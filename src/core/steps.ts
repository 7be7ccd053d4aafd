/** Long work in steps: done at once, or with turns of the event loop for others in between. */

/** Yields after each small step, and returns the result. */
export type Steps<Result> = Generator<void, Result, void>

/** Steps that are worked off in one turn: some milliseconds. */
const PER_TURN = 1000

export function atOnce<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

/** @param pause gives others their turn */
export async function inTurns<Result>(
  steps: Steps<Result>,
  pause: () => Promise<unknown>,
): Promise<Result> {
  for (let count = 1; ; count++) {
    const step = steps.next()
    if (step.done === true) return step.value
    if (count % PER_TURN === 0) await pause()
  }
}
