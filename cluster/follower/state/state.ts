/**
 * A follower's link to one leader: a pure machine. The driver is `follower.ts`; the socket, its
 * timers and the delay before dialling again belong to `src/client/connection.ts` below it.
 *
 * ```
 *            up                welcome (resume)               through ≥ head
 *  offline ──────▶ greeting ─────────────────────▶ catchingUp ──────────────▶ live
 *     ▲               │                             ▲     │                   ▲  │
 *     │               └─welcome (no resume)─▶ comparing───┼───all compared────┘  │
 *     └────down───────┴──────────────────────────┴────────┴─────────down─────────┘   close ▶ closed
 * ```
 *
 * Invariants, checked by `test/quick/cluster/follower/state.test.ts`:
 * 1. The cursor moves only with an effect that makes it durable, in the same batch as the records it
 *    covers or after all of them.
 * 2. A leader whose log does not continue our cursor is compared with in full, while what it changes
 *    from now on is taken as well; until that has ended no cursor is stored, so that a comparison
 *    that was broken off begins again.
 * 3. A row is in at most one push at a time, and leaves the outbox only when acknowledged.
 * 4. Events of an earlier connection change nothing but the progress, which is a fact of the disk.
 * 5. `held` comes once per connection: after everything that was compared, when a reading of the whole
 *    outbox, and all that was under way then, has been acknowledged, nothing refused and nothing set aside.
 * 6. The cursor passes a row whose value travels in pieces only with the message that brings its record.
 * 7. A hello is sent when no durable step is under way, so it tells the whole progress.
 */
import type { FollowerMessage, LogPosition, Welcome } from '../../../src/core/wire/protocol.ts'
import {
  commonProtocol,
  protocolRefusal,
  STREAM_PROTOCOL,
} from '../../../src/core/wire/protocol.ts'
import { PROTOCOL_WITH_FIELDS } from '../../../src/core/wire/records.ts'
import type { SequencedRow } from '../../../src/store/format/rows.ts'
import { begin as compare, compareDue, digestsReceived, done, found } from './comparing.ts'
import { FROM_STREAM } from './feed.ts'
import type {
  FollowerContext,
  FollowerEffect,
  FollowerEvent,
  FollowerState,
  FollowerStep,
  FollowingState,
  LinkProgress,
  OpenState,
} from './link.ts'
import { dropLink, isFollowing } from './link.ts'
import {
  acknowledge,
  acknowledgeStored,
  beatOnBus,
  busTick,
  heard,
  leaveBus,
  stored,
  streamCame,
} from './links-feed.ts'
import { collect, noteHead, push, pushed, restamped, settled, uploaded } from './pushes.ts'

export type {
  FollowerContext,
  FollowerEffect,
  FollowerEvent,
  FollowerIdentity,
  FollowerState,
  FollowerStep,
  LinkProgress,
} from './link.ts'

export function initialFollower(progress: LinkProgress): FollowerState {
  return { kind: 'offline', session: 0, progress }
}

export function stepFollower(
  state: FollowerState,
  event: FollowerEvent,
  context: FollowerContext,
): FollowerStep {
  if (state.kind === 'closed') return { state, effects: [] }
  switch (event.type) {
    case 'close':
      return { state: { kind: 'closed' }, effects: [] }
    case 'up':
      return begin(state)
    case 'quiet':
      return greet(state, event, context)
    case 'down':
      return {
        state: { kind: 'offline', session: state.session, progress: state.progress },
        effects: [],
      }
    case 'beat':
      return beat(state, event, context)
    case 'message':
      return receive(state, event.message, context)
    case 'batch':
      return heard(state, event, context)
    case 'busLost':
      return leaveBus(state, 'down')
    case 'busTick':
      return busTick(state, context)
    case 'applied':
      return applied(state, event, context)
    case 'saved':
      return saved(state, event)
    case 'outbox':
      return collect(state, context)
    case 'collected':
      return push(state, event, context)
    case 'uploaded':
      return uploaded(state, event, context)
    case 'settled':
      return settled(state, event, context)
    case 'restamped':
      return restamped(state, event, context)
    case 'digestsReceived':
      return digestsReceived(state, event, context)
    case 'took':
    case 'hashed':
      return done(state, event, context)
    case 'compareDue':
      return compareDue(state, event, context)
  }
}

function begin({ session, progress }: OpenState): FollowerStep {
  return {
    state: { kind: 'greeting', session: session + 1, progress, silentBeats: 0, known: [] },
    effects: [{ type: 'quiesce', session: session + 1 }],
  }
}

