/**
 * How long a link waits before it dials again when this node could not store what came: at each failure in a
 * row twice as long, since a full disk does not clear by itself and all that was sent is sent again.
 */
import type { ErrorCode } from '../../src/core/errors.ts'
import { withRetryHint } from '../../src/core/retry-hint.ts'
import { refusalKind } from '../members/token.ts'

/** Delay after the first failure, and the longest, milliseconds. */
const FIRST_MS = 1000
const LONGEST_MS = 30_000
/** What of a storage's message fits beside the rest. */
const MAX_TEXT = 60

/** What of any other reason is told to the leader. */
const MAX_REASON = 100

/** How a leader asks its followers to wait while it can not store what they push, milliseconds. */
export const LEADER_STORAGE_RETRY_MS = 15_000

/** Of rows that stay in the outbox, since the leader has no scope for them. */
export const NOT_REPLICATED = 'the leader does not replicate some of what is written here'

const OWN = 'this node can not store'

export class LinkPatience {
  #failures = 0

  /** A durable step was done. */
  stored(): void {
    this.#failures = 0
  }

  /** The link can not go on. @returns the reason with which it is dropped, which may say how long it waits. */
  failed(code: ErrorCode, text: string): string {
    if (code !== 'storage_failed' && code !== 'storage_full') return text.slice(0, MAX_REASON)
    const delayMs = Math.min(FIRST_MS * 2 ** this.#failures, LONGEST_MS)
    this.#failures++
    return withRetryHint(`${OWN}: ${text.slice(0, MAX_TEXT)}`, delayMs)
  }
}

/** What is said in the log when the link is down for this reason. */
export function downText(reason: string): string {
  if (reason.startsWith(OWN)) return 'this node can not store what its leader sends; the link waits'
  const kind = refusalKind(reason)
  if (kind === undefined) return 'leader out of reach; serving and taking writes locally'
  const what = kind === 'token' ? 'the cluster token of this node' : 'this node'
  return `leader refuses ${what}; serving and taking writes locally`
}

/** How a leader tells a follower that it can not store what was pushed. */
export function leaderCannotStore(text: string): string {
  return withRetryHint(
    `the leader can not store: ${text.slice(0, MAX_TEXT)}`,
    LEADER_STORAGE_RETRY_MS,
  )
}
