/**
 * The life of one reconnecting connection, as a pure machine: `(state, event) → {state, effects}`.
 *
 *            open                opened                 connectionIsGood
 *   idle ───────────▶ connecting ───────▶ open ─────────────▶ open, attempt 0
 *                      ▲   │ down           │ down, drop
 *          retry,      │   ▼                ▼
 *          reconnectNow└─ waiting(attempt + 1)
 *
 *   any state ── close, or down whose code says stop ──▶ closed   (final)
 *
 * Invariants:
 * 1. `closed` is final: no event leads out of it and none has an effect there.
 * 2. At most one socket: `dial` is only asked for when none is left (idle, waiting).
 * 3. `attempt` returns to 0 only through `good`, so a peer that accepts and then drops is backed
 *    off like one that refuses.
 * 4. A timer runs only in `waiting`, and leaving `waiting` stops it.
 * 5. In every effect list a notification comes last, so that an owner who acts inside its callback
 *    meets a machine at rest.
 */

/** `attempt` counts the redials since the last good connection; 0 for the first dial. */
export type ConnectionState =
  | { readonly kind: 'idle' }
  | { readonly kind: 'connecting'; readonly attempt: number }
  | { readonly kind: 'open'; readonly attempt: number }
  | { readonly kind: 'waiting'; readonly attempt: number }
  | { readonly kind: 'closed'; readonly code: number; readonly reason: string }

export type ConnectionEvent =
  /** The owner starts it. */
  | { readonly type: 'open' }
  /** The socket is up. */
  | { readonly type: 'opened' }
  /** The owner heard something useful from the peer. */
  | { readonly type: 'good' }
  /** Dialling failed or the socket ended; `reconnect` is the policy's answer for its code. */
  | {
      readonly type: 'down'
      readonly code: number
      readonly reason: string
      readonly reconnect: boolean
    }
  /** The owner refuses what the peer sent and wants a new connection. */
  | { readonly type: 'drop'; readonly code: number; readonly reason: string }
  /** The wait is over. */
  | { readonly type: 'retry' }
  /** The owner does not want to wait any longer. */
  | { readonly type: 'reconnectNow' }
  /** The owner ends it for good. */
  | { readonly type: 'close'; readonly code: number; readonly reason: string }

export type ConnectionEffect =
  | { readonly type: 'dial' }
  /** Close the socket with a handshake and forget it. */
  | { readonly type: 'closeSocket'; readonly code: number; readonly reason: string }
  /** Give up dialling and forget the socket. */
  | { readonly type: 'abandonDial' }
  | { readonly type: 'stopTimer' }
  | { readonly type: 'notifyOpen' }
  /** Start the timer for `attempt`, then tell the owner. */
  | {
      readonly type: 'wait'
      readonly attempt: number
      readonly code: number
      readonly reason: string
    }
  /** Tell the owner that the peer ended it for good. */
  | { readonly type: 'notifyStopped'; readonly code: number; readonly reason: string }

export interface ConnectionStep {
  readonly state: ConnectionState
  readonly effects: readonly ConnectionEffect[]
}

export const INITIAL_CONNECTION: ConnectionState = Object.freeze({ kind: 'idle' })

/** One step of the machine. An event that means nothing in a state returns that very state. */
export function stepConnection(state: ConnectionState, event: ConnectionEvent): ConnectionStep {
  if (state.kind === 'closed') return stay(state)
  if (event.type === 'close') return closed(state, event.code, event.reason)
  switch (state.kind) {
    case 'idle':
      return event.type === 'open' ? dial(0) : stay(state)
    case 'connecting':
      return stepConnecting(state, event)
    case 'open':
      return stepOpen(state, event)
    case 'waiting':
      return stepWaiting(state, event)
  }
}

function stepConnecting(
  state: ConnectionState & { kind: 'connecting' },
  event: ConnectionEvent,
): ConnectionStep {
  if (event.type === 'opened') {
    return {
      state: { kind: 'open', attempt: state.attempt },
      effects: [{ type: 'notifyOpen' }],
    }
  }
  if (event.type === 'down') return lost(state.attempt, event)
  if (event.type === 'drop') {
    return wait(state.attempt + 1, event, [{ type: 'abandonDial' }])
  }
  return stay(state)
}

function stepOpen(state: ConnectionState & { kind: 'open' }, event: ConnectionEvent) {
  if (event.type === 'good') {
    return stay(state.attempt === 0 ? state : { kind: 'open', attempt: 0 })
  }
  if (event.type === 'down') return lost(state.attempt, event)
  if (event.type === 'drop') {
    const { code, reason } = event
    return wait(state.attempt + 1, event, [{ type: 'closeSocket', code, reason }])
  }
  return stay(state)
}

function stepWaiting(
  state: ConnectionState & { kind: 'waiting' },
  event: ConnectionEvent,
): ConnectionStep {
  if (event.type === 'retry') return dial(state.attempt)
  if (event.type === 'reconnectNow') {
    return {
      state: { kind: 'connecting', attempt: state.attempt },
      effects: [{ type: 'stopTimer' }, { type: 'dial' }],
    }
  }
  return stay(state)
}

function stay(state: ConnectionState): ConnectionStep {
  return { state, effects: [] }
}

function dial(attempt: number): ConnectionStep {
  return { state: { kind: 'connecting', attempt }, effects: [{ type: 'dial' }] }
}

function lost(attempt: number, event: ConnectionEvent & { type: 'down' }): ConnectionStep {
  if (event.reconnect) return wait(attempt + 1, event, [])
  const { code, reason } = event
  return {
    state: { kind: 'closed', code, reason },
    effects: [{ type: 'notifyStopped', code, reason }],
  }
}

function wait(
  attempt: number,
  cause: { readonly code: number; readonly reason: string },
  before: readonly ConnectionEffect[],
): ConnectionStep {
  const { code, reason } = cause
  return {
    state: { kind: 'waiting', attempt },
    effects: [...before, { type: 'wait', attempt, code, reason }],
  }
}

function closed(state: ConnectionState, code: number, reason: string): ConnectionStep {
  const effects: ConnectionEffect[] = []
  if (state.kind === 'connecting') effects.push({ type: 'abandonDial' })
  if (state.kind === 'open') effects.push({ type: 'closeSocket', code, reason })
  if (state.kind === 'waiting') effects.push({ type: 'stopTimer' })
  return { state: { kind: 'closed', code, reason }, effects }
}
