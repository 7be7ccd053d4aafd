/**
 * One follower's stream, seen from its leader: a pure machine. The driver is `leader.ts`.
 *
 * ```
 *  greeting ──hello──▶ streaming ──closed / protocol error / silence──▶ closed
 *      └───────────any other message──────────────────────────────────────▲
 * ```
 *
 * Invariants, checked by `test/quick/cluster/leader/session.test.ts`:
 * 1. Every record in scope with seq ≤ `sent`, beyond where the feed began, has been sent on it, or
 *    was pushed by this very follower on it, or was superseded by a record with a later seq, or is `large`.
 *    The feed begins where the stream did, or where the follower's latest request says; see `wire/bus.ts`.
 * 2. Unacknowledged bytes exceed the window by less than one message.
 * 3. At most one log read is under way.
 * 4. Rows beyond what the feed asks for are not read.
 * 5. What is told as sent `through` passes a large row only with the message that brings its record.
 * 6. One value is shipped at a time; other rows pass it.
 *
 * Comparisons go on beside the log: `answer-state.ts`.
 */

import { BUS_PROTOCOL, type FeedRequest } from '../../src/core/wire/bus.ts'
import type { Ack, Beat, LeaderMessage, Push } from '../../src/core/wire/protocol.ts'
import { commonProtocol, protocolRefusal } from '../../src/core/wire/protocol.ts'
import type { AnswerEvent } from '../anti-entropy/answer-state.ts'
import { NO_ANSWERS, stepAnswers } from '../anti-entropy/answer-state.ts'
import type { ClusterLimits } from '../config/options.ts'
import { recordBytes } from '../stream/page.ts'
import { isOnBus, numbered, readOn, sendPage, sentThrough, shipped } from './rows.ts'
import type {
  LeaderSessionEffect,
  LeaderSessionEvent,
  LeaderSessionState,
  LeaderSessionStep,
  StreamingState,
} from './session-events.ts'

export { isOnBus, sentThrough } from './rows.ts'
export type {
  LargeRow,
  LeaderIdentity,
  LeaderSessionEffect,
  LeaderSessionEvent,
  LeaderSessionState,
  LeaderSessionStep,
  StreamingState,
} from './session-events.ts'

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
  if (event.type === 'beat') return beat(state, event, limits)
  if (state.kind === 'greeting') {
    if (event.type === 'hello') return greet(event, limits)
    if (event.type === 'committed' || event.type === 'unpublished') return { state, effects: [] }
    return refuse(`"${event.type}" before "hello"`)
  }
  switch (event.type) {
    case 'hello':
      return refuse('a second "hello"')
    case 'ack':
      return acknowledge(state, event.ack, limits)
    case 'feed':
      return feed(state, event.request, limits)
    case 'unpublished':
      return { state, effects: isOnBus(state) ? [sendBeat(state, { bus: false })] : [] }
    case 'push':
      return takePush(state, event.push, limits)
    case 'merged':
      return merged(state, event)
    case 'committed':
      return committed(state, event, limits)
    case 'page':
      return state.isStale
        ? readOn({ ...state, reading: false, isStale: false }, limits)
        : sendPage({ ...state, reading: false }, event.page, limits)
    case 'shipped':
      return shipped(state, event, limits)
    case 'comparison':
      return answer({ ...state, silentBeats: 0 }, event, limits)
    case 'digested':
    case 'found':
      return answer(state, event, limits)
  }
}

/** The oldest push is done. */
function merged(
  state: StreamingState,
  { n, outcomes, reasons, head }: Extract<LeaderSessionEvent, { type: 'merged' }>,
): LeaderSessionStep {
  const why = reasons.length === 0 ? {} : { reasons }
  return {
    state: { ...state, pushes: state.pushes.slice(1) },
    effects: [{ type: 'send', message: { t: 'pushed', n, outcomes, ...why, head } }],
  }
}

function committed(
  state: StreamingState,
  { head, own }: Extract<LeaderSessionEvent, { type: 'committed' }>,
  limits: ClusterLimits,
): LeaderSessionStep {
  // On the bus its own come back like all others, so there is nothing to leave out.
  const kept = isOnBus(state) ? state.own : addOwn(state.own, own)
  return readOn({ ...state, head, own: kept }, limits)
}

