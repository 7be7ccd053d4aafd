/** What all clients of a node together may make it hold, by the heap that it has. */
import { getHeapStatistics } from 'node:v8'
import { DEFAULT_JSON_BOUNDS, type JsonBounds } from '../../core/json/bounds.ts'
import type { BodyLimits } from '../exchange/request-bodies.ts'

/** Bytes, but for the two of JSON. */
export interface MemoryLimits {
  readonly maxBodiesBytes: number
  readonly maxAnswerBytes: number
  readonly maxUnreadBytes: number
  readonly maxPoolBytes: number
  readonly maxJsonDepth: number
  readonly maxJsonMembers: number
}

/** Gauges of this moment, and counters since the server opened. */
export interface MemoryMetrics {
  /** Bytes of the bodies of requests under way. */
  readonly bodiesBytes: number
  /** Bodies refused because others held too much. */
  readonly bodiesRefused: number
  /** Bytes of answers that clients have not taken. */
  readonly answerBytes: number
  /** Connections cut since their clients took nothing while others waited for room. */
  readonly answersCut: number
  /** Long lists that are being sent. */
  readonly listsSent: number
  /** Writes that are waited for. */
  readonly waiters: number
}

const MIB = 1024 * 1024
/** Of the heap, for one member that is let in. */
const BYTES_PER_MEMBER = 120
const LEAST_MEMBERS = 500_000
const LEAST_SHARE = 16 * MIB
const GREATEST_SHARE = 256 * MIB

/** Those given, and the defaults of the others. @param heapBytes limit of this process's heap */
export function memoryLimits(
  given: Partial<MemoryLimits>,
  heapBytes: number = getHeapStatistics().heap_size_limit,
): MemoryLimits {
  const share = Math.floor(Math.min(GREATEST_SHARE, Math.max(LEAST_SHARE, heapBytes / 4)))
  return {
    maxBodiesBytes: given.maxBodiesBytes ?? share,
    maxAnswerBytes: given.maxAnswerBytes ?? share,
    maxUnreadBytes: given.maxUnreadBytes ?? share,
    maxPoolBytes: given.maxPoolBytes ?? Math.floor(share / 2),
    maxJsonDepth: given.maxJsonDepth ?? DEFAULT_JSON_BOUNDS.maxDepth,
    maxJsonMembers: given.maxJsonMembers ?? membersFor(heapBytes),
  }
}

/** So many that the dearest value, parsed, takes about half of the heap. */
function membersFor(heapBytes: number): number {
  const count = Math.floor(heapBytes / BYTES_PER_MEMBER)
  return Math.min(DEFAULT_JSON_BOUNDS.maxMembers, Math.max(LEAST_MEMBERS, count))
}

/** What values may be. */
export function jsonBoundsOf(
  options: Pick<MemoryLimits, 'maxJsonDepth' | 'maxJsonMembers'>,
): JsonBounds {
  return { maxDepth: options.maxJsonDepth, maxMembers: options.maxJsonMembers }
}

/** What concerns the bodies of requests. */
export function bodyLimitsOf(
  options: Pick<MemoryLimits, 'maxBodiesBytes' | 'maxJsonDepth' | 'maxJsonMembers'> & {
    readonly maxBodyBytes: number
  },
): BodyLimits {
  const { maxBodyBytes, maxBodiesBytes } = options
  return { maxBodyBytes, maxBodiesBytes, jsonBounds: jsonBoundsOf(options) }
}
