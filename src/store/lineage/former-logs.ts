/**
 * Logs that what this node holds comes from, of a node that was made from a backup: it has held all that was in such
 * a log up to its end. What it does not hold of that now was deleted since, or before the backup, whatever tombstones
 * are left. That tells a leader that was restored from one whose disk was lost: that one has no such row.
 */

import type { KnownPlace } from '../../core/wire/known.ts'
import type { LogPosition } from '../../core/wire/protocol.ts'
import { isOnLog } from '../log/epochs.ts'

export interface FormerLog {
  /** Its epochs, as in its meta row. */
  readonly epochs: string
  /** Seq with which it ended. */
  readonly head: number
  /** Tombstones up to this stamp had been removed from it, nanoseconds as integer text. */
  readonly forgotten: string
  /** Where the own log began. */
  readonly own: LogPosition
}

/** Meta row: a list as JSON, the latest first. */
export const FORMER_LOGS_ROW = 'former'

/** Logs that are kept. */
export const MAX_FORMER_LOGS = 8

export function readFormerLogs(store: { meta(name: string): string | undefined }): FormerLog[] {
  const stored = store.meta(FORMER_LOGS_ROW)
  return stored === undefined ? [] : (JSON.parse(stored) as FormerLog[])
}

/** Whether all that a peer holds with this place was in this log. */
export function isOnFormer({ epochs, head }: FormerLog, { place, seen }: KnownPlace): boolean {
  return isOnLog(epochs, head, place) && (seen === null || isOnLog(epochs, head, seen))
}
