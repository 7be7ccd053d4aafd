/**
 * A follower's link to one leader: a pure machine. The driver is `follower.ts`; the socket, its
 * timers and the delay before dialling again belong to `src/client/connection.ts` below it.
 *
 * ```
 *            up                 welcome                 through ≥ head
 *  offline ──────▶ greeting ──────────────▶ catchingUp ────────────────▶ live
 *     ▲               │                          │                         │
 *     └────down───────┴───────────down───────────┴───────────down──────────┘      close ▶ closed
 * ```
 *
 * Invariants, checked by `test/cluster/follower-state.test.ts`:
 * 1. The cursor moves only with a `merge` effect that makes it durable in the same batch as the
 *    records it covers.
 * 2. A leader whose log does not continue our cursor is owed everything (`refill`) before any of
 *    its records is taken, so that what it lacks is pushed and what it has is settled.
 * 3. A row is in at most one push at a time, and leaves the outbox only when acknowledged.
 * 4. Events of an earlier connection change nothing but the progress, which is a fact of the disk.
 * 5. A hello is sent when no durable step is under way, so it tells the whole progress.
 */
import type { StoredRecord } from '../src/core/entry.ts'
import type {
  FollowerMessage,
  LeaderMessage,
  LogPosition,
  Pushed,
  Welcome,
} from '../src/core/protocol.ts'
import { STREAM_PROTOCOL } from '../src/core/protocol.ts'
import type { SentRow } from '../src/store/replication.ts'
import type { SequencedRow } from '../src/store/rows.ts'
import type { ClusterLimits } from './options.ts'

/** Who this follower is and what it follows the leader for. */
export interface FollowerIdentity {
  readonly id: string
  readonly name: string
  readonly scopes: readonly string[]
}

interface LinkData {
  /** Counts connections; effects of an earlier one come back with its number and are ignored. */
  readonly session: number
  readonly progress: LinkProgress
}

/** What a follower knows for sure of its leader's log; durable. */
export interface LinkProgress {
  /** Up to where the log has been applied. */
  readonly cursor: LogPosition | null
  /**
   * The newest state of the log that what we hold depends on: pages leave out changes that were
   * superseded up to there, and acknowledged pushes are in the log up to there. A leader that lost
   * its log below this place may lack what it acknowledged and may have gone back to what we
   * skipped, so it is compared with in full.
   */
  readonly seen: LogPosition | null
}

/** What is known while connected and welcomed. */
export interface Following extends LinkData {
  readonly leader: { readonly id: string; readonly epoch: string; readonly head: number }
  /** Number of the next push. */
  readonly nextPush: number
  /** Pushes sent, by number, until acknowledged and dropped from the outbox. */
  readonly pushes: ReadonlyMap<number, readonly SentRow[]>
  /** Seqs that the leader refused on this connection: kept in the outbox, not sent again. */
  readonly refused: ReadonlySet<number>
  /** Beat intervals since the leader was last heard. */
  readonly silentBeats: number
}

export type FollowerState =
  | ({ readonly kind: 'offline' } & LinkData)
  | ({ readonly kind: 'greeting'; readonly silentBeats: number } & LinkData)
  | ({ readonly kind: 'catchingUp' } & Following)
  | ({ readonly kind: 'live' } & Following)
  | { readonly kind: 'closed' }

export type FollowerEvent =
  | { readonly type: 'up' }
  | { readonly type: 'down' }
  /** Answer to `quiesce`: no durable step is under way. */
  | { readonly type: 'quiet'; readonly session: number }
  | { readonly type: 'message'; readonly message: LeaderMessage }
  /** Records of connection `session` are durable, and so is this progress. */
  | { readonly type: 'applied'; readonly session: number; readonly progress: LinkProgress }
  /** The leader is owed everything, durably; nothing of its log has been applied. */
  | { readonly type: 'refilled'; readonly session: number; readonly progress: LinkProgress }
  /** Something is, or may be, in the outbox. */
  | { readonly type: 'outbox' }
  /** Answer to `collect`: rows of the outbox that are not under way. */
  | { readonly type: 'collected'; readonly rows: readonly SequencedRow[] }
  /** A push is settled and dropped from the outbox. */
  | {
      readonly type: 'settled'
      readonly session: number
      readonly n: number
      readonly progress: LinkProgress
    }
  | { readonly type: 'beat' }
  | { readonly type: 'close' }

