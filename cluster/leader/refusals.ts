/** Why streams of replication were refused or ended by this node: counted by code, the latest kept. */
import { ERROR_TABLE, type ErrorCode, errorText, isStateError } from '../../src/core/errors.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import { NS_PER_MS, type TimeSource } from '../../src/core/ports/time.ts'

/** One refusal, for people. */
export interface Refusal {
  readonly code: ErrorCode
  /** What was refused, its value and the limit. */
  readonly reason: string
  /** Remote address of a follower, or URL of a leader. */
  readonly peer: string
  /** Milliseconds since the Unix epoch. */
  readonly atMs: number
}

export interface RefusalReport {
  readonly total: number
  /** Codes that occurred, with how often since the node started. */
  readonly counts: Readonly<Partial<Record<ErrorCode, number>>>
  /** The latest ones, newest first. */
  readonly latest: readonly Refusal[]
}

/** Refusals shown to people; older ones are only counted. */
const MAX_LATEST = 20
/** A peer decides about part of a reason's text. */
const MAX_REASON = 200

export class Refusals {
  readonly #time: TimeSource
  readonly #counts = new Map<ErrorCode, number>()
  readonly #latest: Refusal[] = []
  #total = 0

  constructor(time: TimeSource) {
    this.#time = time
  }

  add(code: ErrorCode, reason: string, peer: string): void {
    this.#total++
    this.#counts.set(code, (this.#counts.get(code) ?? 0) + 1)
    const atMs = Number(this.#time.wallNs() / NS_PER_MS)
    this.#latest.unshift({ code, reason: reason.slice(0, MAX_REASON), peer, atMs })
    if (this.#latest.length > MAX_LATEST) this.#latest.pop()
  }

  report(): RefusalReport {
    return {
      total: this.#total,
      counts: Object.fromEntries(this.#counts),
      latest: [...this.#latest],
    }
  }
}

/** What a peer is told of an error that its message led to; one that nobody foresaw is for the log only. */
export function refusalText(error: unknown, logger: Logger): string {
  if (isStateError(error)) return error.clientText
  logger.error('a message of a peer could not be handled', { error: errorText(error) })
  return 'stream: the message could not be handled'
}

/** The error a WebSocket close code stands for; undefined for codes that are no refusal. */
export function refusalOfClose(code: number, reason: string): ErrorCode | undefined {
  if (code === 1009 || reason === 'Max payload size exceeded') return 'too_large'
  if (code === 1007 || reason.startsWith('Invalid WebSocket frame')) return 'invalid_message'
  return REFUSALS.get(code)
}

/** Codes with which a stream is ended because of what the peer did, by their close code. */
const REFUSALS: ReadonlyMap<number, ErrorCode> = new Map(
  (
    [
      'invalid_message',
      'out_of_order',
      'unauthorized',
      'too_large',
      'deadline',
      'overloaded',
      'slow_consumer',
      'clock_drift',
      'duplicate_node',
    ] as const
  ).map((code) => [ERROR_TABLE[code].closeCode, code]),
)
