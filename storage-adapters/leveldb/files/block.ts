/**
 * Blocks of LevelDB's sorted files (doc/table_format.md of LevelDB): rows in order, packed or plain,
 * and a trailer of one byte for the packing and four for the checksum over content and packing.
 */

import { findFlippedBit, maskedCrc32c } from './crc32c.ts'
import { readVarint, unpackDamagedSnappy, unpackSnappy } from './snappy.ts'

/** Bytes behind a block's content. */
export const TRAILER = 5

/** Where a block lies; its trailer follows it. */
export interface Handle {
  readonly offset: number
  readonly size: number
}

/** A row of a block. In blocks of data the key ends with eight bytes of sequence number and kind. */
export interface BlockRow {
  readonly key: Buffer
  readonly value: Buffer
}

/** True when the block lies within `bytes` and matches its checksum. */
export function isSoundBlock(bytes: Buffer, { offset, size }: Handle): boolean {
  const end = offset + size
  if (end + TRAILER > bytes.length) return false
  return maskedCrc32c(bytes, offset, end + 1) === bytes.readUInt32LE(end + 1)
}

/** Sets the flipped bit of a block right, in place. False when it is not one bit that is wrong. */
export function correctBlock(bytes: Buffer, { offset, size }: Handle): boolean {
  const end = offset + size
  if (end + TRAILER > bytes.length) return false
  const bit = findFlippedBit(bytes, offset, end + 1, bytes.readUInt32LE(end + 1))
  if (bit === undefined) return false
  if (bit === 'checksum') bytes.writeUInt32LE(maskedCrc32c(bytes, offset, end + 1), end + 1)
  else bytes.writeUInt8(bytes.readUInt8(bit >>> 3) ^ (1 << (bit & 7)), bit >>> 3)
  return true
}

/** The rows of a block that matches its checksum; undefined when it is no block of rows. */
export function readBlock(bytes: Buffer, { offset, size }: Handle): BlockRow[] | undefined {
  const content = bytes.subarray(offset, offset + size)
  const type = bytes.readUInt8(offset + size)
  const plain = type === 0 ? content : type === 1 ? unpackSnappy(content) : undefined
  if (plain === undefined || plain.length < 4) return undefined
  const end = plain.length - 4 - 4 * plain.readUInt32LE(plain.length - 4)
  if (end < 0) return undefined
  const { rows, at } = readSection(plain, 0, end)
  return at === end ? rows : undefined
}

/**
 * Rows of a damaged block of data, in order: those before the damage, and behind it those from the next
 * restart point on, where keys are written out. Values, and keys where they share a damaged start, may be
 * wrong: only a row's own checksum tells.
 */
export function readDamagedBlock(bytes: Buffer, { offset, size }: Handle): BlockRow[] {
  const end = Math.min(offset + size, bytes.length)
  const content = bytes.subarray(offset, end)
  // A damaged byte of packing says nothing: what gives more rows is right.
  const [plain, packed] = [content, unpackDamagedSnappy(content)].map(readDamagedRows)
  return (plain?.length ?? 0) > (packed?.length ?? 0) ? (plain ?? []) : (packed ?? [])
}

/** Compares keys of data rows as the engine does: by the caller's key, newest version first. */
export function compareKeys(a: Buffer, b: Buffer): number {
  const byKey = Buffer.compare(a.subarray(0, -8), b.subarray(0, -8))
  if (byKey !== 0) return byKey
  const [first, second] = [a.readBigUInt64LE(a.length - 8), b.readBigUInt64LE(b.length - 8)]
  return first === second ? 0 : first > second ? -1 : 1
}

/** True for a key of a data row: it ends with a kind, 0 (deleted) or 1 (value), and a sequence number. */
export function isDataKey(key: Buffer): boolean {
  return key.length >= 8 && (key.at(-8) ?? 2) <= 1
}

/** The most rows that are in order, so that one wrong key costs no row but its own. */
export function inOrder(rows: readonly BlockRow[]): BlockRow[] {
  // Ends of the best sequences by length (patience sorting), with the way back from each row.
  const ends: number[] = []
  const before: number[] = []
  const keyOf = (i: number): Buffer => (rows[i] as BlockRow).key
  rows.forEach(({ key }, i) => {
    let [low, high] = [0, ends.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (compareKeys(keyOf(ends[middle] as number), key) < 0) low = middle + 1
      else high = middle
    }
    before.push(low === 0 ? -1 : (ends[low - 1] as number))
    ends[low] = i
  })
  const kept: BlockRow[] = []
  for (let i = ends.at(-1) ?? -1; i !== -1; i = before[i] as number) kept.push(rows[i] as BlockRow)
  return kept.reverse()
}

/** A block without packing, each key written out, with its trailer. */
export function plainBlock(rows: readonly BlockRow[]): Buffer {
  const parts: Buffer[] = []
  const restarts: number[] = []
  let length = 0
  for (const { key, value } of rows) {
    restarts.push(length)
    const row = Buffer.concat([varint(0), varint(key.length), varint(value.length), key, value])
    parts.push(row)
    length += row.length
  }
  const words = restarts.length === 0 ? [0, 1] : [...restarts, restarts.length]
  for (const word of words) parts.push(word32(word))
  const content = Buffer.concat([...parts, Buffer.of(0)])
  return Buffer.concat([content, word32(maskedCrc32c(content, 0, content.length))])
}

/** A base-128 number as LevelDB writes it. */
export function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  bytes.push(rest)
  return Buffer.from(bytes)
}

function readDamagedRows(plain: Buffer): BlockRow[] {
  const restarts = restartPoints(plain)
  const end = restarts.end
  const rows = restarts.points.flatMap((start, i) => {
    const section = readSection(plain, start, restarts.points[i + 1] ?? end).rows
    return section.filter(({ key }) => isDataKey(key))
  })
  return inOrder(rows)
}

/** Offsets where a key is written out, as far as they make sense, and the end of the rows. */
function restartPoints(plain: Buffer): { points: number[]; end: number } {
  const count = plain.length < 4 ? 0 : plain.readUInt32LE(plain.length - 4)
  const end = plain.length - 4 - 4 * count
  if (count === 0 || end < 0) return { points: [0], end: plain.length }
  const points = [0]
  for (let i = 1; i < count; i += 1) {
    const point = plain.readUInt32LE(end + 4 * i)
    if (point > (points.at(-1) ?? 0) && point < end && plain[point] === 0) points.push(point)
  }
  return { points, end }
}

/** Rows one after another, up to `end` or to what is none; `at` is behind the last one. */
function readSection(block: Buffer, start: number, end: number): { rows: BlockRow[]; at: number } {
  const rows: BlockRow[] = []
  let key = Buffer.alloc(0)
  let at = start
  while (at < end) {
    const shared = readVarint(block, at)
    const rest = shared && readVarint(block, shared.next)
    const size = rest && readVarint(block, rest.next)
    if (!shared || !rest || !size || shared.value > key.length) break
    const valueAt = size.next + rest.value
    if (valueAt + size.value > end) break
    key = Buffer.concat([key.subarray(0, shared.value), block.subarray(size.next, valueAt)])
    at = valueAt + size.value
    rows.push({ key, value: block.subarray(valueAt, at) })
  }
  return { rows, at }
}

function word32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