function greet(
  state: OpenState,
  { session, known = [] }: Extract<FollowerEvent, { type: 'quiet' }>,
  { identity }: FollowerContext,
): FollowerStep {
  if (state.kind !== 'greeting' || state.session !== session) return { state, effects: [] }
  const { cursor, seen, base = null, beyond } = state.progress
  const { bus = false, protocol = STREAM_PROTOCOL, incarnations, url, ...who } = identity
  const noted = { ...(incarnations && { incarnations }), ...(url !== undefined && { url }) }
  const message: FollowerMessage = {
    t: 'hello',
    protocol,
    ...who,
    ...(bus ? { bus } : {}),
    ...(protocol < PROTOCOL_WITH_FIELDS ? {} : noted),
    cursor,
    seen,
    base,
    ...(beyond === undefined ? {} : { beyond }),
    ...(known.length === 0 ? {} : { known: known.map(({ place, seen }) => ({ place, seen })) }),
  }
  return { state: { ...state, known }, effects: [{ type: 'send', message }] }
}

type Heard = Extract<FollowerEvent, { type: 'message' }>['message']

function receive(state: OpenState, message: Heard, context: FollowerContext): FollowerStep {
  if (state.kind === 'offline') return { state, effects: [] }
  if (state.kind === 'greeting') {
    if (message.t !== 'welcome') return dropLink(state, `"${message.t}" before "welcome"`)
    return welcome(state, message, context)
  }
  const heard = { ...state, silentBeats: 0 }
  switch (message.t) {
    case 'welcome':
      return dropLink(state, 'a second "welcome"')
    case 'rows':
    case 'beat':
      return advance(heard, message, context)
    case 'pushed':
      return pushed(heard, message)
    case 'found':
      return found(heard, message, context)
  }
}

function welcome(
  state: Extract<FollowerState, { kind: 'greeting' }>,
  message: Welcome,
  context: FollowerContext,
): FollowerStep {
  const { protocol = STREAM_PROTOCOL } = context.identity
  if (commonProtocol(message.protocol) !== message.protocol || message.protocol > protocol) {
    return dropLink(state, protocolRefusal(message.protocol))
  }
  const { session, progress } = state
  const { id, epoch, head, clock } = message
  const resumed = message.resume ? progress.cursor?.seq : undefined
  const from = resumed ?? head
  const isSameLog = resumed !== undefined && progress.cursor?.epoch === epoch
  const following = {
    session,
    progress,
    leader: { id, epoch, head },
    protocol: message.protocol,
    applied: from,
    beyond: isSameLog ? Math.max(from, progress.beyond ?? 0) : from,
    covered: from,
    comparison: undefined,
    asked: 0,
    nextPush: 1,
    pushes: new Map(),
    upload: undefined,
    later: new Set<number>(),
    overtaken: new Map(),
    maxValueBytes: message.maxValueBytes,
    withheld: new Map<number, SequencedRow>(),
    refused: new Set<number>(),
    drifted: [],
    own: NOTHING_OWN,
    hold: undefined,
    feed: FROM_STREAM,
    silentBeats: 0,
  }
  const good: FollowerEffect = { type: 'good', clock }
  if (resumed !== undefined) {
    return { state: { kind: 'catchingUp', ...following }, effects: [good] }
  }
  const none = { cursor: null, ...proofOf(state, message), leader: id }
  const save = { type: 'save', session, progress: none, baseIfEmpty: { epoch, seq: 0 } } as const
  const begun = compare({ kind: 'comparing', isCaughtUp: false, ...following }, context)
  return {
    state: begun.state,
    effects: [good, save, ...begun.effects],
  }
}

/** Where a comparison begins: with what the leader has a proof for. */
function proofOf(
  { progress, known }: Extract<FollowerState, { kind: 'greeting' }>,
  { continues, knows = continues ? 0 : undefined }: Welcome,
): Pick<LinkProgress, 'seen' | 'base' | 'apart'> {
  const mark = knows === undefined ? undefined : known[knows - 1]
  if (mark !== undefined) return { seen: mark.seen, base: mark.place, apart: mark.apart }
  const { cursor, base, seen, apart } = progress
  if (knows !== 0) return { seen: null, base: undefined }
  return cursor === null ? { seen, base, apart } : { seen, base: cursor }
}

const NOTHING_OWN = { head: 0, count: 0 } as const

