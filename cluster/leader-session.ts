/**
 * One follower's stream, seen from its leader: a pure machine. The driver is `leader.ts`.
 *
 * ```
 *  greeting ──hello──▶ streaming ──closed / protocol error / silence──▶ closed
 *      └───────────any other message──────────────────────────────────────▲
 * ```
 *
 * Invariants, checked by `test/cluster/leader-session.test.ts`:
 * 1. Every record in scope with seq ≤ `sent` has been sent on this stream, or was pushed by this
 *    very follower on it, or was superseded by a record with a later seq.
 * 2. Unacknowledged bytes exceed the window by less than one message.
 * 3. At most one log read is under way.
 */
import type { StoredRecord } from '../src/core/entry.ts'
import type { Ack, Hello, LeaderMessage, Push, PushOutcome } from '../src/core/protocol.ts'
import { STREAM_PROTOCOL } from '../src/core/protocol.ts'
import type { LogPage } from '../src/store/change-log.ts'
import type { ClusterLimits } from './options.ts'
import { cutRows } from './page.ts'
import { inScopes } from './placement.ts'

export interface StreamingState {
  readonly kind: 'streaming'
  readonly follower: {
    readonly id: string
    readonly name: string
    readonly scopes: readonly string[]
  }
  /** The log has been read and sent up to here. */
  readonly sent: number
  /** The follower holds everything up to here. */
  readonly acked: number
  readonly head: number
  readonly inFlight: readonly { readonly through: number; readonly bytes: number }[]
  readonly reading: boolean
  /** True once the follower was told that it has reached the head. */
  readonly caughtUp: boolean
  /** Seqs that this follower itself pushed on this stream: not sent back. */
  readonly own: ReadonlySet<number>
  /** Pushes not answered yet. */
  readonly pushes: number
  /** Beats since the follower was last heard. */
  readonly silentBeats: number
}

export type LeaderSessionState =
  | { readonly kind: 'greeting'; readonly silentBeats: number }
  | StreamingState
  | { readonly kind: 'closed' }

/** What the leader is, at the moment of a hello. */
export interface LeaderIdentity {
  readonly id: string
  readonly epoch: string
  readonly head: number
  readonly clock: string
}

export type LeaderSessionEvent =
  | {
      readonly type: 'hello'
      readonly hello: Hello
      readonly canResume: boolean
      readonly leader: LeaderIdentity
    }
  | { readonly type: 'ack'; readonly ack: Ack }
  | { readonly type: 'push'; readonly push: Push }
  | {
      readonly type: 'merged'
      readonly n: number
      readonly outcomes: readonly PushOutcome[]
      readonly head: number
    }
  | { readonly type: 'committed'; readonly head: number; readonly own: readonly number[] }
  | { readonly type: 'page'; readonly page: LogPage }
  | { readonly type: 'beat' }
  | { readonly type: 'closed' }

export type LeaderSessionEffect =
  | { readonly type: 'send'; readonly message: LeaderMessage }
  | { readonly type: 'read'; readonly after: number; readonly limit: number }
  | { readonly type: 'merge'; readonly n: number; readonly records: readonly StoredRecord[] }
  | {
      readonly type: 'close'
      readonly code: 'invalid_message' | 'slow_consumer'
      readonly reason: string
    }

export interface LeaderSessionStep {
  readonly state: LeaderSessionState
  readonly effects: readonly LeaderSessionEffect[]
}

export const GREETING: LeaderSessionState = Object.freeze({ kind: 'greeting', silentBeats: 0 })

/** Own seqs remembered at most; beyond it they are sent back, which is only wasteful. */
const MAX_OWN = 10_000
/** Pushes a follower may leave unanswered; our followers stop at fewer. */
const MAX_PUSHES = 64

export function stepLeaderSession(
  state: LeaderSessionState,
  event: LeaderSessionEvent,
  limits: ClusterLimits,
): LeaderSessionStep {
  if (state.kind === 'closed') return { state, effects: [] }
  if (event.type === 'closed') return { state: { kind: 'closed' }, effects: [] }
  if (event.type === 'beat') return beat(state, limits)
  if (state.kind === 'greeting') {
    if (event.type === 'hello') return greet(event, limits)
    if (event.type === 'committed') return { state, effects: [] }
    return refuse(`"${event.type}" before "hello"`)
  }
  switch (event.type) {
    case 'hello':
      return refuse('a second "hello"')
    case 'ack':
      return acknowledge(state, event.ack, limits)
    case 'push':
      if (state.pushes >= MAX_PUSHES) return refuse(`more than ${MAX_PUSHES} pushes unanswered`)
      return {
        state: { ...state, pushes: state.pushes + 1, silentBeats: 0 },
        effects: [{ type: 'merge', n: event.push.n, records: event.push.records }],
      }
    case 'merged':
      return {
        state: { ...state, pushes: state.pushes - 1 },
        effects: [
          {
            type: 'send',
            message: { t: 'pushed', n: event.n, outcomes: event.outcomes, head: event.head },
          },
        ],
      }
    case 'committed':
      return readOn({ ...state, head: event.head, own: addOwn(state.own, event.own) }, limits)
    case 'page':
      return sendPage({ ...state, reading: false }, event.page, limits)
  }
}

