/** Waiting for a condition under a deadline: what tests use in place of fixed sleeps. */

import { setTimeout as delay } from 'node:timers/promises'

export interface WaitOptions {
  /** Milliseconds after which the wait fails; long, since a slow machine is no failure. Default 30,000. */
  readonly deadlineMs?: number
  /** What is awaited, for the failure's text. Default "the condition". */
  readonly what?: string
  /** Milliseconds between two looks. Default 10. */
  readonly intervalMs?: number
}

/**
 * Asks `condition` again and again until it answers something truthy, and gives that answer. An
 * error it throws counts as "not yet". At the deadline it throws, naming what was awaited and the last answer or error.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  options: WaitOptions = {},
): Promise<Exclude<T, false | null | undefined | 0 | ''>> {
  const deadlineMs = options.deadlineMs ?? 30_000
  const start = performance.now()
  let last: unknown
  do {
    try {
      const value = await within(condition, deadlineMs - (performance.now() - start))
      if (value) return value as Exclude<T, false | null | undefined | 0 | ''>
      last = value
    } catch (error) {
      last = error
    }
    await delay(options.intervalMs ?? 10)
  } while (performance.now() - start < deadlineMs)
  throw new Error(
    `waited ${deadlineMs} ms for ${options.what ?? 'the condition'}; last seen: ${show(last)}`,
    last instanceof Error ? { cause: last } : undefined,
  )
}

/** Waits until `read` answers exactly `expected`, compared as JSON; gives it back. */
export async function waitForValue<T>(
  read: () => T | Promise<T>,
  expected: T,
  options: WaitOptions = {},
): Promise<T> {
  let last: T | undefined
  try {
    await waitFor(async () => {
      last = await read()
      return JSON.stringify(last) === JSON.stringify(expected)
    }, options)
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    throw new Error(`${text}; expected ${show(expected)}; last value ${show(last)}`, {
      cause: error,
    })
  }
  return expected
}

/** One look, given up when the deadline passes during it. */
async function within<T>(condition: () => T | Promise<T>, ms: number): Promise<T> {
  const look = condition()
  if (!(look instanceof Promise)) return look
  const stop = new AbortController()
  const late = delay(Math.max(ms, 1), undefined, { signal: stop.signal }).then(
    () => {
      throw new Error('the last look did not answer in time')
    },
    () => look,
  )
  try {
    return await Promise.race([look, late])
  } finally {
    stop.abort()
    late.catch(() => undefined)
  }
}

function show(value: unknown): string {
  if (value instanceof Error) return `${value.name}: ${value.message}`
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  if (text === undefined) return String(value)
  return text.length > 600 ? `${text.slice(0, 600)}… (${text.length} characters)` : text
}