export type FollowerEffect =
  | { readonly type: 'send'; readonly message: FollowerMessage }
  /** The peer is a leader that speaks with us: reconnect delays start anew. */
  | { readonly type: 'good'; readonly clock: string }
  | { readonly type: 'drop'; readonly reason: string }
  /** Wait for the durable steps of earlier connections. */
  | { readonly type: 'quiesce'; readonly session: number }
  /** Owe the leader everything in scope, then begin again from `from`. */
  | { readonly type: 'refill'; readonly session: number; readonly from: LogPosition }
  /** Store the records, none or more, and in the same batch the places that cover them. */
  | {
      readonly type: 'merge'
      readonly session: number
      readonly records: readonly StoredRecord[]
      readonly cursor: LogPosition
      readonly seen: LogPosition
    }
  | { readonly type: 'collect'; readonly limit: number; readonly skip: ReadonlySet<number> }
  | {
      readonly type: 'settle'
      readonly session: number
      readonly n: number
      readonly rows: readonly SentRow[]
      readonly seen: LogPosition
    }

export interface FollowerStep {
  readonly state: FollowerState
  readonly effects: readonly FollowerEffect[]
}

export interface FollowerContext {
  readonly identity: FollowerIdentity
  readonly limits: ClusterLimits
}

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
      return greet(state, event.session, context)
    case 'down':
      return {
        state: { kind: 'offline', session: state.session, progress: state.progress },
        effects: [],
      }
    case 'beat':
      return beat(state, context)
    case 'message':
      return receive(state, event.message, context)
    case 'applied':
      return applied(state, event, context)
    case 'refilled':
      return refilled(state, event, context)
    case 'outbox':
      return collect(state, context)
    case 'collected':
      return push(state, event.rows, context)
    case 'settled':
      return settled(state, event, context)
  }
}

type OpenState = Exclude<FollowerState, { kind: 'closed' }>

function begin({ session, progress }: OpenState): FollowerStep {
  return {
    state: { kind: 'greeting', session: session + 1, progress, silentBeats: 0 },
    effects: [{ type: 'quiesce', session: session + 1 }],
  }
}

function greet(state: OpenState, session: number, { identity }: FollowerContext): FollowerStep {
  if (state.kind !== 'greeting' || state.session !== session) return { state, effects: [] }
  const { cursor, seen } = state.progress
  const message: FollowerMessage = {
    t: 'hello',
    protocol: STREAM_PROTOCOL,
    ...identity,
    cursor,
    seen,
  }
  return { state, effects: [{ type: 'send', message }] }
}

function receive(state: OpenState, message: LeaderMessage, context: FollowerContext): FollowerStep {
  if (state.kind === 'offline') return { state, effects: [] }
  if (state.kind === 'greeting') {
    if (message.t !== 'welcome') return drop(state, `"${message.t}" before "welcome"`)
    return welcome(state, message)
  }
  const heard = { ...state, silentBeats: 0 }
  switch (message.t) {
    case 'welcome':
      return drop(state, 'a second "welcome"')
    case 'rows':
    case 'beat':
      return advance(heard, message, context)
    case 'pushed':
      return pushed(heard, message)
  }
}

function welcome(
  state: Extract<FollowerState, { kind: 'greeting' }>,
  message: Welcome,
): FollowerStep {
  if (message.protocol !== STREAM_PROTOCOL) {
    return drop(state, `stream protocol ${message.protocol}, this node speaks ${STREAM_PROTOCOL}`)
  }
  const { session } = state
  const { id, epoch, head, clock } = message
  const resume = message.resume && state.progress.cursor !== null
  const next: FollowerState = {
    kind: 'catchingUp',
    session,
    progress: state.progress,
    leader: { id, epoch, head },
    nextPush: 1,
    pushes: new Map(),
    refused: new Set(),
    silentBeats: 0,
  }
  const effects: FollowerEffect[] = [{ type: 'good', clock }]
  if (!resume) effects.push({ type: 'refill', session, from: { epoch, seq: 0 } })
  return { state: next, effects }
}

type FollowingState = Extract<FollowerState, { kind: 'catchingUp' | 'live' }>

function isFollowing(state: OpenState): state is FollowingState {
  return state.kind === 'catchingUp' || state.kind === 'live'
}

/** Takes records, or the news that there were none, up to `through`. */
function advance(
  state: FollowingState,
  message: Extract<LeaderMessage, { t: 'rows' | 'beat' }>,
  context: FollowerContext,
): FollowerStep {
  const { session, leader } = state
  const cursor: LogPosition = { epoch: leader.epoch, seq: message.through }
  const caughtUp =
    state.kind === 'live' || (message.t === 'rows' && message.through >= message.head)
  const next: FollowingState = {
    ...state,
    kind: caughtUp ? 'live' : 'catchingUp',
    leader: { ...leader, head: message.head },
  }
  const effects: FollowerEffect[] = []
  const records = message.t === 'rows' ? message.records : []
  if (records.length > 0 || !samePosition(state.progress.cursor, cursor)) {
    const seen: LogPosition = { epoch: leader.epoch, seq: message.head }
    effects.push({ type: 'merge', session, records, cursor, seen })
  } else {
    effects.push({ type: 'send', message: { t: 'ack', seq: cursor.seq } })
  }
  if (caughtUp && state.kind === 'catchingUp') {
    const pump = collect(next, context)
    return { state: pump.state, effects: [...effects, ...pump.effects] }
  }
  return { state: next, effects }
}

