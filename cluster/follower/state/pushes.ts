/** How a follower's outbox goes up: the part of `follower/state/state.ts` that pushes. Pure. */

import { overtakenName } from '../../../src/core/data/overtaken.ts'
import { isLarge, PIECES_PROTOCOL, type Whole } from '../../../src/core/wire/pieces.ts'
import type { FollowerMessage, LogPosition, Push, Pushed } from '../../../src/core/wire/protocol.ts'
import type { SequencedRow } from '../../../src/store/format/rows.ts'
import type { SentRow } from '../../../src/store/replication/replication.ts'
import { isTooLong } from '../../stream/page.ts'
import type {
  DeniedRow,
  FollowerContext,
  FollowerEvent,
  FollowerStep,
  FollowingState,
  OpenState,
} from './link.ts'
import { dropLink, isFollowing } from './link.ts'
import { asSent, noteOvertaken, unsent } from './overtaking.ts'

/** Rows that may wait for their turn to go up in pieces; beyond it what is behind them waits as well. */
const MAX_LATER = 1000

/** Asks for rows to push, unless enough are under way or the log is still being caught up with. */
export function collect(state: OpenState, context: FollowerContext): FollowerStep {
  const { limits } = context
  // While catching up, what the leader sends may still settle rows that would be pushed in vain.
  if (!mayPush(state) || state.pushes.size >= limits.maxPushesInFlight) {
    return { state, effects: [] }
  }
  const { kind, session, upload } = state
  if (upload?.isDone === true) return pushUploaded(state, upload.row, context)
  if (state.later.size >= MAX_LATER) return { state, effects: [] }
  const live = kind === 'live' ? session : undefined
  const limit = limits.messageRecords
  return { state, effects: [{ type: 'collect', limit, skip: underWay(state), live }] }
}

/** The leader has the value: its record goes up. */
export function uploaded(
  state: OpenState,
  { session, seq, row }: Extract<FollowerEvent, { type: 'uploaded' }>,
  context: FollowerContext,
): FollowerStep {
  if (!isFollowing(state) || session !== state.session || state.upload?.row.seq !== seq) {
    return { state, effects: [] }
  }
  if (row === undefined) return collect({ ...state, upload: undefined, later: new Set() }, context)
  return collect({ ...state, upload: { row, isDone: true } }, context)
}

/** The leader will not take it: it is told of the record without its value. */
function withhold(state: PushingState, row: SequencedRow, context: FollowerContext): FollowerStep {
  const withheld = new Map(state.withheld).set(state.nextPush, row)
  return send({ ...state, withheld }, [row], { withheld: [0] }, context)
}

/** What waited for it comes next, as it is by then. */
function pushUploaded(
  state: PushingState,
  row: SequencedRow,
  context: FollowerContext,
): FollowerStep {
  return send({ ...state, upload: undefined, later: new Set() }, [row], { whole: [0] }, context)
}

/** Begins to send the first of these values, unless one is under way; remembers the others. */
function upload(
  state: PushingState,
  rows: readonly SequencedRow[],
): { readonly state: PushingState; readonly effects: FollowerStep['effects'] } {
  const [first] = rows
  if (first === undefined) return { state, effects: [] }
  const later = new Set(state.later)
  for (const { seq } of rows) later.add(seq)
  if (state.upload !== undefined) return { state: { ...state, later }, effects: [] }
  const effect = { type: 'upload', session: state.session, row: first } as const
  return {
    state: { ...state, later, upload: { row: first, isDone: false } },
    effects: [effect],
  }
}

type PushingState = Exclude<FollowingState, { kind: 'catchingUp' }>

function mayPush(state: OpenState): state is PushingState {
  // Rows that drifted are restamped before others go up, so that the order stays.
  return (state.kind === 'live' || state.kind === 'comparing') && state.drifted.length === 0
}

