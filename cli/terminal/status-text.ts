/** The status of a node as tables for people. It came over the wire, so nothing of it is certain. */
import { leaderText } from '../../src/core/unknown-leader.ts'
import { formatBytes, formatCount, plural } from './progress.ts'
import { formatTable } from './table.ts'

/** Refusals told one by one; the others are only counted. */
const MAX_REFUSALS = 5

/** Columns of a table: head, and what a row shows under it. */
type Columns = readonly (readonly [head: string, cell: (row: unknown) => string])[]

/** @param nowMs milliseconds since the Unix epoch, to tell how long ago things happened */
export function formatStatus(status: unknown, nowMs: number = Date.now()): string {
  const ago = (name: string) => (row: unknown) => agoText(numberOf(row, name), nowMs)
  // Without a bus there is but one way.
  const fedBy = (cell: (row: unknown) => string): Columns =>
    fieldOf(status, 'bus') === undefined ? [] : [['fed by', cell]]
  const sections = [
    table([status], NODE),
    table(
      [fieldOf(status, 'lease')].filter((lease) => lease !== undefined),
      leaseColumns(nowMs),
    ),
    table(
      [fieldOf(status, 'voters')].filter((voters) => voters !== undefined),
      VOTERS,
    ),
    table(
      [fieldOf(fieldOf(status, 'lease'), 'podLabel')].filter((label) => label !== undefined),
      POD_LABEL,
    ),
    table(
      [fieldOf(status, 'bus')].filter((bus) => bus !== undefined),
      busColumns(nowMs),
    ),
    table(rowsOf(status, 'scopes'), SCOPE),
    table(rowsOf(status, 'links'), [
      ...LINK,
      ...fedBy((row) => text('from')(fieldOf(row, 'feed'))),
      ['agreed', ago('lastAgreementMs')],
      ['repairs', text('repairs')],
      ...TRAFFIC,
      ['last error', text('lastError')],
    ]),
    table(rowsOf(status, 'followers'), [
      ...FOLLOWER,
      ...fedBy(text('feed')),
      ['heard', ago('lastContactMs')],
      ...TRAFFIC,
    ]),
    table(away(status), [
      ['away', text('name')],
      ['id', text('id')],
      ['cursor', text('cursor')],
      ['heard', ago('lastContactMs')],
    ]),
    refusals(status, nowMs),
  ]
  return sections.filter((section) => section !== '').join('\n')
}

const NODE: Columns = [
  ['name', text('name')],
  ['role', text('role')],
  ['id', text('id')],
  ['epoch', text('epoch')],
  ['head', text('head')],
  ['clock', (row) => offsetText(numberOf(row, 'clockOffsetMs'))],
]

function leaseColumns(nowMs: number): Columns {
  return [
    ['lease', (row) => `${text('name')(row)} (${text('kind')(row)})`],
    ['state', (row) => leaseStateText(row, nowMs)],
    ['leader', (row) => cellText(fieldOf(fieldOf(row, 'holder'), 'url'))],
    ['token', text('token')],
    ['until', untilText],
    ['last error', text('lastError')],
  ]
}

/** The state, and for how long nothing has told that the leader shown still leads. */
function leaseStateText(row: unknown, nowMs: number): string {
  const state = text('state')(row)
  const sinceMs = numberOf(row, 'unconfirmedSinceMs')
  if (sinceMs === undefined) return state
  return `${state}, unconfirmed for ${durationText(Math.max(0, nowMs - sinceMs))}`
}

/** Who votes; of the leader also who is here, whose vote it has, and why it decides nothing. */
const VOTERS: Columns = [
  ['voters', (row) => rowsOf(row, 'voters').map(cellText).join(', ') || '-'],
  ['list', text('change')],
  ['connected', (row) => connectedOf(row).join(', ') || '-'],
  ['have voted', (row) => rowsOf(row, 'held').map(cellText).join(', ') || '-'],
  ['decides', decidesText],
  ['reason', text('reason')],
]

