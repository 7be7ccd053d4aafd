/**
 * How a server tells a client when to come back: at the end of the reason of a close frame, and in the
 * headers of a refused request. It spreads many clients that were lost or refused at once.
 */

/** A header as Node or `fetch` give it. */
type HeaderValue = string | readonly string[] | null | undefined

/** Longest delay that a client takes from a server, milliseconds. */
export const MAX_RETRY_HINT_MS = 300_000

/** Header with the delay in whole milliseconds, beside `Retry-After` in whole seconds (RFC 9110, 10.2.3). */
export const RETRY_AFTER_MS_HEADER = 'ooo-retry-after-ms'

/** The reason with the delay at its end: `server is closing; retry in 1234 ms`. */
export function withRetryHint(reason: string, delayMs: number): string {
  return `${reason}; retry in ${wholeMs(delayMs)} ms`
}

/** Milliseconds that the end of a reason asks to wait, at most `MAX_RETRY_HINT_MS`; undefined when it asks for nothing. */
export function retryHintMs(reason: string): number | undefined {
  return bounded(/; retry in (\d{1,12}) ms$/.exec(reason)?.[1])
}

/** Headers of an answer that asks to come back after `delayMs`; seconds are rounded up, and at least 1. */
export function retryHeaders(delayMs: number): Readonly<Record<string, string>> {
  const ms = wholeMs(delayMs)
  return {
    'Retry-After': String(Math.max(1, Math.ceil(ms / 1000))),
    [RETRY_AFTER_MS_HEADER]: String(ms),
  }
}

/**
 * Milliseconds that the headers of an answer ask to wait, at most `MAX_RETRY_HINT_MS`; undefined when they
 * ask for nothing. A date in `Retry-After` is not understood: the clocks may differ.
 * @param header the value of a header by its lower-case name
 */
export function retryHintOfHeaders(header: (name: string) => HeaderValue): number | undefined {
  const ms = bounded(matched(/^\d{1,12}$/, header(RETRY_AFTER_MS_HEADER)))
  if (ms !== undefined) return ms
  const seconds = matched(/^\d{1,9}$/, header('retry-after'))
  return seconds === undefined ? undefined : bounded(`${seconds}000`)
}

/** The reason of a connection that ended because its handshake was answered by `status`, with the delay asked for. */
export function refusedHandshake(
  status: number | undefined,
  header: (name: string) => HeaderValue,
): string {
  const reason = `Unexpected server response: ${status}`
  const delayMs = retryHintOfHeaders(header)
  return delayMs === undefined ? reason : withRetryHint(reason, delayMs)
}

function matched(pattern: RegExp, value: HeaderValue): string | undefined {
  return typeof value === 'string' ? pattern.exec(value.trim())?.[0] : undefined
}

function bounded(digits: string | undefined): number | undefined {
  return digits === undefined ? undefined : Math.min(Number(digits), MAX_RETRY_HINT_MS)
}

function wholeMs(delayMs: number): number {
  return Math.max(0, Math.ceil(delayMs))
}