/** The follower has everything up to `after`, and wants what comes then from elsewhere, or from here. */
function feed(
  state: StreamingState,
  { n, after, until }: FeedRequest,
  limits: ClusterLimits,
): LeaderSessionStep {
  if (!state.isInvited) return refuse('"feed" without a bus')
  if (n !== state.feed.n + 1) return refuse(`feed ${n} after feed ${state.feed.n}`)
  if (after > state.head) return refuse(`feed after seq ${after}, the head is ${state.head}`)
  const next: StreamingState = {
    ...state,
    feed: { n, until },
    sent: after,
    large: [],
    shipping: undefined,
    skipTo: 0,
    // It may not be stored there yet: that is acknowledged when it is.
    inFlight: after > state.acked ? [{ through: after, bytes: 0 }] : [],
    isStale: state.reading,
    caughtUp: until === after,
    silentBeats: 0,
  }
  return readOn(next, limits)
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
  const { t, ...rest } = push
  return {
    state: { ...state, pushed: push.n, pushes: [...pushes, bytes], silentBeats: 0 },
    effects: [
      {
        type: 'merge',
        ...rest,
      },
    ],
  }
}

function greet(
  { hello, canResume, leader }: Extract<LeaderSessionEvent, { type: 'hello' }>,
  limits: ClusterLimits,
): LeaderSessionStep {
  const protocol = commonProtocol(hello.protocol)
  if (protocol === undefined) return refuse(protocolRefusal(hello.protocol), 'invalid_message')
  // A follower that cannot go on from its cursor compares instead, beside what changes from now on.
  const from = canResume ? (hello.cursor?.seq ?? 0) : leader.head
  const state: StreamingState = {
    kind: 'streaming',
    protocol,
    follower: { id: hello.id, name: hello.name, scopes: hello.scopes },
    sent: from,
    large: [],
    shipping: undefined,
    skipTo: canResume && hello.cursor?.epoch === leader.epoch ? (hello.beyond ?? 0) : 0,
    acked: from,
    complete: canResume,
    head: leader.head,
    inFlight: [],
    reading: false,
    isStale: false,
    feed: { n: 0, until: null },
    isInvited: hello.bus === true && leader.bus !== undefined && protocol >= BUS_PROTOCOL,
    caughtUp: false,
    own: new Set(),
    pushed: 0,
    pushes: [],
    answers: NO_ANSWERS,
    silentBeats: 0,
  }
  const { id, epoch, head, clock, continues, forgotten, knows, removed, gone, maxValueBytes, bus } =
    leader
  const welcome: LeaderMessage = {
    t: 'welcome',
    protocol,
    id,
    epoch,
    head,
    resume: canResume,
    clock,
    continues,
    forgotten,
    ...(knows === undefined || (knows === 0 && continues) ? {} : { knows }),
    ...(removed === undefined ? {} : { removed }),
    ...(gone === undefined ? {} : { gone }),
    ...(maxValueBytes === undefined ? {} : { maxValueBytes }),
    ...(state.isInvited && bus !== undefined ? { bus } : {}),
  }
  const next = readOn(state, limits)
  return { state: next.state, effects: [{ type: 'send', message: welcome }, ...next.effects] }
}

function acknowledge(state: StreamingState, ack: Ack, limits: ClusterLimits): LeaderSessionStep {
  const most = state.feed.n > 0 ? Math.max(state.sent, state.head) : state.sent
  const held = Math.max(ack.seq, ack.beyond ?? 0)
  if (held > most) return refuse(`acknowledged seq ${held}, only ${most} was sent`)
  const inFlight = state.inFlight.filter((message) => message.through > held)
  const acked = Math.max(state.acked, ack.seq)
  const { complete } = ack
  return readOn({ ...state, acked, complete, inFlight, silentBeats: 0 }, limits)
}

function beat(
  before: Exclude<LeaderSessionState, { kind: 'closed' }>,
  { isAlive = false }: Extract<LeaderSessionEvent, { type: 'beat' }>,
  limits: ClusterLimits,
): LeaderSessionStep {
  const state = isAlive ? { ...before, silentBeats: 0 } : before
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
  return { state: next, effects: [sendBeat(next)] }
}

function sendBeat(state: StreamingState, news: Pick<Beat, 'bus'> = {}): LeaderSessionEffect {
  const message: Beat = { t: 'beat', through: sentThrough(state), head: state.head }
  return { type: 'send', message: { ...message, ...numbered(state), ...news } }
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

function addOwn(own: ReadonlySet<number>, seqs: readonly number[]): ReadonlySet<number> {
  if (seqs.length === 0) return own
  if (own.size + seqs.length > MAX_OWN) return new Set()
  return new Set([...own, ...seqs])
}
