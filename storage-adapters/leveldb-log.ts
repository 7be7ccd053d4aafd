/**
 * Reading of LevelDB's log format, which its logs and its MANIFEST share (doc/log_format.md of
 * LevelDB). The engine skips what it can not read and goes on; this tells what it will skip.
 */

import { maskedCrc32c } from './leveldb-crc32c.ts'

const BLOCK = 32_768
const HEADER = 7
const [FULL, FIRST, MIDDLE, LAST] = [1, 2, 3, 4]

/** What a log file holds. */
export interface LogContent {
  /** Whole records in their order. */
  readonly records: readonly Buffer[]
  /** Offset of the first byte of each record. */
  readonly starts: readonly number[]
  /** Bytes `[start, end)` that belong to no readable record, though others follow or a checksum says so. */
  readonly bad: readonly (readonly [start: number, end: number])[]
  /** True when records are missing in the middle, or were damaged anywhere. */
  readonly damaged: boolean
  /** True when the file ends within a record, as a write that was cut off leaves it. */
  readonly torn: boolean
}

/** Reads a log file from its first byte. */
export function readLogFile(bytes: Buffer): LogContent {
  const reading = new Reading()
  for (let start = 0; start < bytes.length && !reading.torn; start += BLOCK) {
    readBlock(bytes, start, Math.min(start + BLOCK, bytes.length), reading)
  }
  return reading.content()
}

/** Overwrites bad bytes so that every reader of the format skips them, checksums or not. */
export function blankBadParts(bytes: Buffer, content: LogContent): Buffer {
  const blanked = Buffer.from(bytes)
  for (const [start, end] of content.bad) blanked.fill(0, start, end)
  return blanked
}

function readBlock(bytes: Buffer, start: number, end: number, reading: Reading): void {
  const isLast = end - start < BLOCK
  let at = start
  while (end - at >= HEADER) {
    const length = bytes.readUInt16LE(at + 4)
    const type = bytes.readUInt8(at + 6)
    const next = at + HEADER + length
    if (next > end) {
      if (isLast) reading.torn = true
      else reading.skip(at, end)
      return
    }
    if (type === 0 && length === 0) {
      reading.blank(at, end)
      return
    }
    if (maskedCrc32c(bytes, at + 6, next) !== bytes.readUInt32LE(at)) {
      reading.skip(at, end)
      return
    }
    reading.take(type, at, bytes.subarray(at + HEADER, next))
    at = next
  }
  if (isLast && at < end) reading.torn = true
}

/** Puts fragments together, and remembers what did not fit. */
class Reading {
  torn = false
  readonly #records: Buffer[] = []
  readonly #starts: number[] = []
  #start = 0
  readonly #bad: (readonly [number, number])[] = []
  #fragments: Buffer[] | undefined
  #damaged = false
  #blank: readonly [number, number] | undefined

  take(type: number, at: number, payload: Buffer): void {
    // Room that was set aside and never written ends a file; before a record it was one.
    if (this.#blank !== undefined) this.skip(...this.#blank)
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

  skip(start: number, end: number): void {
    this.#bad.push([start, end])
    this.#damaged = true
    this.#fragments = undefined
    this.#blank = undefined
  }

  blank(start: number, end: number): void {
    if (this.#blank !== undefined) this.skip(...this.#blank)
    this.#blank = [start, end]
  }

  content(): LogContent {
    const torn = this.torn || this.#fragments !== undefined || this.#blank !== undefined
    return {
      records: this.#records,
      starts: this.#starts,
      bad: this.#bad,
      damaged: this.#damaged,
      torn,
    }
  }
}
