/** Waiting with an end. */
import type { PostgresTime } from './options.ts'

/** Resolves after `delayMs` milliseconds, or as soon as `signal` is aborted; never rejects. */
export function pause(time: PostgresTime, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      cancel()
      signal.removeEventListener('abort', done)
      resolve()
    }
    const cancel = time.after(delayMs, done)
    signal.addEventListener('abort', done)
    if (signal.aborted) done()
  })
}

/** Resolves when `work` settles, whatever comes of it, and after `limitMs` milliseconds at the latest. */
export async function atMost(
  time: PostgresTime,
  limitMs: number,
  work: Promise<unknown>,
): Promise<void> {
  const settled = new AbortController()
  const quiet = work.then(
    () => undefined,
    () => undefined,
  )
  await Promise.race([quiet, pause(time, limitMs, settled.signal)])
  settled.abort()
}
