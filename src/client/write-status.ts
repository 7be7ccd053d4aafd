/** What a server tells of the status of a write. */
import { StateError } from '../core/errors.ts'
import type { RestRequest } from './rest.ts'

/** Which node's write, and its stamp. */
export interface WriteVersion {
  /** Id of the node that took it. */
  readonly origin: string
  /** Nanoseconds since the Unix epoch. */
  readonly version: bigint
}

const STATES = ['local', 'leader', 'replicated', 'refused', 'unknown'] as const

export interface WriteStatus {
  readonly id: string
  readonly key: string
  readonly version: bigint
  /**
   * `local`: durable at the node that took it. `leader`: merged by the leader of the key. `replicated`: held
   * by every connected follower of the leader too. `refused`: the leader refused it for good, and no server holds
   * it. `unknown`: the server does not know it, or no longer.
   */
  readonly state: (typeof STATES)[number]
  /** Other nodes that hold it, or what replaced it. */
  readonly replicas: number
  /** A majority of the voters holds it, or what replaced it, and its elected leader may decide. */
  readonly majority?: true
  /** Of a refused one, code of the error, such as `too_large`. */
  readonly refusedFor?: string
  /** What replaced it. */
  readonly overriddenBy?: WriteVersion
}

export interface WriteStatusOptions {
  /** Aborting it rejects the call with the signal's reason. */
  readonly signal?: AbortSignal | undefined
  /**
   * Resolves when the leader has it, all its followers, a majority of the voters, or so many other nodes.
   * Default: at once.
   */
  readonly until?: 'leader' | 'replicated' | 'majority' | number | undefined
  /** Milliseconds to wait for that; then it is told as it is. Default 5000, at most 60 000. */
  readonly timeoutMs?: number | undefined
}

/** The request for a status. */
export function statusRequest(
  id: string,
  key: string,
  { signal, until, timeoutMs = 5000 }: WriteStatusOptions,
): RestRequest {
  const wait = until === undefined ? {} : { until: String(until), timeoutMs: String(timeoutMs) }
  return {
    method: 'GET',
    key: `-/writes/${id}`,
    query: { key, ...wait },
    signal,
    isRepeatable: true,
    extraMs: until === undefined ? 0 : timeoutMs,
  }
}

/** @throws StateError `invalid_message` for an answer of another shape. */
export function statusOfAnswer(answer: unknown): WriteStatus {
  const fields = fieldsOf(answer)
  const { id, key, state, replicas, majority, refusedFor, overriddenBy } = fields
  const known = STATES.find((name) => name === state)
  if (known === undefined || typeof id !== 'string' || typeof key !== 'string') throw wrong()
  if (typeof replicas !== 'number') throw wrong()
  const winner = overriddenBy === undefined ? undefined : fieldsOf(overriddenBy)
  return {
    id,
    key,
    version: versionIn(fields),
    state: known,
    replicas,
    ...(majority === true ? { majority } : {}),
    ...(typeof refusedFor === 'string' ? { refusedFor } : {}),
    ...(winner === undefined
      ? {}
      : { overriddenBy: { origin: String(winner.origin), version: versionIn(winner) } }),
  }
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null) return value as Readonly<Record<string, unknown>>
  throw wrong()
}

function versionIn({ version }: Readonly<Record<string, unknown>>): bigint {
  if (typeof version === 'string' && /^\d{1,19}$/.test(version)) return BigInt(version)
  throw wrong()
}

function wrong(): StateError {
  return new StateError('invalid_message', 'the answer does not tell the status of a write')
}