/** Only a leader decides, or does not: it alone tells who attends. */
function decidesText(row: unknown): string {
  if (fieldOf(row, 'attendance') === undefined) return '-'
  return fieldOf(row, 'decides') === true ? 'yes' : 'no'
}

function connectedOf(row: unknown): string[] {
  const here = rowsOf(row, 'attendance').filter((voter) => fieldOf(voter, 'connected') === true)
  return here.map((voter) => text('name')(voter))
}

const POD_LABEL: Columns = [
  ['pod', text('pod')],
  ['label', text('label')],
  ['set', (row) => SET[String(fieldOf(row, 'isSet'))] ?? 'not known'],
  ['failures', text('failures')],
  ['last error', text('lastError')],
]
const SET: Readonly<Record<string, string>> = { true: 'yes', false: 'no' }

/** The bus, and what became of what it carried. */
function busColumns(nowMs: number): Columns {
  const side = (name: string) => (row: unknown) => {
    const found = fieldOf(row, name)
    const since = numberOf(found, 'sinceMs')
    const state = text('state')(found)
    return state === 'idle' ? state : `${state}, ${agoText(since, nowMs)}`
  }
  return [
    ['bus', text('kind')],
    ['at', text('address')],
    ['publishing', side('publishing')],
    ['listening', side('subscribing')],
    ...(['published', 'dropped', 'received'] as const).map(
      (name) => [name, (row: unknown) => countText(numberOf(row, name))] as const,
    ),
    ['last error', (row) => lastBusError(row)],
  ]
}

function lastBusError(row: unknown): string {
  const [publishing, subscribing] = ['publishing', 'subscribing'].map((name) =>
    text('lastError')(fieldOf(row, name)),
  )
  return publishing === '-' || publishing === undefined ? (subscribing ?? '-') : publishing
}

function countText(count: number | undefined): string {
  return count === undefined ? '-' : formatCount(count)
}

const SCOPE: Columns = [
  ['scope', text('path')],
  ['role', text('role')],
  ['leader', (row) => leaderCell(fieldOf(row, 'leader'))],
  ['state', text('state')],
  ['epoch', text('epoch')],
]

const LINK: Columns = [
  ['follows', (row) => leaderCell(fieldOf(row, 'url'))],
  ['state', (row) => stateText(row)],
  ['cursor', text('cursor')],
  ['behind', behindText],
  ['outbox', (row) => outboxText(row)],
]

const FOLLOWER: Columns = [
  ['follower', text('name')],
  ['address', text('address')],
  ['id', text('id')],
  ['cursor', text('cursor')],
  ['behind', behindText],
]

const TRAFFIC: Columns = [
  ['in', (row) => bytesText(numberOf(fieldOf(row, 'traffic'), 'bytesIn'))],
  ['out', (row) => bytesText(numberOf(fieldOf(row, 'traffic'), 'bytesOut'))],
]

function table(rows: readonly unknown[], columns: Columns): string {
  if (rows.length === 0) return ''
  const cells = rows.map((row) => columns.map(([, cell]) => cell(row)))
  return formatTable(
    columns.map(([head]) => head),
    cells,
  )
}

/** An address, or that there is nobody to have one. */
function leaderCell(url: unknown): string {
  return cellText(typeof url === 'string' ? leaderText(url) : url)
}

/** Followers that deletions are kept for and that are not connected. */
function away(status: unknown): unknown[] {
  const connected = new Set(rowsOf(status, 'followers').map((row) => fieldOf(row, 'id')))
  return rowsOf(status, 'registered').filter((row) => !connected.has(fieldOf(row, 'id')))
}