function greet(
  { hello, canResume, leader }: Extract<LeaderSessionEvent, { type: 'hello' }>,
  limits: ClusterLimits,
): LeaderSessionStep {
  if (hello.protocol !== STREAM_PROTOCOL) {
    return refuse(`stream protocol ${hello.protocol}, this node speaks ${STREAM_PROTOCOL}`)
  }
  const from = canResume ? (hello.cursor?.seq ?? 0) : 0
  const state: StreamingState = {
    kind: 'streaming',
    follower: { id: hello.id, name: hello.name, scopes: hello.scopes },
    sent: from,
    acked: from,
    head: leader.head,
    inFlight: [],
    reading: false,
    caughtUp: false,
    own: new Set(),
    pushes: 0,
    silentBeats: 0,
  }
  const { id, epoch, head, clock } = leader
  const welcome: LeaderMessage = {
    t: 'welcome',
    protocol: STREAM_PROTOCOL,
    id,
    epoch,
    head,
    resume: canResume,
    clock,
  }
  const next = readOn(state, limits)
  return { state: next.state, effects: [{ type: 'send', message: welcome }, ...next.effects] }
}

/** Reads the next page unless one is being read, nothing is new, or the window is full. */
function readOn(state: StreamingState, limits: ClusterLimits): LeaderSessionStep {
  if (state.reading) return { state, effects: [] }
  if (state.sent >= state.head && state.caughtUp) return { state, effects: [] }
  if (unacknowledged(state) >= limits.windowBytes) return { state, effects: [] }
  return {
    state: { ...state, reading: true },
    effects: [{ type: 'read', after: state.sent, limit: limits.messageRecords }],
  }
}

function sendPage(state: StreamingState, page: LogPage, limits: ClusterLimits): LeaderSessionStep {
  const wanted = page.rows.filter(
    ({ seq, record }) => !state.own.has(seq) && inScopes(state.follower.scopes, record.key),
  )
  const cut = cutRows(wanted, limits.messageBytes)
  const last = cut.rows.at(-1)
  const through = cut.rows.length < wanted.length && last !== undefined ? last.seq : page.through
  const head = Math.max(state.head, through)
  const reached = through >= head
  const next: StreamingState = {
    ...state,
    head,
    sent: through,
    own: forgetOwn(state.own, through),
    caughtUp: state.caughtUp || reached,
  }
  // An empty page is told only when it brings the news that the follower has caught up.
  if (cut.rows.length === 0 && (state.caughtUp || !reached)) return readOn(next, limits)
  const records = cut.rows.map((row) => row.record)
  const message: LeaderMessage = { t: 'rows', records, through, head }
  const sent = readOn(
    { ...next, inFlight: [...next.inFlight, { through, bytes: cut.bytes }] },
    limits,
  )
  return { state: sent.state, effects: [{ type: 'send', message }, ...sent.effects] }
}

function acknowledge(state: StreamingState, ack: Ack, limits: ClusterLimits): LeaderSessionStep {
  if (ack.seq > state.sent)
    return refuse(`acknowledged seq ${ack.seq}, only ${state.sent} was sent`)
  const inFlight = state.inFlight.filter((message) => message.through > ack.seq)
  const acked = Math.max(state.acked, ack.seq)
  return readOn({ ...state, acked, inFlight, silentBeats: 0 }, limits)
}

function beat(
  state: Exclude<LeaderSessionState, { kind: 'closed' }>,
  limits: ClusterLimits,
): LeaderSessionStep {
  if (state.silentBeats >= limits.maxSilentBeats) {
    return {
      state: { kind: 'closed' },
      effects: [
        { type: 'close', code: 'slow_consumer', reason: `silent for ${state.silentBeats} beats` },
      ],
    }
  }
  const next = { ...state, silentBeats: state.silentBeats + 1 }
  if (next.kind === 'greeting') return { state: next, effects: [] }
  const message: LeaderMessage = { t: 'beat', through: next.sent, head: next.head }
  return { state: next, effects: [{ type: 'send', message }] }
}

function refuse(reason: string): LeaderSessionStep {
  return {
    state: { kind: 'closed' },
    effects: [{ type: 'close', code: 'invalid_message', reason }],
  }
}

function unacknowledged(state: StreamingState): number {
  return state.inFlight.reduce((sum, message) => sum + message.bytes, 0)
}

function addOwn(own: ReadonlySet<number>, seqs: readonly number[]): ReadonlySet<number> {
  if (seqs.length === 0) return own
  if (own.size + seqs.length > MAX_OWN) return new Set()
  return new Set([...own, ...seqs])
}

function forgetOwn(own: ReadonlySet<number>, through: number): ReadonlySet<number> {
  if (own.size === 0) return own
  return new Set([...own].filter((seq) => seq > through))
}
