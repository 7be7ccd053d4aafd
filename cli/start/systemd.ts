/**
 * A node in a unit of systemd. Its log lines are marked for the journal. Systemd is told that the node
 * serves, and then, at half the unit's WatchdogSec, that it is alive: a process that hangs is ended and
 * started again. Node can not write to the socket of systemd, a datagram socket, so the program
 * `systemd-notify` does; the unit needs Type=notify and NotifyAccess=all.
 */
import { execFile } from 'node:child_process'
import { fstatSync } from 'node:fs'
import { errorText } from '../../src/core/errors.ts'
import type { Logger } from '../../src/core/ports/logger.ts'

const STDERR = 2

/** Whether what this process writes to stderr goes to the journal, and nowhere else (systemd.exec(5)). */
export function writesToJournal(
  env: Readonly<Record<string, string | undefined>>,
  descriptor: number = STDERR,
): boolean {
  if (env.JOURNAL_STREAM === undefined) return false
  const { dev, ino } = fstatSync(descriptor, { bigint: true })
  return env.JOURNAL_STREAM === `${dev}:${ino}`
}

/** Milliseconds until a notice that was not taken is given up. */
const NOTICE_MS = 10_000

/**
 * Does nothing outside of such a unit. Failures are logged once.
 * @returns what ends it, telling systemd that the node stops
 */
export function notifySystemd(
  env: Readonly<Record<string, string | undefined>>,
  logger: Logger,
): () => void {
  if (env.NOTIFY_SOCKET === undefined) return () => undefined
  let hasFailed = false
  const notify = (notice: string): void => {
    execFile('systemd-notify', [notice], { env: { ...env }, timeout: NOTICE_MS }, (error) => {
      if (error !== null && !hasFailed) {
        logger.warn('systemd could not be told', { notice, error: errorText(error) })
      }
      hasFailed = error !== null
    })
  }
  notify('READY=1')
  const limitMs = Number(env.WATCHDOG_USEC ?? 0) / 1000
  // Half of it, as systemd advises (sd_watchdog_enabled).
  const timer = limitMs > 0 ? setInterval(() => notify('WATCHDOG=1'), limitMs / 2) : undefined
  timer?.unref()
  return () => {
    clearInterval(timer)
    notify('STOPPING=1')
  }
}
