/**
 * What has become of a write, told from what is stored: the key's present record, whether it is pending for
 * a leader, and how far followers have got. Nothing is remembered per write, so any may be asked after.
 */
import { marksOf, type StoredRecord, versionOf, wasOf } from '../../core/data/entry.ts'
import { compareUnder } from '../../core/data/merge.ts'
import { isOriginOf } from '../../core/data/origin.ts'
import type { Holders } from '../contract/replication.ts'
import { formatWriteId, type WriteId } from '../contract/write-id.ts'

/**
 * - `local`: durable at the node that took it, and not known to be at the leader of its key.
 * - `leader`: the leader has merged it.
 * - `replicated`: every connected follower of the leader holds it too, at least one other node in all.
 * - `refused`: the leader refused it for good; no node holds it.
 * - `unknown`: this node holds an older state of the key, or none any more.
 */
export type WriteState = 'local' | 'leader' | 'replicated' | 'refused' | 'unknown'

export interface WriteStatus {
  readonly id: WriteId
  readonly key: string
  readonly state: WriteState
  /** Other nodes than the one that took it which hold it, or what replaced it: leader, and its followers. */
  readonly replicas: number
  /** A majority of the voters holds it, or what replaced it, and its leader may decide. */
  readonly isMajority: boolean
  /** Where a majority was asked for and is not there: voters that do not hold it, and why. */
  readonly unconfirmed?: string | undefined
  /** Of a refused one, code of the error. */
  readonly refusedFor?: string | undefined
  /** What replaced it; `state` and `replicas` are then those of that. */
  readonly overriddenBy?: WriteId | undefined
}

/** How the write stands in the store of one node. */
export type Standing = Pick<WriteStatus, 'overriddenBy'> & { readonly isKnown: boolean }

export function standingOf(id: WriteId, record: StoredRecord | undefined): Standing {
  if (record === undefined) return { isKnown: false }
  const version = versionOf(record)
  const isHeld = record.origin === id.origin && version === id.version
  if (isHeld || wasOf(record)?.split(',').includes(`${id.version}@${id.origin}`) === true) {
    return { isKnown: true }
  }
  // What replaced it is greater in the order of all changes; whether it was a delete can not matter.
  const isLater = compareUnder(marksOf(record), record, asRecord(id, record)) > 0
  if (!isLater) return { isKnown: false }
  return { isKnown: true, overriddenBy: { origin: record.origin, version } }
}

function asRecord({ origin, version }: WriteId, like: StoredRecord): StoredRecord {
  return like.kind === 'tombstone'
    ? { ...like, origin, deleted: version }
    : { ...like, origin, created: version, updated: 0n }
}

/** The status of a known write at the leader of its key. */
export function statusAtLeader(
  id: WriteId,
  key: string,
  standing: Standing,
  { holding, following, isMajority, unconfirmed }: Holders,
  leaderId: string,
): WriteStatus {
  const replicas = holding + (isOriginOf(leaderId, id.origin) ? 0 : 1)
  const isEverywhere = holding === following && replicas > 0
  return {
    id,
    key,
    state: isEverywhere ? 'replicated' : 'leader',
    replicas,
    isMajority,
    unconfirmed,
    overriddenBy: standing.overriddenBy,
  }
}

/** Whether nothing more can be told of it. */
export function isFinal({ state, overriddenBy }: WriteStatus): boolean {
  const isOver = state === 'replicated' || state === 'refused' || state === 'unknown'
  return isOver || overriddenBy !== undefined
}

/** The JSON of a status for who waits for a majority: with `"unconfirmed":"b (…), c (…)"` while there is none. */
export function statusForMajorityJson(status: WriteStatus): string {
  const { unconfirmed } = status
  if (unconfirmed === undefined) return statusJson(status)
  return `${statusJson(status).slice(0, -1)},"unconfirmed":${JSON.stringify(unconfirmed)}}`
}

/**
 * `{"id","key","version","state","replicas"[,"majority":true][,"refusedFor"][,"overriddenBy":{"version","origin"}]}`,
 * versions as text.
 */
export function statusJson(status: WriteStatus): string {
  const { id, key, state, replicas, isMajority, refusedFor, overriddenBy } = status
  return JSON.stringify({
    id: formatWriteId(id),
    key,
    version: String(id.version),
    state,
    replicas,
    ...(isMajority ? { majority: true } : {}),
    ...(refusedFor === undefined ? {} : { refusedFor }),
    ...(overriddenBy === undefined
      ? {}
      : {
          overriddenBy: { version: String(overriddenBy.version), origin: overriddenBy.origin },
        }),
  })
}

/** Longest text of voters that is told on, UTF-16 units. */
const MAX_UNCONFIRMED = 5000

/** Longest code of an error, UTF-16 units. */
const MAX_CODE = 100

const STATES: readonly WriteState[] = ['local', 'leader', 'replicated', 'refused', 'unknown']

/** Reads what another node said of a write; undefined when it is not understood. */
export function parseWriteStatus(id: WriteId, key: string, text: string): WriteStatus | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  const fields = value as Readonly<Record<string, unknown>>
  const { state, replicas, majority, overriddenBy, unconfirmed: lacking, refusedFor: code } = fields
  const known = STATES.find((name) => name === state)
  if (known === undefined || typeof replicas !== 'number' || !Number.isSafeInteger(replicas)) {
    return undefined
  }
  const isMajority = majority === true
  const unconfirmed = typeof lacking === 'string' ? lacking.slice(0, MAX_UNCONFIRMED) : undefined
  const winner = parseWinner(overriddenBy)
  const refusedFor = typeof code === 'string' ? code.slice(0, MAX_CODE) : undefined
  const reported = { id, key, state: known, replicas, isMajority, unconfirmed, refusedFor }
  return { ...reported, overriddenBy: winner }
}

function parseWinner(value: unknown): WriteId | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { version, origin } = value as Readonly<Record<string, unknown>>
  if (typeof version !== 'string' || !/^\d{1,19}$/.test(version)) return undefined
  return typeof origin === 'string' ? { version: BigInt(version), origin } : undefined
}
