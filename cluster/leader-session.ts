/**
 * One follower's stream, seen from its leader: a pure machine. The driver is `leader.ts`.
 *
 * ```
 *  greeting ──hello──▶ streaming ──closed / protocol error / silence──▶ closed
 *      └───────────any other message──────────────────────────────────────▲
 * ```
 *
 * Invariants, checked by `test/cluster/leader-session.test.ts`:
 * 1. Every record in scope with seq ≤ `sent`, beyond where the stream began, has been sent on it, or
 *    was pushed by this very follower on it, or was superseded by a record with a later seq.
 * 2. Unacknowledged bytes exceed the window by less than one message.
 * 3. At most one log read is under way.
 *
 * Comparisons go on beside the log: `answer-state.ts`.
 */
import type { Ack, Hello, LeaderMessage, Push, PushOutcome } from '../src/core/protocol.ts'
import { STREAM_PROTOCOL } from '../src/core/protocol.ts'
import type { LogPage } from '../src/store/change-log.ts'
import type { AnswerEffect, AnswerEvent, Answers } from './answer-state.ts'
import { NO_ANSWERS, stepAnswers } from './answer-state.ts'
import type { ClusterLimits } from './options.ts'
import { cutRows, recordBytes } from './page.ts'
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
  /** The follower holds everything up to here, once it is `complete`. */
  readonly acked: number
  /** False while the follower compares what it held before with this node. */
  readonly complete: boolean
  readonly head: number
  readonly inFlight: readonly { readonly through: number; readonly bytes: number }[]
  readonly reading: boolean
  /** True once the follower was told that it has reached the head. */
  readonly caughtUp: boolean
  /** Seqs that this follower itself pushed on this stream: not sent back. */
  readonly own: ReadonlySet<number>
  /** Number of the latest push. */
  readonly pushed: number
  /** Bytes of the records of each push not answered yet, oldest first. */
  readonly pushes: readonly number[]
  readonly answers: Answers
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
  /** See `Welcome`. */
  readonly continues: boolean
  readonly forgotten: string
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
  | AnswerEvent
  | { readonly type: 'beat' }
  | { readonly type: 'closed' }

export type LeaderSessionEffect =
  | { readonly type: 'send'; readonly message: LeaderMessage }
  | { readonly type: 'read'; readonly after: number; readonly limit: number }
  | ({ readonly type: 'merge' } & Pick<Push, 'n' | 'records' | 'seen' | 'lost'>)
  | AnswerEffect
  | {
      readonly type: 'close'
      readonly code: 'invalid_message' | 'out_of_order' | 'overloaded' | 'slow_consumer'
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
      return takePush(state, event.push, limits)
    case 'merged':
      return {
        state: { ...state, pushes: state.pushes.slice(1) },
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
    case 'comparison':
      return answer({ ...state, silentBeats: 0 }, event, limits)
    case 'digested':
    case 'found':
      return answer(state, event, limits)
  }
}

function answer(
  state: StreamingState,
  event: AnswerEvent,
  limits: ClusterLimits,
): LeaderSessionStep {
  const step = stepAnswers(state.answers, event, state.follower.scopes, limits)
  if (step.refusal !== undefined) return refuse(step.refusal)
  return { state: { ...state, answers: step.answers }, effects: step.effects }
}

function takePush(state: StreamingState, push: Push, limits: ClusterLimits): LeaderSessionStep {
  const { pushed, pushes } = state
  if (push.n !== pushed + 1) return refuse(`push ${push.n} after push ${pushed}`)
  const waiting = sum(pushes)
  if (pushes.length >= MAX_PUSHES || waiting >= limits.maxPendingBytes) {
    return refuse(
      `${pushes.length} pushes of ${waiting} bytes wait, the limits are ${MAX_PUSHES} and ${limits.maxPendingBytes}`,
      'overloaded',
    )
  }
  const bytes = sum(push.records.map(recordBytes))
  return {
    state: { ...state, pushed: push.n, pushes: [...pushes, bytes], silentBeats: 0 },
    effects: [
      {
        type: 'merge',
        n: push.n,
        records: push.records,
        ...(push.seen === undefined ? {} : { seen: push.seen }),
        ...(push.lost === undefined ? {} : { lost: push.lost }),
      },
    ],
  }
}

function greet(
  { hello, canResume, leader }: Extract<LeaderSessionEvent, { type: 'hello' }>,
  limits: ClusterLimits,
): LeaderSessionStep {
  if (hello.protocol !== STREAM_PROTOCOL) {
    const reason = `stream protocol ${hello.protocol}, this node speaks ${STREAM_PROTOCOL}`
    return refuse(reason, 'invalid_message')
  }
  // A follower that cannot go on from its cursor compares instead, beside what changes from now on.
  const from = canResume ? (hello.cursor?.seq ?? 0) : leader.head
  const state: StreamingState = {
    kind: 'streaming',
    follower: { id: hello.id, name: hello.name, scopes: hello.scopes },
    sent: from,
    acked: from,
    complete: canResume,
    head: leader.head,
    inFlight: [],
    reading: false,
    caughtUp: false,
    own: new Set(),
    pushed: 0,
    pushes: [],
    answers: NO_ANSWERS,
    silentBeats: 0,
  }
  const { id, epoch, head, clock, continues, forgotten } = leader
  const welcome: LeaderMessage = {
    t: 'welcome',
    protocol: STREAM_PROTOCOL,
    id,
    epoch,
    head,
    resume: canResume,
    clock,
    continues,
    forgotten,
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
  const { complete } = ack
  return readOn({ ...state, acked, complete, inFlight, silentBeats: 0 }, limits)
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

function refuse(
  reason: string,
  code: Extract<LeaderSessionEffect, { type: 'close' }>['code'] = 'out_of_order',
): LeaderSessionStep {
  return { state: { kind: 'closed' }, effects: [{ type: 'close', code, reason }] }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
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
