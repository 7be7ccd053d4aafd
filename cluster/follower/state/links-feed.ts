/**
 * Where a live follower's rows come from: the part of `follower/state/state.ts` that goes between the
 * leader's stream and the bus. Pure.
 *
 * ```
 *            a message of the bus joins on        something is missing
 *   stream ─────────────────────────────▶ bus ───────────────────────▶ fetch
 *     ▲ ▲                                  │ ▲                           │ │
 *     │ └── down, silent, slow, leader ────┘ └──────── it has come ──────┘ │
 *     └──────────────────── down, silent, slow, leader ────────────────────┘
 * ```
 *
 * In `fetch` the stream brings what is missing, and nothing else; the bus goes on. What comes after a
 * gap waits in `ahead`, so only what was lost is sent again. A message of the bus is taken only when it begins
 * at or before what is covered and ends after it, so repeated, late and foreign ones change nothing.
 *
 * Invariants, checked by `test/quick/cluster/bus/machine.test.ts`:
 * 1. What is covered grows only by a part of the log that joins on.
 * 2. Of the stream only rows of the latest request are taken.
 * 3. What waits in `ahead` or to be stored stays below `busPendingBytes`, or is one message.
 */

import { isUnreadable } from '../../../src/core/records/check.ts'
import type { FollowerMessage, LogPosition } from '../../../src/core/wire/protocol.ts'
import { inScopes } from '../../members/placement.ts'
import type { Feed, FeedReason, SizedBatch } from './feed.ts'
import type {
  FollowerContext,
  FollowerEffect,
  FollowerEvent,
  FollowerStep,
  FollowingState,
  OpenState,
} from './link.ts'
import { noteHead } from './pushes.ts'

/** A step that does not end the connection. */
interface FollowingStep extends FollowerStep {
  readonly state: FollowingState
}

type LiveState = Extract<FollowingState, { kind: 'live' }>

/** A message came over the bus. */
export function heard(
  state: OpenState,
  { batch }: Extract<FollowerEvent, { type: 'batch' }>,
  context: FollowerContext,
): FollowerStep {
  // Before it is live, the stream brings everything anyhow.
  if (state.kind !== 'live' || batch.epoch !== state.leader.epoch) return { state, effects: [] }
  const wanted = Math.max(state.feed.wanted, batch.ack ?? 0)
  const noted = noteHead(withFeed(state, { silence: 0, wanted }), batch.to)
  // It waits for what is not stored yet, so that a slow disk does not go to and fro.
  if (noted.feed.from === 'stream' && noted.feed.unstored.length > 0) {
    return { state: noted, effects: [] }
  }
  if (batch.to > state.covered) return takeAhead(noted, batch, context)
  const joined = joinOn(noted, context)
  return joined.state.kind === 'live' && batch.from === batch.to
    ? then(joined, acknowledgeNews(joined.state))
    : joined
}

/** The subscription was lost, or nothing is heard: only the stream is to be trusted. */
export function leaveBus(state: OpenState, reason: FeedReason): FollowerStep {
  if (state.kind !== 'live') return { state, effects: [] }
  const alone = withFeed(state, { ahead: [] })
  return state.feed.from === 'stream'
    ? { state: alone, effects: [] }
    : request(alone, 'stream', reason)
}

/** An interval has passed, in which the leader should have been heard on the bus. */
export function busTick(state: OpenState, context: FollowerContext): FollowerStep {
  if (state.kind !== 'live' || state.feed.from === 'stream') return { state, effects: [] }
  const silence = state.feed.silence + 1
  if (silence > context.limits.maxSilentBeats) return leaveBus(state, 'silent')
  return { state: withFeed(state, { silence }), effects: [] }
}

/**
 * A beat of the leader's stream while rows come over the bus. What it told with the beat before must
 * have come since, even if someone on the bus lets nothing through but old marks.
 */
export function beatOnBus(
  state: LiveState,
  { head, bus }: { readonly head: number; readonly bus?: false },
): FollowerStep {
  const noted = noteHead(state, head)
  const alive = acknowledge(noted, noted.applied)
  if (bus === false) return then(alive, leaveBus(alive.state, 'leader'))
  const { feed, covered } = noted
  const isLate = feed.from === 'bus' && covered < feed.expected
  const next = withFeed(alive.state, { expected: head })
  if (!isLate) return { ...alive, state: next }
  return then(alive, request(next, 'fetch', 'gap', feed.expected))
}

/** The stream has brought something: what waits may join on now. */
export function streamCame(state: LiveState, context: FollowerContext): FollowerStep {
  const { feed, covered } = state
  if (feed.from === 'fetch') {
    if (covered < feed.until) return { state, effects: [] }
    return joinOn(withFeed(state, { from: 'bus' }), context)
  }
  const [first] = feed.ahead
  return first === undefined || first.from > covered
    ? { state, effects: [] }
    : joinOn(state, context)
}

/** Everything up to `seq` is stored. */
export function stored<State extends FollowingState>(state: State, seq: number): State {
  if (state.feed.unstored.length === 0) return state
  return withFeed(state, { unstored: state.feed.unstored.filter(({ to }) => to > seq) })
}

/** Acknowledges what was stored, at once or with the next mark. */
export function acknowledgeStored(state: FollowingState): FollowingStep {
  const { feed, applied } = state
  const isAsked = feed.wanted > feed.acked && applied >= feed.wanted
  if (feed.from !== 'bus' || isAsked) return acknowledge(state, applied)
  return { state, effects: [] }
}

