/**
 * Reads the binary layout of `frame.ts`. After damage it looks for the next whole frame, so that one
 * damaged block costs that block only; every gap is told.
 */
import { promisify } from 'node:util'
import { brotliDecompress, crc32 } from 'node:zlib'
import type { StoredRecord } from '../../src/core/data/entry.ts'
import { isStateError } from '../../src/core/errors.ts'
import type { ByteSource } from './byte-source.ts'
import { type BackupEvent, damageEvent } from './event.ts'
import { decodeHead, type FrameHead, HEAD_BYTES, MARKER } from './frame.ts'
import { type BackupTotals, decodeHeader, decodeTotals } from './header.ts'
import { decodeRecordLine, reasonOf } from './record-line.ts'
import { TotalsCounter } from './totals.ts'

interface Frame {
  readonly head: FrameHead
  readonly position: number
  readonly payload: Buffer
}

/** What is known while reading. */
interface Reading {
  readonly counter: TotalsCounter
  readonly maxBlockBytes: number
  /** Number the next frame must have. */
  next: number
  /** Greatest key so far. */
  lastKey: string
  damaged: boolean
  /** A frame was lost, and its text has told so: a jump in the numbers is no news. */
  gapReported: boolean
  ended: boolean
}

/** @param source stands behind the magic. @throws StateError `format_unsupported`, `invalid_message`. */
export async function* readBlocks(
  source: ByteSource,
  maxBlockBytes: number,
): AsyncGenerator<BackupEvent, void, undefined> {
  const reading: Reading = {
    counter: new TotalsCounter(),
    maxBlockBytes,
    next: 0,
    lastKey: '',
    damaged: false,
    gapReported: false,
    ended: false,
  }
  for await (const found of frames(source, reading)) {
    for await (const event of 'type' in found ? [found] : readFrame(found, reading)) {
      if (event.type === 'damage') reading.damaged = true
      yield event
    }
  }
}

/** Whole frames, and what is between them. */
async function* frames(
  source: ByteSource,
  reading: Reading,
): AsyncGenerator<Frame | BackupEvent, void, undefined> {
  while (true) {
    const { position } = source
    const bytes = await source.peek(HEAD_BYTES)
    if (bytes.length === 0) {
      if (!reading.ended) yield cutOff(position, 'the end is missing')
      return
    }
    if (reading.ended) {
      const count = await source.drain()
      yield damageEvent('changed', position, `${count} bytes follow the end, at byte ${position}`)
      return
    }
    const head = decodeHead(bytes)
    if (head === undefined) {
      yield* skipDamage(source, reading)
      continue
    }
    if (head.length > reading.maxBlockBytes || head.rawLength > reading.maxBlockBytes) {
      yield tooBig(head, position, reading)
      return
    }
    await source.take(HEAD_BYTES)
    const payload = await source.take(head.length)
    if (payload.length < head.length) {
      const text = `${nameOf(head)} at byte ${position} has ${head.length} bytes, ${payload.length} are there`
      yield cutOff(position + HEAD_BYTES + payload.length, text)
      return
    }
    yield { head, position, payload }
  }
}

async function* skipDamage(
  source: ByteSource,
  reading: Reading,
): AsyncGenerator<BackupEvent, void, undefined> {
  const { position } = source
  const what = `the head of ${reading.next === 0 ? 'the header' : `block ${reading.next}`}`
  let bytes: Buffer
  do {
    await source.take(1)
    await source.skipTo(MARKER)
    bytes = await source.peek(HEAD_BYTES)
  } while (bytes.length > 0 && decodeHead(bytes) === undefined)
  reading.gapReported = true
  const count = source.position - position
  if (bytes.length === 0 && count < HEAD_BYTES) {
    yield cutOff(source.position, `${what} at byte ${position} is not whole`)
    reading.ended = true
    return
  }
  yield damageEvent(
    'changed',
    position,
    `${what} at byte ${position} is damaged; ${count} bytes are skipped${bytes.length === 0 ? ' up to the end of the file' : ''}${lostKeys(reading)}`,
  )
  // That the end was not found behind it is no news.
  if (bytes.length === 0) reading.ended = true
}

