/**
 * The life of one child process under supervision, as a pure machine.
 *
 *            ready              stable: attempt = 0
 *  starting ───────▶ running ◀────────────┐
 *   │  ▲ │              │ └────────────────┘
 *   │  │ │ exited       │ exited
 *   │  │ │ (later start)│
 *   │  │ ▼              ▼
 *   │  └── waiting(attempt + 1)          due ends the wait
 *   │ exited (first start)
 *   ▼                                    stop, from starting or running
 *  ended ◀──────────── stopping ◀──────────────────
 *          exited          ⟲ graceOver: killed
 *
 * A child that fails before it was ever ready is not started again: nothing would be different.
 */

export type ChildState =
  | { readonly name: 'starting'; readonly attempt: number; readonly wasReady: boolean }
  | { readonly name: 'running'; readonly attempt: number }
  | { readonly name: 'waiting'; readonly attempt: number }
  | { readonly name: 'stopping' }
  | { readonly name: 'ended'; readonly failed: boolean }

export type ChildEvent =
  | { readonly name: 'ready' }
  | { readonly name: 'exited' }
  /** It ran long enough to count as healthy. */
  | { readonly name: 'stable' }
  /** The wait before the next start is over. */
  | { readonly name: 'due' }
  | { readonly name: 'stop' }
  /** It did not end in the time given to a stop. */
  | { readonly name: 'graceOver' }

export type ChildEffect =
  | { readonly name: 'spawn' }
  | { readonly name: 'terminate' }
  | { readonly name: 'kill' }
  /** Sets the one timer, which then brings `event`; replaces a timer that is set. */
  | { readonly name: 'timer'; readonly event: 'stable' | 'graceOver' }
  /** Sets the one timer to the delay before restart number `attempt`, for `due`. */
  | { readonly name: 'retryTimer'; readonly attempt: number }
  | { readonly name: 'cancelTimer' }

export interface ChildStep {
  readonly state: ChildState
  readonly effects: readonly ChildEffect[]
}

/** Where a child begins, right after its first spawn. */
export const FIRST_START: ChildState = { name: 'starting', attempt: 0, wasReady: false }

/** What follows when `event` happens in `state`. An event that means nothing there changes nothing. */
export function stepChild(state: ChildState, event: ChildEvent): ChildStep {
  switch (state.name) {
    case 'starting':
      if (event.name === 'ready') return running(state.attempt)
      if (event.name === 'stop') return stopping()
      if (event.name !== 'exited') break
      return state.wasReady
        ? waiting(state.attempt + 1)
        : { state: { name: 'ended', failed: true }, effects: [{ name: 'cancelTimer' }] }
    case 'running':
      if (event.name === 'exited') return waiting(state.attempt + 1)
      if (event.name === 'stable') return { state: { name: 'running', attempt: 0 }, effects: [] }
      if (event.name === 'stop') return stopping()
      break
    case 'waiting':
      if (event.name === 'stop') return ended()
      if (event.name !== 'due') break
      return {
        state: { name: 'starting', attempt: state.attempt, wasReady: true },
        effects: [{ name: 'spawn' }],
      }
    case 'stopping':
      if (event.name === 'exited') return ended()
      if (event.name === 'graceOver') return { state, effects: [{ name: 'kill' }] }
      break
    case 'ended':
      break
  }
  return { state, effects: [] }
}

function running(attempt: number): ChildStep {
  return {
    state: { name: 'running', attempt },
    effects: [{ name: 'timer', event: 'stable' }],
  }
}

function waiting(attempt: number): ChildStep {
  return {
    state: { name: 'waiting', attempt },
    effects: [{ name: 'retryTimer', attempt }],
  }
}

function stopping(): ChildStep {
  return {
    state: { name: 'stopping' },
    effects: [{ name: 'terminate' }, { name: 'timer', event: 'graceOver' }],
  }
}

function ended(): ChildStep {
  return { state: { name: 'ended', failed: false }, effects: [{ name: 'cancelTimer' }] }
}
