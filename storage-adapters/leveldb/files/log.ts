/**
 * Reading of LevelDB's log format, which its logs and its MANIFEST share (doc/log_format.md of
 * LevelDB). The engine skips what it can not read and goes on; this tells what it will skip.
 */

import { findFlippedBit, maskedCrc32c } from './crc32c.ts'

const BLOCK = 32_768
const HEADER = 7
const [FULL, FIRST, MIDDLE, LAST] = [1, 2, 3, 4]

/** What a log file holds. */
export interface LogContent {
  /** Whole records in their order. */
  readonly records: readonly Buffer[]
  /** Offset of the first byte of each record. */
  readonly starts: readonly number[]
  /** True when records are missing in the middle, or were damaged anywhere. */
  readonly damaged: boolean
  /** True when the file ends within a record, as a write that was cut off leaves it. */
  readonly torn: boolean
}

/** Reads a log file from its first byte. */
export function readLogFile(bytes: Buffer): LogContent {
  const reading = new Reading(undefined)
  readBlocks(bytes, reading)
  return reading.content()
}

/** A log file made sound. */
export interface RepairedLog {
  /** What every reader of the format can read, checksums or not; undefined when nothing had to be done. */
  readonly bytes: Buffer | undefined
  /** What it holds. */
  readonly content: LogContent
  /** Flipped bits that were set right. */
  readonly flips: number
}

/**
 * Sets flipped bits right, as their checksums tell which they are, and goes on behind what stays damaged
 * at the next record that matches its checksum, where the engine would skip up to 32 KiB.
 */
export function repairLog(damaged: Buffer): RepairedLog {
  const bytes = Buffer.from(damaged)
  let flips = 0
  const reading = new Reading((at, end) => {
    if (correctRecord(bytes, at, end)) {
      flips += 1
      return at
    }
    for (let next = at + 1; end - next >= HEADER; next += 1) {
      if (isRecord(bytes, next, end)) return next
    }
    return undefined
  })
  readBlocks(bytes, reading)
  const content = reading.content()
  if (content.damaged) return { bytes: writeLog(content.records), content, flips }
  return { bytes: flips > 0 ? bytes : undefined, content, flips }
}

/** A log file of these records. */
export function writeLog(records: readonly Buffer[]): Buffer {
  const parts: Buffer[] = []
  let room = BLOCK
  const add = (part: Buffer): void => {
    parts.push(part)
    room = room - part.length || BLOCK
  }
  for (const record of records) {
    let from = 0
    let isFirst = true
    do {
      if (room < HEADER) add(Buffer.alloc(room))
      const payload = record.subarray(from, from + room - HEADER)
      from += payload.length
      const isLast = from === record.length
      const type = isFirst ? (isLast ? FULL : FIRST) : isLast ? LAST : MIDDLE
      const part = Buffer.concat([Buffer.alloc(HEADER), payload])
      part.writeUInt16LE(payload.length, 4)
      part.writeUInt8(type, 6)
      part.writeUInt32LE(maskedCrc32c(part, 6, part.length), 0)
      add(part)
      isFirst = false
    } while (from < record.length)
  }
  return Buffer.concat(parts)
}

function readBlocks(bytes: Buffer, reading: Reading): void {
  for (let start = 0; start < bytes.length && !reading.torn; start += BLOCK) {
    readBlock(bytes, start, Math.min(start + BLOCK, bytes.length), reading)
  }
}

function readBlock(bytes: Buffer, start: number, end: number, reading: Reading): void {
  const isLast = end - start < BLOCK
  let at = start
  while (end - at >= HEADER) {
    const length = bytes.readUInt16LE(at + 4)
    const type = bytes.readUInt8(at + 6)
    if (isRecord(bytes, at, end)) {
      const next = at + HEADER + length
      reading.take(type, at, bytes.subarray(at + HEADER, next))
      at = next
      continue
    }
    const next = reading.recover?.(at, end)
    if (next === undefined && type === 0 && length === 0) {
      reading.blank()
      return
    }
    if (next === undefined && isLast && at + HEADER + length > end) {
      reading.torn = true
      return
    }
    if (next !== at) reading.skip()
    if (next === undefined) return
    at = next
  }
  if (isLast && at < end) reading.torn = true
}

/** True when a record, or a part of one, begins at `at` and matches its checksum. */
function isRecord(bytes: Buffer, at: number, end: number): boolean {
  const next = at + HEADER + bytes.readUInt16LE(at + 4)
  const type = bytes.readUInt8(at + 6)
  if (next > end || type < FULL || type > LAST) return false
  return maskedCrc32c(bytes, at + 6, next) === bytes.readUInt32LE(at)
}

/** Sets the flipped bit of a record right; the length has no checksum of its own, so each bit is tried. */
function correctRecord(bytes: Buffer, at: number, end: number): boolean {
  const length = bytes.readUInt16LE(at + 4)
  const next = at + HEADER + length
  for (let bit = 0; bit < 16; bit += 1) {
    bytes.writeUInt16LE(length ^ (1 << bit), at + 4)
    if (isRecord(bytes, at, end)) return true
  }
  bytes.writeUInt16LE(length, at + 4)
  if (next > end) return false
  const bit = findFlippedBit(bytes, at + 6, next, bytes.readUInt32LE(at))
  if (bit === undefined) return false
  if (bit === 'checksum') bytes.writeUInt32LE(maskedCrc32c(bytes, at + 6, next), at)
  else bytes.writeUInt8(bytes.readUInt8(bit >>> 3) ^ (1 << (bit & 7)), bit >>> 3)
  return isRecord(bytes, at, end)
}

/** Puts fragments together, and remembers what did not fit. */
class Reading {
  torn = false
  /** Where to go on after what is no record, at `at` when it is one now; undefined: behind `end`. */
  readonly recover: ((at: number, end: number) => number | undefined) | undefined
  readonly #records: Buffer[] = []
  readonly #starts: number[] = []
  #start = 0
  #fragments: Buffer[] | undefined
  #damaged = false
  #isBlank = false

  constructor(recover: Reading['recover']) {
    this.recover = recover
  }

  take(type: number, at: number, payload: Buffer): void {
    // Room that was set aside and never written ends a file; before a record it was one.
    if (this.#isBlank) this.skip()
    if (type === FULL || type === FIRST) {
      if (this.#fragments !== undefined) this.#damaged = true
      this.#fragments = type === FIRST ? [payload] : undefined
      this.#start = at
      if (type === FULL) this.#add(payload)
    } else if ((type === MIDDLE || type === LAST) && this.#fragments !== undefined) {
      this.#fragments.push(payload)
      if (type === MIDDLE) return
      this.#add(Buffer.concat(this.#fragments))
      this.#fragments = undefined
    } else {
      this.#damaged = true
      this.#fragments = undefined
    }
  }

  #add(record: Buffer): void {
    this.#records.push(record)
    this.#starts.push(this.#start)
  }

  skip(): void {
    this.#damaged = true
    this.#fragments = undefined
    this.#isBlank = false
  }

  blank(): void {
    if (this.#isBlank) this.skip()
    this.#isBlank = true
  }

  content(): LogContent {
    const torn = this.torn || this.#fragments !== undefined || this.#isBlank
    return {
      records: this.#records,
      starts: this.#starts,
      damaged: this.#damaged,
      torn,
    }
  }
}