/** Only with a durable cursor everything up to `seq` is held. */
export function acknowledge<State extends FollowingState>(
  state: State,
  seq: number,
): { readonly state: State; readonly effects: readonly FollowerEffect[] } {
  const { beyond, progress } = state
  const complete = progress.cursor !== null
  const message: FollowerMessage = { t: 'ack', seq, ...(beyond > seq ? { beyond } : {}), complete }
  return {
    state: withFeed(state, { acked: Math.max(seq, state.feed.acked) }),
    effects: [{ type: 'send', message }],
  }
}

function acknowledgeNews(state: FollowingState): FollowerStep {
  const isNews = state.applied > state.feed.acked
  return isNews ? acknowledge(state, state.applied) : { state, effects: [] }
}

/** Puts a message among those that wait, and takes what joins on. */
function takeAhead(state: LiveState, batch: SizedBatch, context: FollowerContext): FollowerStep {
  const next = withFeed(state, { ahead: insert(state.feed.ahead, batch) })
  if (batch.from <= state.covered) return joinOn(next, context)
  if (waitingBytes(next.feed) > context.limits.busPendingBytes) return leaveBus(next, 'slow')
  return next.feed.from === 'bus' ? joinOn(next, context) : { state: next, effects: [] }
}

function insert(ahead: readonly SizedBatch[], batch: SizedBatch): SizedBatch[] {
  if (ahead.some(({ from, to }) => from === batch.from && to === batch.to)) return [...ahead]
  const at = ahead.findLastIndex(({ from }) => from <= batch.from) + 1
  return ahead.toSpliced(at, 0, batch)
}

/** Takes whatever joins on, and goes on from there. In one pass: many thousands may have waited for a gap. */
function joinOn(state: LiveState, context: FollowerContext): FollowerStep {
  const { ahead, unstored } = state.feed
  const limit = context.limits.busPendingBytes
  const taken: SizedBatch[] = []
  let { covered } = state
  let bytes = unstoredBytes(state.feed)
  let isTooMuch = false
  let at = 0
  for (const batch of ahead) {
    if (batch.to > covered) {
      if (batch.from > covered || batch.records === undefined) break
      isTooMuch = unstored.length + taken.length > 0 && bytes + batch.bytes > limit
      if (isTooMuch) break
      taken.push(batch)
      covered = batch.to
      bytes += batch.bytes
    }
    at++
  }
  const effects = taken.map((batch) => merge(state, batch, context))
  const next = withFeed(
    { ...state, covered },
    {
      ahead: isTooMuch ? [] : ahead.slice(at),
      unstored: [...unstored, ...taken.map(({ to, bytes: size }) => ({ to, bytes: size }))],
    },
  )
  const goneOn = isTooMuch ? request(next, 'stream', 'slow') : goOn(next, effects.length > 0)
  return then({ state: next, effects }, goneOn)
}

/** With everything taken that joins on: asks for what is missing, or says that the bus will do. */
function goOn(state: LiveState, hasTaken: boolean): FollowerStep {
  const { feed, covered } = state
  const [first] = feed.ahead
  if (feed.from === 'fetch' && covered < feed.until) return { state, effects: [] }
  if (first !== undefined) {
    // The stream brings it anyhow; but what was taken from the bus it must not bring again.
    if (feed.from === 'stream' && !hasTaken) return { state, effects: [] }
    return request(state, 'fetch', 'gap', first.from > covered ? first.from : first.to)
  }
  if (feed.from === 'stream') return request(state, 'bus', 'joined')
  return { state: withFeed(state, { from: 'bus' }), effects: [] }
}

function merge(
  { session, leader }: LiveState,
  { to, records = [] }: SizedBatch,
  { identity }: FollowerContext,
): FollowerEffect {
  const cursor: LogPosition = { epoch: leader.epoch, seq: to }
  const seen: LogPosition = { epoch: leader.epoch, seq: Math.max(leader.head, to) }
  // What can not be a record has no key: it is refused with those of this node.
  const ours = records.filter((one) => isUnreadable(one) || inScopes(identity.scopes, one.key))
  return { type: 'merge', session, records: ours, cursor, seen, isComplete: true }
}

function request(
  state: LiveState,
  from: Feed['from'],
  reason: FeedReason,
  until: number = state.covered,
): FollowerStep {
  const { covered: after, feed } = state
  const n = feed.n + 1
  const wanted = from === 'stream' ? null : until
  const message: FollowerMessage = { t: 'feed', n, after, until: wanted }
  const next = withFeed(state, { from, n, until: from === 'fetch' ? until : 0, silence: 0 })
  const noted = acknowledgeNews(next)
  return then(noted, {
    state: noted.state,
    effects: [
      { type: 'send', message },
      { type: 'fed', from, reason },
    ],
  })
}

function waitingBytes(feed: Feed): number {
  return feed.ahead.reduce((sum, { bytes }) => sum + bytes, unstoredBytes(feed))
}

function unstoredBytes({ unstored }: Feed): number {
  return unstored.reduce((sum, { bytes }) => sum + bytes, 0)
}

function withFeed<State extends FollowingState>(state: State, change: Partial<Feed>): State {
  return { ...state, feed: { ...state.feed, ...change } }
}

function then(first: FollowerStep, second: FollowerStep): FollowerStep {
  return { state: second.state, effects: [...first.effects, ...second.effects] }
}
