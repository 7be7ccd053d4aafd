/**
 * Reads the jsonl form of a backup. A line that is no record is told with its number and position, and
 * the others are read; what changed inside a line that is still a record shows at the end, by the digest.
 */
import type { StoredRecord } from '../src/core/entry.ts'
import { isStateError } from '../src/core/errors.ts'
import { type BackupEvent, damageEvent, type ReadBackupOptions } from './backup-event.ts'
import { type BackupTotals, decodeHeader, decodeTotals } from './backup-header.ts'
import { TotalsCounter } from './backup-totals.ts'
import type { ByteSource, Line } from './byte-source.ts'
import { decodeRecordLine, reasonOf } from './record-line.ts'

/** Records and bytes after which a page of records is given on. */
const PAGE_RECORDS = 1000
const PAGE_BYTES = 1024 * 1024

const LINE_FEED = 10
const decoder = new TextDecoder('utf-8', { fatal: true })

interface Page {
  readonly records: StoredRecord[]
  bytes: number
  readonly position: number
}

/** What is known while reading. */
interface Reading {
  readonly counter: TotalsCounter
  readonly options: Required<ReadBackupOptions>
  /** Lines so far. */
  lines: number
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
    damaged: false,
    endIsNews: !options.partial,
    totals: undefined,
  }
  let page: Page = { records: [], bytes: 0, position: source.position }
  for await (const event of lineEvents(source, reading)) {
    if (event.type === 'records') {
      page.records.push(...event.records)
      page.bytes = source.position - page.position
      if (page.records.length < PAGE_RECORDS && page.bytes < PAGE_BYTES) continue
    }
    if (page.records.length > 0) {
      yield { type: 'records', position: page.position, records: page.records }
    }
    page = { records: [], bytes: 0, position: source.position }
    if (event.type !== 'records') yield event
  }
  if (page.records.length > 0) {
    yield { type: 'records', position: page.position, records: page.records }
  }
  yield* readEnd(source.position, reading)
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
    if (/^\r?$/.test(line.bytes.subarray(0, 2).toString('latin1'))) continue
    if (reading.totals !== undefined) {
      reading.damaged = true
      yield damageEvent('changed', position, `more follows the end, at byte ${position}`)
      return
    }
    const event = readLine(line, position, reading)
    if (event.type === 'end') {
      reading.totals = event.totals
      continue
    }
    if (event.type === 'damage') {
      reading.damaged = true
      if (event.damage.kind !== 'changed') reading.endIsNews = false
    }
    if (event.type === 'records') count(event.records, line.bytes, reading.counter)
    yield event
  }
}

function count(records: readonly StoredRecord[], line: Buffer, counter: TotalsCounter): void {
  for (const record of records) counter.addRecord(record)
  counter.addBytes(line)
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
      return reading.lines === 1
        ? { type: 'header', format: 'jsonl', header: decodeHeader(text) }
        : { type: 'end', totals: decodeTotals(text) }
    }
    if (reading.lines === 1 && !partial) {
      const wanted = 'its first line is not the header of a backup ({"ooo":"backup",…})'
      return damageEvent('wrong_file', position, `this is no backup: ${wanted}`)
    }
    return { type: 'records', position, records: [decodeRecordLine(text)] }
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