/** Remembers the newest state of the leader's log that was heard of. */
export function noteHead<State extends FollowingState>(state: State, head: number): State {
  const { leader } = state
  return head <= leader.head ? state : { ...state, leader: { ...leader, head } }
}

/** Seqs that are not to be sent now. */
function underWay({ refused, later, pushes }: FollowingState): Set<number> {
  const seqs = new Set([...refused, ...later])
  for (const rows of pushes.values()) for (const { seq } of rows) seqs.add(seq)
  return seqs
}

/** Sends what was collected. */
export function push(
  before: OpenState,
  { rows: collected, overtaken = [], wholeOf }: Extract<FollowerEvent, { type: 'collected' }>,
  context: FollowerContext,
): FollowerStep {
  if (!mayPush(before)) return { state: before, effects: [] }
  // Reading takes a while: some of it may have been sent since it was asked for.
  const skip = underWay(before)
  const rows = collected.filter(({ seq }) => !skip.has(seq))
  const { maxValueBytes = Number.POSITIVE_INFINITY } = before
  const long = rows.find(({ record }) => isTooLong(record, maxValueBytes))
  if (long !== undefined) return withhold(before, long, context)
  const inPieces = (row: SequencedRow): boolean =>
    before.protocol >= PIECES_PROTOCOL && isLarge(row.record, context.limits.pieceBytes)
  const large = rows.filter(inPieces)
  const names = [...overtaken, ...large.map(({ record }) => overtakenName(record))]
  const noted = { ...before, overtaken: noteOvertaken(before.overtaken, names) }
  const begun = upload(noted, large)
  const small = rows.filter((row) => !inPieces(row))
  const isAllLarge = small.length === 0 && rows.length > 0
  const sent = isAllLarge ? collect(begun.state, context) : send(begun.state, small, {}, context)
  const step = { state: sent.state, effects: [...begun.effects, ...sent.effects] }
  return wholeOf === before.session ? begin(step, collected) : step
}

/**
 * All that is held here and not at the leader is under way now, if everything has been compared: when that
 * has been acknowledged, the leader holds it. What is written or replaced later is later.
 */
function begin({ state, effects }: FollowerStep, all: readonly SequencedRow[]): FollowerStep {
  if (state.kind !== 'live' || state.hold !== undefined) return { state, effects }
  const sent = underWay(state)
  const isSent = all.every(({ seq }) => sent.has(seq))
  if (!isSent || state.refused.size > 0 || state.drifted.length > 0) return { state, effects }
  const step = hold({ ...state, hold: state.nextPush - 1 })
  return { state: step.state, effects: [...effects, ...step.effects] }
}

/** Whether what was under way when the whole outbox was read is settled. */
function hold(state: FollowingState): {
  readonly state: FollowingState
  readonly effects: FollowerStep['effects']
} {
  const { hold: last, pushes } = state
  if (typeof last !== 'number' || [...pushes.keys()].some((n) => n <= last)) {
    return { state, effects: [] }
  }
  return { state: { ...state, hold: 'yes' }, effects: [{ type: 'held' }] }
}

function send(
  state: PushingState,
  rows: readonly SequencedRow[],
  values: Whole & Pick<Push, 'withheld'>,
  context: FollowerContext,
): FollowerStep {
  if (rows.length === 0 || state.pushes.size >= context.limits.maxPushesInFlight) {
    return { state, effects: [] }
  }
  const n = state.nextPush
  const overtaken = unsent(state.overtaken)
  const sent = rows.map(({ seq, record }) => ({ seq, key: record.key }))
  const message: FollowerMessage = {
    t: 'push',
    n,
    records: rows.map((row) => row.record),
    ...values,
    ...(overtaken.length === 0 ? {} : { overtaken }),
    ...(rows.some((row) => row.causalContext !== undefined)
      ? { seen: rows.map((row) => row.causalContext ?? null) }
      : {}),
    ...(rows.some((row) => row.isLost === true)
      ? { lost: rows.flatMap((row, i) => (row.isLost === true ? [i] : [])) }
      : {}),
  }
  const next: FollowingState = {
    ...state,
    nextPush: n + 1,
    overtaken: asSent(state.overtaken),
    pushes: new Map(state.pushes).set(n, sent),
  }
  const more = collect(next, context)
  return { state: more.state, effects: [{ type: 'send', message }, ...more.effects] }
}