async function* readFrame(
  { head, position, payload }: Frame,
  reading: Reading,
): AsyncGenerator<BackupEvent, void, undefined> {
  if (head.number !== reading.next && !reading.gapReported) {
    const missing = `${head.number} comes where ${reading.next} should: blocks are missing or doubled`
    yield damageEvent('changed', position, `block ${missing}, at byte ${position}`)
  }
  reading.gapReported = false
  reading.next = head.number + 1
  if (crc32(payload) !== head.checksum) {
    const text = `${nameOf(head)} at byte ${position} does not match its checksum`
    yield damageEvent('changed', position, `${text}${lostKeys(reading)}`)
    if (head.type === 'E') reading.ended = true
    return
  }
  try {
    if (head.type === 'H') {
      yield { type: 'header', format: 'binary', header: decodeHeader(payload.toString('utf8')) }
    } else if (head.type === 'B') {
      yield { type: 'records', position, records: await readRecords(head, payload, reading) }
    } else {
      reading.ended = true
      yield* readEnd(position, decodeTotals(payload.toString('utf8')), reading)
    }
  } catch (error) {
    if (isStateError(error, 'format_unsupported')) throw error
    // Its checksum is right, so it was written this way: no accident, but no backup of ours either.
    const text = `${nameOf(head)} at byte ${position} is not understood: ${reasonOf(error)}`
    yield damageEvent('changed', position, text)
  }
}

async function readRecords(
  head: FrameHead,
  payload: Buffer,
  reading: Reading,
): Promise<StoredRecord[]> {
  const bytes = await decompress(payload, { maxOutputLength: Math.max(head.rawLength, 1) })
  if (bytes.length !== head.rawLength) {
    throw new Error(`it has ${bytes.length} bytes uncompressed, ${head.rawLength} are named`)
  }
  const records: StoredRecord[] = []
  let lastKey = reading.lastKey
  let start = 0
  const text = bytes.toString('utf8')
  while (start < text.length) {
    const end = text.indexOf('\n', start)
    if (end === -1) throw new Error('its last line has no end')
    const record = decodeRecordLine(text.slice(start, end), { standIn: true })
    if (record.key <= lastKey) throw new Error(`key "${record.key}" comes after "${lastKey}"`)
    records.push(record)
    lastKey = record.key
    start = end + 1
  }
  // Only a block that is read to its end counts.
  for (const record of records) reading.counter.addRecord(record)
  reading.counter.addBytes(bytes)
  reading.lastKey = lastKey
  return records
}

const decompress = promisify<Uint8Array, object, Buffer>(brotliDecompress)

function* readEnd(
  position: number,
  totals: BackupTotals,
  { counter, damaged }: Reading,
): Generator<BackupEvent, void, undefined> {
  const found = counter.totals()
  if (!damaged && (found.records !== totals.records || found.digest !== totals.digest)) {
    yield damageEvent(
      'changed',
      position,
      `the end names ${totals.records} records with digest ${totals.digest}, but there are ${found.records} with ${found.digest}`,
    )
  }
  yield { type: 'end', totals }
}

function tooBig(head: FrameHead, position: number, { maxBlockBytes }: Reading): BackupEvent {
  const size = Math.max(head.length, head.rawLength)
  const text = `${nameOf(head)} at byte ${position} has ${size} bytes, at most ${maxBlockBytes} are read`
  return damageEvent('changed', position, text)
}

function cutOff(position: number, what: string): BackupEvent {
  return damageEvent('truncated', position, `the file is cut off at byte ${position}: ${what}`)
}

function nameOf({ type, number }: FrameHead): string {
  if (type === 'H') return 'the header'
  return type === 'E' ? 'the end' : `block ${number}`
}

function lostKeys({ lastKey, next }: Reading): string {
  if (next <= 1 && lastKey === '') return ''
  return lastKey === '' ? '; the first keys are lost' : `; keys after "${lastKey}" are lost`
}