/** Takes records, or the news that there were none, up to `through`. */
function advance(
  state: FollowingState,
  message: Extract<Heard, { t: 'rows' | 'beat' }>,
  context: FollowerContext,
): FollowerStep {
  const { session, leader, feed } = state
  const { through, head, feed: n = 0 } = message
  if (through > head || n > feed.n || (feed.n === 0 && through < state.covered)) {
    return dropLink(state, `"${message.t}" through ${through} of ${head} after ${state.covered}`)
  }
  const beyond = Math.max(through, message.t === 'rows' ? (message.beyond ?? 0) : 0)
  // What is missing travels in pieces: meanwhile the stream brings all that passes it.
  if (state.kind === 'live' && feed.from === 'fetch' && n === feed.n && beyond > through) {
    return leaveBus(noteHead(state, head), 'large')
  }
  const isOfOldFeed = n < feed.n || feed.from === 'bus'
  if (state.kind === 'live' && (isOfOldFeed || through < state.covered || feed.from === 'fetch')) {
    if (message.t === 'beat') return beatOnBus(state, message)
    const noted = noteHead(state, head)
    if (isOfOldFeed) return { state: noted, effects: [] }
    // The bus was quicker.
    if (through <= state.covered) return acknowledge(noted, noted.applied)
  }
  const cursor: LogPosition = { epoch: leader.epoch, seq: through }
  const seen: LogPosition = { epoch: leader.epoch, seq: head }
  const isReached = message.t === 'rows' && beyond >= head
  const noted = {
    ...state,
    leader: { ...leader, head },
    covered: through,
    own: through >= state.own.head ? NOTHING_OWN : state.own,
  }
  const isComplete = state.kind !== 'comparing'
  const isPlace = isComplete
    ? samePosition(state.progress.cursor, cursor)
    : state.applied === through
  const isKnown = isPlace && beyond <= Math.max(state.beyond, through)
  const records = message.t === 'rows' ? message.records : []
  const step =
    records.length > 0 || !isKnown
      ? merge(noted, { type: 'merge', session, records, cursor, seen, beyond, isComplete })
      : acknowledge(noted, through)
  const { state: next, effects } = step
  if (next.kind === 'comparing') {
    return { state: { ...next, isCaughtUp: next.isCaughtUp || isReached }, effects }
  }
  if (next.kind !== 'live' && !isReached) return { state: next, effects }
  const more =
    next.kind === 'live' ? streamCame(next, context) : collect({ ...next, kind: 'live' }, context)
  return { state: more.state, effects: [...effects, ...more.effects] }
}

function merge(
  state: FollowingState,
  effect: FollowerEffect,
): { readonly state: FollowingState; readonly effects: readonly FollowerEffect[] } {
  return { state, effects: [effect] }
}

/** Acknowledges; what lost against ours was put in the outbox, so that is looked at again. */
function applied(
  state: OpenState,
  { session, seq, beyond = seq, progress }: Extract<FollowerEvent, { type: 'applied' }>,
  context: FollowerContext,
): FollowerStep {
  const next = { ...state, progress }
  if (!isFollowing(next) || session !== state.session) return { state: next, effects: [] }
  const noted = acknowledgeStored(stored({ ...next, applied: seq, beyond }, seq))
  const pump = collect(noted.state, context)
  return { state: pump.state, effects: [...noted.effects, ...pump.effects] }
}

/** A cursor that became durable at the end of a comparison is news for the leader. */
function saved(
  state: OpenState,
  { session, progress }: Extract<FollowerEvent, { type: 'saved' }>,
): FollowerStep {
  const next = { ...state, progress }
  const { cursor } = progress
  if (!isFollowing(next) || session !== state.session || cursor === null) {
    return { state: next, effects: [] }
  }
  return acknowledge(next, cursor.seq)
}

function beat(
  state: OpenState,
  { isAlive = false }: Extract<FollowerEvent, { type: 'beat' }>,
  { limits }: FollowerContext,
): FollowerStep {
  if (state.kind === 'offline') return { state, effects: [] }
  const silentBeats = isAlive ? 0 : state.silentBeats + 1
  if (silentBeats > limits.maxSilentBeats) {
    const reason = `the leader was silent for ${limits.maxSilentBeats} beats`
    return dropLink(state, reason, 'deadline')
  }
  return { state: { ...state, silentBeats }, effects: [] }
}

function samePosition(a: LogPosition | null, b: LogPosition): boolean {
  return a !== null && a.epoch === b.epoch && a.seq === b.seq
}
