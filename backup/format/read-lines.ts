/**
 * Reads the jsonl form of a backup. A line that is no record, or does not match its checksum, is told with
 * its number and position, and the others are read; what changed in lines without one shows at the end, by
 * the digest.
 */
import type { StoredRecord } from '../../src/core/data/entry.ts'
import { isStateError } from '../../src/core/errors.ts'
import type { ByteSource, Line } from './byte-source.ts'
import { type BackupEvent, damageEvent, type ReadBackupOptions } from './event.ts'
import {
  BACKUP_FORMATS,
  type BackupTotals,
  decodeHeader,
  decodeTotals,
  formatOf,
} from './header.ts'
import { type RecordLine, readRecordLine, reasonOf } from './record-line.ts'
import { TotalsCounter } from './totals.ts'

/** Records and bytes after which a page of records is given on. */
const PAGE_RECORDS = 1000
const PAGE_BYTES = 1024 * 1024

const LINE_FEED = 10
/** White space of a line that counts as blank at most, bytes. */
const MAX_BLANK = 256
const UNSEALED = { isUnsealed: true } as const
const decoder = new TextDecoder('utf-8', { fatal: true })

interface Page {
  readonly records: StoredRecord[]
  bytes: number
  readonly position: number
  readonly isUnsealed: boolean
}

/** What is known while reading. */
interface Reading {
  readonly counter: TotalsCounter
  readonly options: Required<ReadBackupOptions>
  /** Lines so far, blank ones too. */
  lines: number
  /** A line was met that is not blank. */
  hasBegun: boolean
  /** Layout that the header names. */
  format: number
  damaged: boolean
  /** A missing end is to be told: nothing that was told says so already. */
  endIsNews: boolean
  totals: BackupTotals | undefined
}

/** @throws StateError `format_unsupported`. */
export async function* readLines(
  source: ByteSource,
  options: Required<ReadBackupOptions>,
): AsyncGenerator<BackupEvent, void, undefined> {
  const reading: Reading = {
    counter: new TotalsCounter(),
    options,
    lines: 0,
    hasBegun: false,
    format: BACKUP_FORMATS.jsonl,
    damaged: false,
    endIsNews: !options.partial,
    totals: undefined,
  }
  const newPage = (isUnsealed: boolean, { position }: { position: number } = source): Page => {
    return { records: [], bytes: 0, position, isUnsealed }
  }
  let page = newPage(false)
  for await (const event of lineEvents(source, reading)) {
    if (event.type !== 'records') {
      yield* ended(page)
      page = newPage(page.isUnsealed)
      yield event
      continue
    }
    const isUnsealed = event.isUnsealed === true
    if (isUnsealed !== page.isUnsealed) {
      yield* ended(page)
      page = newPage(isUnsealed, event)
    }
    page.records.push(...event.records)
    page.bytes = source.position - page.position
    if (page.records.length < PAGE_RECORDS && page.bytes < PAGE_BYTES) continue
    yield* ended(page)
    page = newPage(isUnsealed)
  }
  yield* ended(page)
  yield* readEnd(source.position, reading)
}

function* ended({ records, position, isUnsealed }: Page): Generator<BackupEvent, void, undefined> {
  if (records.length === 0) return
  yield { type: 'records', position, records, ...(isUnsealed ? { isUnsealed } : {}) }
}

/** What each line is; the totals are kept for the end, so that all damage is told before. */
async function* lineEvents(
  source: ByteSource,
  reading: Reading,
): AsyncGenerator<BackupEvent, void, undefined> {
  while (true) {
    const { position } = source
    const line = await source.takeLine(LINE_FEED, reading.options.maxBlockBytes)
    if (line === undefined) return
    reading.lines += 1
    if (isBlank(line.bytes)) continue
    if (reading.totals !== undefined) {
      reading.damaged = true
      yield damageEvent('changed', position, `more follows the end, at byte ${position}`)
      return
    }
    const event = readLine(line, position, reading)
    reading.hasBegun = true
    if (event.type === 'end') {
      reading.totals = event.totals
      continue
    }
    if (event.type === 'damage') {
      reading.damaged = true
      if (event.damage.kind !== 'changed') reading.endIsNews = false
    }
    yield event
  }
}

function isBlank(line: Buffer): boolean {
  return line.length <= MAX_BLANK && /^[ \t]*\r?$/.test(line.toString('latin1'))
}

/** The digest of the end is that of the lines without their checksums, as in the binary form. */
function count({ record, plain }: RecordLine, line: Buffer, counter: TotalsCounter): void {
  counter.addRecord(record)
  counter.addBytes(plain === undefined ? line : Buffer.from(plain))
  counter.addBytes(LINE_END)
}

const LINE_END = Uint8Array.of(LINE_FEED)

function readLine({ bytes, whole }: Line, position: number, reading: Reading): BackupEvent {
  const { maxBlockBytes, partial } = reading.options
  const where = `line ${reading.lines} at byte ${position}`
  if (bytes.length > maxBlockBytes) {
    return damageEvent('changed', position, `${where} passes ${maxBlockBytes} bytes`)
  }
  try {
    const text = decoder.decode(bytes)
    if (/^\{\s*"ooo"/.test(text)) {
      if (reading.hasBegun) return { type: 'end', totals: decodeTotals(text) }
      reading.format = formatOf(text)
      return { type: 'header', format: 'jsonl', header: decodeHeader(text) }
    }
    if (!reading.hasBegun && !partial) {
      const wanted = 'its first line is not the header of a backup ({"ooo":"backup",…})'
      return damageEvent('wrong_file', position, `this is no backup: ${wanted}`)
    }
    // Lines of before had no checksums, and are what an earlier release wrote.
    const standIn = reading.format < BACKUP_FORMATS.jsonl
    const line = readRecordLine(text, { standIn })
    count(line, bytes, reading.counter)
    const isUnsealed = line.plain === undefined
    return { type: 'records', position, records: [line.record], ...(isUnsealed ? UNSEALED : {}) }
  } catch (error) {
    if (isStateError(error, 'format_unsupported')) throw error
    if (!whole && !partial) {
      const end = position + bytes.length
      const text = `the file is cut off at byte ${end}: line ${reading.lines} is not whole`
      return damageEvent('truncated', end, text)
    }
    return damageEvent('changed', position, `${where} is no record: ${reasonOf(error)}`)
  }
}

/** The end is last, so that whoever hears of it has heard of all damage. */
function* readEnd(
  position: number,
  { totals, counter, damaged, endIsNews, options }: Reading,
): Generator<BackupEvent, void, undefined> {
  if (totals === undefined) {
    if (!endIsNews) return
    const text = `the file is cut off at byte ${position}: the end is missing`
    yield damageEvent('truncated', position, text)
    return
  }
  const found = counter.totals()
  const differs = found.records !== totals.records || found.digest !== totals.digest
  if (differs && !damaged && !options.partial) {
    const sides = `the end names ${totals.records} records with digest ${totals.digest}, the lines are ${found.records} with ${found.digest}`
    yield damageEvent('changed', position, `lines were added, lost or changed: ${sides}`)
  }
  yield { type: 'end', totals }
}