/** Acknowledges; what lost against ours was put in the outbox, so that is looked at again. */
function applied(
  state: OpenState,
  { session, progress }: Extract<FollowerEvent, { type: 'applied' }>,
  context: FollowerContext,
): FollowerStep {
  const next = { ...state, progress }
  if (!isFollowing(next) || session !== state.session) return { state: next, effects: [] }
  const pump = collect(next, context)
  const ack: FollowerEffect = {
    type: 'send',
    message: { t: 'ack', seq: progress.cursor?.seq ?? 0 },
  }
  return { state: pump.state, effects: [ack, ...pump.effects] }
}

/** The outbox is full now, maybe after the link went live, since a small log is read faster. */
function refilled(
  state: OpenState,
  { session, progress }: Extract<FollowerEvent, { type: 'refilled' }>,
  context: FollowerContext,
): FollowerStep {
  const next = { ...state, progress }
  return session === state.session ? collect(next, context) : { state: next, effects: [] }
}

function collect(state: OpenState, { limits }: FollowerContext): FollowerStep {
  // Before it is live, what the leader sends may still settle rows that would be pushed in vain.
  if (state.kind !== 'live' || state.pushes.size >= limits.maxPushesInFlight) {
    return { state, effects: [] }
  }
  const effect = { type: 'collect', limit: limits.messageRecords, skip: underWay(state) } as const
  return { state, effects: [effect] }
}

/** Seqs that are not to be sent now. */
function underWay({ refused, pushes }: FollowingState): Set<number> {
  const seqs = new Set(refused)
  for (const rows of pushes.values()) for (const { seq } of rows) seqs.add(seq)
  return seqs
}

function push(
  state: OpenState,
  collected: readonly SequencedRow[],
  context: FollowerContext,
): FollowerStep {
  if (state.kind !== 'live') return { state, effects: [] }
  // Reading takes a while: some of it may have been sent since it was asked for.
  const skip = underWay(state)
  const rows = collected.filter(({ seq }) => !skip.has(seq))
  if (rows.length === 0 || state.pushes.size >= context.limits.maxPushesInFlight) {
    return { state, effects: [] }
  }
  const n = state.nextPush
  const sent = rows.map(({ seq, record }) => ({ seq, key: record.key }))
  const message: FollowerMessage = { t: 'push', n, records: rows.map((row) => row.record) }
  const next: FollowerState = {
    ...state,
    nextPush: n + 1,
    pushes: new Map(state.pushes).set(n, sent),
  }
  const more = collect(next, context)
  return { state: more.state, effects: [{ type: 'send', message }, ...more.effects] }
}

function pushed(state: FollowingState, { n, outcomes, head }: Pushed): FollowerStep {
  const rows = state.pushes.get(n)
  if (rows === undefined || rows.length !== outcomes.length) {
    return drop(state, `answer to push ${n} with ${outcomes.length} outcomes does not fit`)
  }
  const seen: LogPosition = { epoch: state.leader.epoch, seq: head }
  const refused = new Set(state.refused)
  const taken: SentRow[] = []
  rows.forEach((row, i) => {
    if (outcomes[i] === 'refused') refused.add(row.seq)
    else taken.push(row)
  })
  return {
    state: { ...state, refused },
    effects: [{ type: 'settle', session: state.session, n, rows: taken, seen }],
  }
}

function settled(
  state: OpenState,
  { session, n, progress }: Extract<FollowerEvent, { type: 'settled' }>,
  context: FollowerContext,
): FollowerStep {
  const next = { ...state, progress }
  if (!isFollowing(next) || session !== state.session) return { state: next, effects: [] }
  const pushes = new Map(next.pushes)
  pushes.delete(n)
  return collect({ ...next, pushes }, context)
}

function beat(state: OpenState, { limits }: FollowerContext): FollowerStep {
  if (state.kind === 'offline') return { state, effects: [] }
  const silentBeats = state.silentBeats + 1
  if (silentBeats > limits.maxSilentBeats) {
    return drop(state, `the leader was silent for ${limits.maxSilentBeats} beats`)
  }
  return { state: { ...state, silentBeats }, effects: [] }
}

/** Gives the connection up; the connection below dials again after a delay. */
function drop(state: OpenState, reason: string): FollowerStep {
  return {
    state: { kind: 'offline', session: state.session, progress: state.progress },
    effects: [{ type: 'drop', reason }],
  }
}

function samePosition(a: LogPosition | null, b: LogPosition): boolean {
  return a !== null && a.epoch === b.epoch && a.seq === b.seq
}
