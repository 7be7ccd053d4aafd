import { describe, expect, it } from 'vitest'
import {
  type ConnectionEffect,
  type ConnectionEvent,
  type ConnectionState,
  INITIAL_CONNECTION,
  stepConnection,
} from '../../../src/client/connection-state.ts'

const CUT = { code: 1006, reason: 'cut' } as const
const STOP = { code: 4501, reason: 'no entry' } as const
const DROP = { code: 4500, reason: 'bad frame' } as const
const CLOSE = { code: 1000, reason: 'bye' } as const

const STATES = {
  idle: INITIAL_CONNECTION,
  connecting: { kind: 'connecting', attempt: 2 },
  open: { kind: 'open', attempt: 2 },
  waiting: { kind: 'waiting', attempt: 2 },
  closed: { kind: 'closed', code: 1, reason: 'earlier' },
} satisfies Record<ConnectionState['kind'], ConnectionState>

/** `down` stands twice: its outcome depends on the policy. */
type EventName = Exclude<ConnectionEvent['type'], 'down'> | 'downReconnect' | 'downStop'

const EVENTS: Record<EventName, ConnectionEvent> = {
  open: { type: 'open' },
  opened: { type: 'opened' },
  good: { type: 'good' },
  downReconnect: { type: 'down', ...CUT, reconnect: true },
  downStop: { type: 'down', ...STOP, reconnect: false },
  drop: { type: 'drop', ...DROP },
  retry: { type: 'retry' },
  reconnectNow: { type: 'reconnectNow' },
  close: { type: 'close', ...CLOSE },
}

interface Outcome {
  readonly state: ConnectionState
  readonly effects: readonly ConnectionEffect[]
}

/** The event means nothing here. */
const SAME = 'same'
const ownClose = (effects: readonly ConnectionEffect[]): Outcome => ({
  state: { kind: 'closed', ...CLOSE },
  effects,
})
const waitAfter = (cause: { code: number; reason: string }): ConnectionEffect => ({
  type: 'wait',
  attempt: 3,
  ...cause,
})
const stopped: Outcome = {
  state: { kind: 'closed', ...STOP },
  effects: [{ type: 'notifyStopped', ...STOP }],
}

/** Full by type: a new state or event does not compile until its cells are written. */
const TABLE: Record<ConnectionState['kind'], Record<EventName, Outcome | typeof SAME>> = {
  idle: {
    open: { state: { kind: 'connecting', attempt: 0 }, effects: [{ type: 'dial' }] },
    opened: SAME,
    good: SAME,
    downReconnect: SAME,
    downStop: SAME,
    drop: SAME,
    retry: SAME,
    reconnectNow: SAME,
    close: ownClose([]),
  },
  connecting: {
    open: SAME,
    opened: { state: { kind: 'open', attempt: 2 }, effects: [{ type: 'notifyOpen' }] },
    good: SAME,
    downReconnect: { state: { kind: 'waiting', attempt: 3 }, effects: [waitAfter(CUT)] },
    downStop: stopped,
    drop: {
      state: { kind: 'waiting', attempt: 3 },
      effects: [{ type: 'abandonDial' }, waitAfter(DROP)],
    },
    retry: SAME,
    reconnectNow: SAME,
    close: ownClose([{ type: 'abandonDial' }]),
  },
  open: {
    open: SAME,
    opened: SAME,
    good: { state: { kind: 'open', attempt: 0 }, effects: [] },
    downReconnect: { state: { kind: 'waiting', attempt: 3 }, effects: [waitAfter(CUT)] },
    downStop: stopped,
    drop: {
      state: { kind: 'waiting', attempt: 3 },
      effects: [{ type: 'closeSocket', ...DROP }, waitAfter(DROP)],
    },
    retry: SAME,
    reconnectNow: SAME,
    close: ownClose([{ type: 'closeSocket', ...CLOSE }]),
  },
  waiting: {
    open: SAME,
    opened: SAME,
    good: SAME,
    downReconnect: SAME,
    downStop: SAME,
    drop: SAME,
    retry: { state: { kind: 'connecting', attempt: 2 }, effects: [{ type: 'dial' }] },
    reconnectNow: {
      state: { kind: 'connecting', attempt: 2 },
      effects: [{ type: 'stopTimer' }, { type: 'dial' }],
    },
    close: ownClose([{ type: 'stopTimer' }]),
  },
  closed: {
    open: SAME,
    opened: SAME,
    good: SAME,
    downReconnect: SAME,
    downStop: SAME,
    drop: SAME,
    retry: SAME,
    reconnectNow: SAME,
    close: SAME,
  },
}

const CELLS = Object.entries(TABLE).flatMap(([stateName, row]) =>
  Object.entries(row).map(([eventName, outcome]) => ({ stateName, eventName, outcome })),
)

describe('the connection machine', () => {
  it.each(CELLS)('$stateName on $eventName', ({ stateName, eventName, outcome }) => {
    const state = STATES[stateName as ConnectionState['kind']]
    const step = stepConnection(state, EVENTS[eventName as EventName])
    if (outcome === SAME) {
      expect(step.state).toBe(state)
      expect(step.effects).toEqual([])
    } else {
      expect(step).toEqual(outcome)
    }
  })

  it('keeps its invariants on random walks', () => {
    for (let seed = 1; seed <= 300; seed++) walk(seed)
  })
})

/** What the driver would hold after the effects, checked against the numbered invariants. */
function walk(seed: number): void {
  const random = xorshift(seed)
  const names = Object.keys(EVENTS) as EventName[]
  let state: ConnectionState = INITIAL_CONNECTION
  let hasSocket = false
  let hasTimer = false
  for (let i = 0; i < 200; i++) {
    const name = names[Math.floor(random() * names.length)] ?? 'open'
    // A close ends the walk, so it comes rarely.
    if (name === 'close' && random() < 0.9) continue
    const before = state
    const { state: after, effects } = stepConnection(before, EVENTS[name])
    const where = `seed ${seed}, step ${i}, ${before.kind} on ${name}`
    for (const [at, effect] of effects.entries()) {
      if (effect.type === 'dial') {
        expect(hasSocket, `${where}: one socket at most`).toBe(false)
        hasSocket = true
      }
      if (effect.type === 'closeSocket' || effect.type === 'abandonDial') hasSocket = false
      if (effect.type === 'stopTimer') hasTimer = false
      if (effect.type === 'wait') hasTimer = true
      const isNotice = ['wait', 'notifyOpen', 'notifyStopped'].includes(effect.type)
      if (isNotice) expect(at, `${where}: notifications last`).toBe(effects.length - 1)
    }
    if (name.startsWith('down') && after !== before) hasSocket = false
    if (name === 'retry' && after !== before) hasTimer = false
    if (before.kind === 'closed') expect(after, `${where}: closed is final`).toBe(before)
    expect(hasSocket, `${where}: socket`).toBe(after.kind === 'connecting' || after.kind === 'open')
    expect(hasTimer, `${where}: timer`).toBe(after.kind === 'waiting')
    if ('attempt' in before && 'attempt' in after && name !== 'good') {
      expect(after.attempt, `${where}: attempt`).toBeGreaterThanOrEqual(before.attempt)
    }
    state = after
  }
}

/** Uniform in [0, 1), the same numbers for the same seed (Marsaglia, "Xorshift RNGs", 2003). */
function xorshift(seed: number): () => number {
  let state = Math.imul(seed, 0x9e3779b1) | 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}