function refusals(status: unknown, nowMs: number): string {
  const refusals = fieldOf(status, 'refusals')
  const counts = fieldOf(refusals, 'counts')
  if (typeof counts !== 'object' || counts === null || Object.keys(counts).length === 0) return ''
  const summary = Object.entries(counts).map(([code, count]) => `${code} ${cellText(count)}`)
  const lines = rowsOf(refusals, 'latest')
    .slice(0, MAX_REFUSALS)
    .map((row) => {
      const [peer, code, reason] = ['peer', 'code', 'reason'].map((name) => text(name)(row))
      return `  ${agoText(numberOf(row, 'atMs'), nowMs)}, ${peer}: ${code}: ${reason}\n`
    })
  return `refused: ${summary.join(', ')}\n${lines.join('')}`
}

/** A state, and how far a comparison has come. */
function stateText(row: unknown): string {
  const comparison = fieldOf(row, 'comparison')
  const state = text('state')(row)
  if (state !== 'comparing' || comparison === undefined) return state
  const [done, sets, received] = ['done', 'sets', 'received'].map((name) =>
    numberOf(comparison, name),
  )
  if (done === undefined || sets === undefined || received === undefined) return state
  return `comparing ${done}/${sets}, ${plural(received, 'record')}`
}

function behindText(row: unknown): string {
  const rows = numberOf(row, 'lagRows')
  const ms = numberOf(row, 'lagMs')
  if (rows === undefined) return '-'
  if (ms === undefined || (rows === 0 && ms === 0)) return formatCount(rows)
  return `${formatCount(rows)}, ${durationText(ms)}`
}

function outboxText(row: unknown): string {
  const rows = numberOf(row, 'outbox')
  const ms = numberOf(row, 'outboxAgeMs')
  if (rows === undefined) return '-'
  return ms === undefined ? formatCount(rows) : `${formatCount(rows)}, ${durationText(ms)}`
}

/** How long a leader may go on deciding without another renewal, as it says itself. */
function untilText(row: unknown): string {
  if (fieldOf(row, 'state') !== 'leader') return '-'
  const ms = numberOf(row, 'validForMs')
  return ms === undefined || ms === 0 ? '-' : `${durationText(ms)} from now`
}

function bytesText(bytes: number | undefined): string {
  return bytes === undefined ? '-' : formatBytes(bytes)
}

function offsetText(ms: number | undefined): string {
  if (ms === undefined) return '-'
  return ms === 0 ? 'own' : `${ms > 0 ? '+' : '-'}${durationText(Math.abs(ms))}`
}

function agoText(atMs: number | undefined, nowMs: number): string {
  return atMs === undefined || atMs === 0 ? '-' : `${durationText(Math.max(0, nowMs - atMs))} ago`
}

/** `340 ms`, `12 s`, `5 min`, `3 h`, `9 d`: the largest unit that is reached twice, or once exactly. */
export function durationText(ms: number): string {
  const units = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['min', 60_000],
    ['s', 1000],
  ] as const
  for (const [unit, size] of units) {
    if (ms >= 2 * size || ms === size) return `${Math.floor(ms / size)} ${unit}`
  }
  return `${Math.round(ms)} ms`
}

function text(name: string): (row: unknown) => string {
  return (row) => cellText(fieldOf(row, name))
}

/** The rows of a list in an answer; none when there is no such list. */
export function rowsOf(status: unknown, name: string): unknown[] {
  const rows = fieldOf(status, name)
  return Array.isArray(rows) ? rows : []
}

function numberOf(row: unknown, name: string): number | undefined {
  const value = fieldOf(row, name)
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}

/** A field of an answer; undefined when there is none. */
export function fieldOf(row: unknown, name: string): unknown {
  return typeof row === 'object' && row !== null
    ? (row as Readonly<Record<string, unknown>>)[name]
    : undefined
}

/** A cell of text; a position in a log is an object of epoch and seq, of which seq tells more. */
export function cellText(value: unknown): string {
  if (value === undefined || value === null || value === '') return '-'
  if (typeof value !== 'object') return String(value).replace(/\p{Cc}/gu, ' ')
  const seq = fieldOf(value, 'seq')
  return seq === undefined ? JSON.stringify(value) : String(seq)
}