/** Takes the leader's answer to a push. */
export function pushed(state: FollowingState, answer: Pushed): FollowerStep {
  const { n, outcomes, head } = answer
  const rows = state.pushes.get(n)
  if (rows === undefined || rows.length !== outcomes.length) {
    return dropLink(state, `answer to push ${n} with ${outcomes.length} outcomes does not fit`)
  }
  const seen: LogPosition = { epoch: state.leader.epoch, seq: head }
  const refused = new Set(state.refused)
  const drifted = [...state.drifted]
  const taken: SentRow[] = []
  rows.forEach((row, i) => {
    if (outcomes[i] === 'refused') refused.add(row.seq)
    else if (outcomes[i] === 'drift') drifted.push(row)
    else taken.push(row)
  })
  const lost = rows.filter((_row, i) => outcomes[i] === 'superseded').map(({ seq }) => seq)
  const superseded = lost.length === 0 ? {} : { superseded: new Set(lost) }
  const applied = outcomes.filter((outcome) => outcome === 'applied').length
  const own = { head, count: state.own.count + applied }
  const foreign = state.refused.size === 0 ? rows.find(({ seq }) => refused.has(seq)) : undefined
  const news = foreign === undefined ? [] : [{ type: 'refused', key: foreign.key } as const]
  const withheld = new Map(state.withheld)
  const long = withheld.get(n)
  withheld.delete(n)
  const refusedForGood = deniedOf(rows, answer, long)
  const denied = refusedForGood.length === 0 ? {} : { denied: refusedForGood }
  const isKept = taken.length === rows.length || state.hold === 'yes'
  return {
    state: {
      ...noteHead(state, head),
      refused,
      drifted,
      withheld,
      own,
      hold: isKept ? state.hold : undefined,
    },
    effects: [
      { type: 'settle', session: state.session, n, rows: taken, ...superseded, ...denied, seen },
      ...news,
    ],
  }
}

/** @param long the row, alone in its push, whose value was not sent. */
function deniedOf(
  rows: readonly SentRow[],
  { outcomes, reasons = [] }: Pushed,
  long: SequencedRow | undefined,
): DeniedRow[] {
  return rows.flatMap((row, i): DeniedRow[] => {
    if (outcomes[i] !== 'denied') return []
    const [, code = 'too_large', reason = 'longer than the leader takes'] =
      reasons.find(([place]) => place === i) ?? []
    return [{ row, ...(long === undefined ? {} : { record: long.record }), code, reason }]
  })
}

/** A push is off the outbox. */
export function settled(
  state: OpenState,
  { session, n, progress }: Extract<FollowerEvent, { type: 'settled' }>,
  context: FollowerContext,
): FollowerStep {
  const next = { ...state, progress }
  if (!isFollowing(next) || session !== state.session) return { state: next, effects: [] }
  const pushes = new Map(next.pushes)
  pushes.delete(n)
  const { drifted } = next
  if (drifted.length > 0 && pushes.size === 0) {
    const effects = [{ type: 'restamp', session, rows: drifted }] as const
    return { state: { ...next, pushes }, effects }
  }
  const held = hold({ ...next, pushes })
  const more = collect(held.state, context)
  return { state: more.state, effects: [...held.effects, ...more.effects] }
}

/** What drifted goes up again, with its new stamps. */
export function restamped(
  state: OpenState,
  { session }: Extract<FollowerEvent, { type: 'restamped' }>,
  context: FollowerContext,
): FollowerStep {
  if (!isFollowing(state) || session !== state.session) return { state, effects: [] }
  return collect({ ...state, drifted: [] }, context)
}
