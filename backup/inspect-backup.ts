/** Checks a whole backup and tells what it holds. */
import { versionOf } from '../src/core/data/entry.ts'
import { DEFAULT_JSON_BOUNDS } from '../src/core/json/bounds.ts'
import { DEFAULT_MAX_VALUE_BYTES, excessOf, refusedRecord } from '../src/core/records/check.ts'
import type { BackupDamage, BackupEvent } from './format/event.ts'
import type { BackupFormat, BackupHeader, BackupTotals } from './format/header.ts'

/** Records beyond the limits that are named. */
const MAX_EXCESS = 20

/** Damage told one by one; more is only counted. */
const MAX_DAMAGE = 50

export interface BackupReport {
  /** undefined when the header is damaged, or there is none. */
  readonly header: BackupHeader | undefined
  readonly format: BackupFormat | undefined
  /** Records that can be read. */
  readonly records: number
  readonly entries: number
  readonly tombstones: number
  /** First and last key that can be read. */
  readonly firstKey: string | undefined
  readonly lastKey: string | undefined
  /** Greatest stamp of a record that can be read, nanoseconds. */
  readonly newest: bigint
  /**
   * Records that are beyond the limits of what is written now: a running node leaves them out, a folder takes
   * them. The first 20, with the reason.
   */
  readonly excess: readonly string[]
  readonly excessCount: number
  /** The totals at its end; undefined when there is no end, or a damaged one. */
  readonly totals: BackupTotals | undefined
  /** What is damaged, in the order of the file: the first 50. Empty and with `totals`: it is whole. */
  readonly damage: readonly BackupDamage[]
  /** How many places are damaged. */
  readonly damageCount: number
}

const LIMITS = { maxValueBytes: DEFAULT_MAX_VALUE_BYTES, json: DEFAULT_JSON_BOUNDS }

/** Reads a backup to its end. @throws what `events` throws. */
export async function inspectBackup(
  events: AsyncIterable<BackupEvent>,
  onProgress?: (records: number) => void,
): Promise<BackupReport> {
  const report = {
    header: undefined as BackupHeader | undefined,
    format: undefined as BackupFormat | undefined,
    records: 0,
    entries: 0,
    tombstones: 0,
    firstKey: undefined as string | undefined,
    lastKey: undefined as string | undefined,
    newest: 0n,
    excess: [] as string[],
    excessCount: 0,
    totals: undefined as BackupTotals | undefined,
    damage: [] as BackupDamage[],
    damageCount: 0,
  }
  for await (const event of events) {
    if (event.type === 'header') {
      report.header = event.header
      report.format = event.format
    } else if (event.type === 'end') {
      report.totals = event.totals
    } else if (event.type === 'damage') {
      report.damageCount += 1
      if (report.damage.length < MAX_DAMAGE) report.damage.push(event.damage)
    } else {
      for (const record of event.records) {
        report.records += 1
        if (record.kind === 'entry') report.entries += 1
        else report.tombstones += 1
        const version = versionOf(record)
        if (version > report.newest) report.newest = version
        const excess = excessOf(record, undefined, LIMITS)
        if (excess === undefined) continue
        report.excessCount += 1
        const { message } = refusedRecord(record.key, excess)
        if (report.excess.length < MAX_EXCESS) report.excess.push(message.replace('storage: ', ''))
      }
      report.firstKey ??= event.records[0]?.key
      report.lastKey = event.records.at(-1)?.key ?? report.lastKey
      onProgress?.(report.records)
    }
  }
  return report
}
