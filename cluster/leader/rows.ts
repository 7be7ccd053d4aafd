/**
 * How a leader sends its log: the part of `leader/session.ts` that reads pages and sends rows. Pure.
 *
 * Rows whose values travel in pieces are left out of their page and come later, in their order, while what
 * is behind them passes. Until then the follower is told that it has the log up to the first of them, and
 * `beyond` which it has all the others.
 */
import { isLarge, PIECES_PROTOCOL } from '../../src/core/wire/pieces.ts'
import type { LogPage } from '../../src/store/log/change-log.ts'
import type { ClusterLimits } from '../config/options.ts'
import { inScopes } from '../members/placement.ts'
import { cutRows, recordBytes } from '../stream/page.ts'
import type {
  LargeRow,
  LeaderSessionEffect,
  LeaderSessionEvent,
  LeaderSessionStep,
  StreamingState,
} from './session-events.ts'

/** Rows that wait for their pieces at most; beyond it the log waits as well. */
const MAX_LARGE = 1000

/** Whether the follower takes what is new from the bus. */
export function isOnBus({ feed }: StreamingState): boolean {
  return feed.until !== null
}

/** Up to where the follower has been sent everything. */
export function sentThrough({ large, sent }: StreamingState): number {
  const [first] = large
  return first === undefined ? sent : first.seq - 1
}

/** Reads the next page unless one is being read, nothing is new, or the window is full; ships what is large. */
export function readOn(before: StreamingState, limits: ClusterLimits): LeaderSessionStep {
  const { state, effects } = shipOn(before, limits)
  if (state.reading || state.large.length >= MAX_LARGE) return { state, effects }
  if (state.sent >= endOf(state, state.head) && state.caughtUp) return { state, effects }
  if (unacknowledged(state) >= limits.windowBytes) return { state, effects }
  return {
    state: { ...state, reading: true },
    effects: [...effects, { type: 'read', after: state.sent, limit: limits.messageRecords }],
  }
}

/** Sends what was read. */
export function sendPage(
  state: StreamingState,
  page: LogPage,
  limits: ClusterLimits,
): LeaderSessionStep {
  const { feed, follower } = state
  const end = feed.until ?? page.through
  const goesInPieces = (row: LogPage['rows'][number]): boolean =>
    state.protocol >= PIECES_PROTOCOL && isLarge(row.record, limits.pieceBytes)
  const wanted = page.rows.filter(
    (row) =>
      row.seq <= end &&
      !state.own.has(row.seq) &&
      inScopes(follower.scopes, row.record.key) &&
      (row.seq > state.skipTo || goesInPieces(row)),
  )
  const small = wanted.filter((row) => !goesInPieces(row))
  const cut = cutRows(small, limits.messageBytes)
  const last = cut.rows.at(-1)
  const isCut = cut.rows.length < small.length && last !== undefined
  const sent = isCut ? last.seq : Math.min(page.through, end)
  const head = Math.max(state.head, page.through)
  const reached = sent >= endOf(state, head)
  const large = wanted
    .filter((row) => row.seq <= sent && goesInPieces(row))
    .map(({ seq, record }): LargeRow => ({ seq, key: record.key }))
  const next: StreamingState = {
    ...state,
    head,
    sent,
    large: [...state.large, ...large],
    own: forgetOwn(state.own, sent),
    caughtUp: state.caughtUp || reached,
  }
  // An empty page is told only when it brings the news that the follower has caught up, or waits for pieces.
  const isNews = large.length > 0 || (reached && !state.caughtUp)
  if (cut.rows.length === 0 && !isNews) return readOn(next, limits)
  const records = cut.rows.map((row) => row.record)
  return send(next, { records }, cut.bytes, limits)
}

/** A value is where it should be: its record follows, and what is behind it is told. */
export function shipped(
  state: StreamingState,
  { seq, record }: Extract<LeaderSessionEvent, { type: 'shipped' }>,
  limits: ClusterLimits,
): LeaderSessionStep {
  const { large, shipping } = state
  // The feed may have begun again meanwhile.
  if (shipping !== seq || large[0]?.seq !== seq) return { state, effects: [] }
  const next = { ...state, large: large.slice(1), shipping: undefined }
  if (record === undefined) return send(next, { records: [] }, 0, limits)
  return send(next, { records: [record], whole: [0] }, recordBytes(record), limits)
}

function shipOn(
  state: StreamingState,
  limits: ClusterLimits,
): LeaderSessionStep & {
  readonly state: StreamingState
} {
  const [first] = state.large
  const mayShip = state.shipping === undefined && unacknowledged(state) < limits.windowBytes
  if (first === undefined || !mayShip) return { state, effects: [] }
  return { state: { ...state, shipping: first.seq }, effects: [{ type: 'ship', ...first }] }
}

function send(
  state: StreamingState,
  rows: Pick<
    Extract<LeaderSessionEffect, { type: 'send' }>['message'] & { t: 'rows' },
    'records' | 'whole'
  >,
  bytes: number,
  limits: ClusterLimits,
): LeaderSessionStep {
  const { sent, head, inFlight } = state
  const through = sentThrough(state)
  const more = readOn({ ...state, inFlight: [...inFlight, { through: sent, bytes }] }, limits)
  const message = {
    ...{ t: 'rows' as const, ...rows, through },
    ...(sent > through ? { beyond: sent } : {}),
    ...{ head, ...numbered(state) },
  }
  return { state: more.state, effects: [{ type: 'send', message }, ...more.effects] }
}

/** A follower that knows of no feeds is not told of any. */
export function numbered({ feed }: StreamingState): { feed?: number } {
  return feed.n === 0 ? {} : { feed: feed.n }
}

/** Up to where rows are sent while the log ends at `head`. */
function endOf({ feed }: StreamingState, head: number): number {
  return feed.until === null ? head : Math.min(feed.until, head)
}

function unacknowledged(state: StreamingState): number {
  return state.inFlight.reduce((sum, message) => sum + message.bytes, 0)
}

function forgetOwn(own: ReadonlySet<number>, through: number): ReadonlySet<number> {
  if (own.size === 0) return own
  return new Set([...own].filter((seq) => seq > through))
}
