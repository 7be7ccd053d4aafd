/**
 * When a follower speaks 2.0 with its leader, and what it does then. Pure; `link.ts` drives it.
 *
 * ```
 *            dial failed            answers 2.0, no stream
 *   dormant ─────────────▶ asking ──────────────────────────▶ syncing ◀──────┐
 *      ▲ ▲                   │ else                             │  │ done     │ timer, wake
 *      │ └───────────────────┘                                  │  ▼          │
 *      └────────────────────── the stream is up ────────────────┴─ waiting ───┘
 * ```
 *
 * The stream is dialled all the while: when a dial succeeds, the leader has been upgraded.
 */

/** How much a run does, each more than the one before. */
export type Depth = 'push' | 'poll' | 'full'

const DEPTHS: readonly Depth[] = ['push', 'poll', 'full']

export type PivotLinkState =
  | { readonly kind: 'dormant' }
  | { readonly kind: 'asking' }
  /** `next`: what has been asked for since this run began. */
  | { readonly kind: 'syncing'; readonly failures: number; readonly next: Depth | undefined }
  /** `failures`: runs in a row that failed. */
  | { readonly kind: 'waiting'; readonly failures: number }
  | { readonly kind: 'closed' }

export type PivotLinkEvent =
  | { readonly type: 'streamUp' }
  | { readonly type: 'dialFailed' }
  /** `isPivot`: the peer speaks 2.0 and has no stream. */
  | { readonly type: 'answered'; readonly isPivot: boolean }
  | { readonly type: 'wake'; readonly depth: Depth }
  | { readonly type: 'timer' }
  | { readonly type: 'done'; readonly isOk: boolean }
  | { readonly type: 'close' }

export type PivotLinkEffect =
  | { readonly type: 'ask' }
  | { readonly type: 'run'; readonly depth: Depth }
  /** Sends `timer` later: at the next poll, or after a backoff for so many failures. */
  | { readonly type: 'wait'; readonly failures: number }
  | { readonly type: 'stopWaiting' }

export interface PivotLinkStep {
  readonly state: PivotLinkState
  readonly effects: readonly PivotLinkEffect[]
}

export const DORMANT: PivotLinkState = Object.freeze({ kind: 'dormant' })

export function stepPivotLink(state: PivotLinkState, event: PivotLinkEvent): PivotLinkStep {
  if (state.kind === 'closed') return { state, effects: [] }
  if (event.type === 'close') return leave(state, { kind: 'closed' })
  if (event.type === 'streamUp') return leave(state, DORMANT)
  switch (state.kind) {
    case 'dormant':
      if (event.type !== 'dialFailed') return { state, effects: [] }
      return { state: { kind: 'asking' }, effects: [{ type: 'ask' }] }
    case 'asking':
      if (event.type !== 'answered') return { state, effects: [] }
      return event.isPivot ? run('full', 0) : { state: DORMANT, effects: [] }
    case 'waiting':
      return stepWaiting(state, event)
    case 'syncing':
      return stepSyncing(state, event)
  }
}

function stepWaiting(
  state: Extract<PivotLinkState, { kind: 'waiting' }>,
  event: PivotLinkEvent,
): PivotLinkStep {
  // After a failure everything is looked at again: the leader may have lost its disk.
  if (event.type === 'timer') return run(state.failures > 0 ? 'full' : 'poll', state.failures)
  // While the leader fails, a local write is no reason not to wait; a call of the leader is.
  if (event.type !== 'wake' || (state.failures > 0 && event.depth === 'push')) {
    return { state, effects: [] }
  }
  const step = run(event.depth, state.failures)
  return { state: step.state, effects: [{ type: 'stopWaiting' }, ...step.effects] }
}

function stepSyncing(
  state: Extract<PivotLinkState, { kind: 'syncing' }>,
  event: PivotLinkEvent,
): PivotLinkStep {
  if (event.type === 'wake') {
    return { state: { ...state, next: deeper(state.next, event.depth) }, effects: [] }
  }
  if (event.type !== 'done') return { state, effects: [] }
  if (event.isOk && state.next !== undefined) return run(state.next, 0)
  const failures = event.isOk ? 0 : state.failures + 1
  return { state: { kind: 'waiting', failures }, effects: [{ type: 'wait', failures }] }
}

function run(depth: Depth, failures: number): PivotLinkStep {
  return {
    state: { kind: 'syncing', failures, next: undefined },
    effects: [{ type: 'run', depth }],
  }
}

function leave(state: PivotLinkState, next: PivotLinkState): PivotLinkStep {
  return { state: next, effects: state.kind === 'waiting' ? [{ type: 'stopWaiting' }] : [] }
}

function deeper(a: Depth | undefined, b: Depth): Depth {
  return a !== undefined && DEPTHS.indexOf(a) > DEPTHS.indexOf(b) ? a : b
}
