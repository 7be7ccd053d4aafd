/**
 * Checking of LevelDB's sorted files (doc/table_format.md of LevelDB), and making a sound one of
 * what is left of a damaged one. The engine itself reads blocks without a look at their checksums:
 * a flipped bit would be served, hide a row, or end the process while files are merged.
 */

import { maskedCrc32c } from './leveldb-crc32c.ts'
import { readVarint, unpackSnappy } from './leveldb-snappy.ts'

const FOOTER = 48
const TRAILER = 5
const MAGIC = 0xdb4775248b80fb57n

/** Where a block lies; its trailer (type and checksum) follows it. */
interface Handle {
  readonly offset: number
  readonly size: number
}

interface DataBlock extends Handle {
  /** The engine's key (with its sequence number) of the block's last row. */
  readonly lastKey: Buffer
}

/** What is left of a damaged sorted file. */
export interface SalvagedTable {
  /** A sound file with every readable row; undefined when none is left. */
  readonly bytes: Buffer | undefined
  readonly keptBlocks: number
  /** Blocks of rows that are lost; undefined when the file no longer tells. */
  readonly lostBlocks: number | undefined
}

/** True when every block of the file matches its checksum. */
export function isSoundTable(bytes: Buffer): boolean {
  const blocks = listBlocks(bytes)
  return blocks?.every((block) => isSoundBlock(bytes, block)) ?? false
}

/** The value of the newest version of the file's first row; undefined unless it has that key. */
export function firstValue(bytes: Buffer, key: string): string | undefined {
  const [first] = indexOf(bytes) ?? []
  const row = first && readRows(unpack(bytes, first))?.[0]
  // An engine's key ends with eight bytes of sequence number and kind; 1 is a value.
  if (row === undefined || row.key.length < 8 || row.key.at(-8) !== 1) return undefined
  return row.key.toString('utf8', 0, row.key.length - 8) === key ? row.value.toString() : undefined
}

/** Keeps the blocks that match their checksums. */
export function salvageTable(bytes: Buffer): SalvagedTable {
  const listed = indexOf(bytes)
  const found = listed ?? walk(bytes)
  const kept = found.flatMap((handle) => readDataBlock(bytes, handle) ?? [])
  return {
    bytes: kept.length === 0 ? undefined : writeTable(bytes, kept),
    keptBlocks: kept.length,
    lostBlocks: listed === undefined ? undefined : listed.length - kept.length,
  }
}

/** All blocks the file names; undefined when its footer or a list of blocks is damaged. */
function listBlocks(bytes: Buffer): Handle[] | undefined {
  const data = indexOf(bytes)
  const footer = readFooter(bytes)
  if (data === undefined || footer === undefined) return undefined
  const meta = blockValues(bytes, footer.metaindex)
  return meta === undefined ? undefined : [...data, ...meta]
}

/** Handles of the blocks of rows. */
function indexOf(bytes: Buffer): Handle[] | undefined {
  const footer = readFooter(bytes)
  return footer === undefined ? undefined : blockValues(bytes, footer.index)
}

function readFooter(bytes: Buffer): { metaindex: Handle; index: Handle } | undefined {
  if (bytes.length < FOOTER || bytes.readBigUInt64LE(bytes.length - 8) !== MAGIC) return undefined
  const metaindex = readHandle(bytes, bytes.length - FOOTER)
  const index = metaindex && readHandle(bytes, metaindex.next)
  return metaindex && index && { metaindex, index }
}

/** The handles that a block of handles holds. */
function blockValues(bytes: Buffer, block: Handle): Handle[] | undefined {
  if (!isSoundBlock(bytes, block)) return undefined
  return readRows(unpack(bytes, block))?.flatMap(({ value }) => readHandle(value, 0) ?? [])
}

function readHandle(bytes: Buffer, at: number): (Handle & { next: number }) | undefined {
  const offset = readVarint(bytes, at)
  const size = offset && readVarint(bytes, offset.next)
  return offset && size && { offset: offset.value, size: size.value, next: size.next }
}

function isSoundBlock(bytes: Buffer, { offset, size }: Handle): boolean {
  const end = offset + size
  if (end + TRAILER > bytes.length) return false
  return maskedCrc32c(bytes, offset, end + 1) === bytes.readUInt32LE(end + 1)
}

function unpack(bytes: Buffer, { offset, size }: Handle): Buffer | undefined {
  const content = bytes.subarray(offset, offset + size)
  const type = bytes.readUInt8(offset + size)
  if (type === 0) return content
  return type === 1 ? unpackSnappy(content) : undefined
}

function readDataBlock(bytes: Buffer, { offset, size }: Handle): DataBlock | undefined {
  if (!isSoundBlock(bytes, { offset, size })) return undefined
  const lastKey = readRows(unpack(bytes, { offset, size }))?.at(-1)?.key
  // An engine's key ends with eight bytes of sequence number and kind.
  return lastKey === undefined || lastKey.length < 8 ? undefined : { offset, size, lastKey }
}

/** The rows of a plain block; undefined when it is not one. */
function readRows(block: Buffer | undefined): { key: Buffer; value: Buffer }[] | undefined {
  if (block === undefined || block.length < 4) return undefined
  const restarts = block.readUInt32LE(block.length - 4)
  const end = block.length - 4 - 4 * restarts
  if (end < 0) return undefined
  const rows: { key: Buffer; value: Buffer }[] = []
  let key = Buffer.alloc(0)
  for (let at = 0; at < end; ) {
    const shared = readVarint(block, at)
    const rest = shared && readVarint(block, shared.next)
    const size = rest && readVarint(block, rest.next)
    if (!shared || !rest || !size || shared.value > key.length) return undefined
    const valueAt = size.next + rest.value
    if (valueAt + size.value > end) return undefined
    key = Buffer.concat([key.subarray(0, shared.value), block.subarray(size.next, valueAt)])
    at = valueAt + size.value
    rows.push({ key, value: block.subarray(valueAt, at) })
  }
  return rows
}

/**
 * Finds the blocks of rows without the index: they follow each other from the first byte, and a
 * block ends where the checksum of what was read so far comes next.
 */
function walk(bytes: Buffer): Handle[] {
  const found: Handle[] = []
  for (let offset = 0; ; ) {
    const size = blockSizeAt(bytes, offset)
    if (size === undefined || readDataBlock(bytes, { offset, size }) === undefined) return found
    found.push({ offset, size })
    offset += size + TRAILER
  }
}

/** Largest block tried by `walk`; the engine's are some 4 KiB, or one row. */
const MOST_WALKED = 64 * 1024

function blockSizeAt(bytes: Buffer, offset: number): number | undefined {
  const most = Math.min(MOST_WALKED, bytes.length - offset - TRAILER)
  for (let size = 1; size <= most; size += 1) {
    const type = bytes[offset + size]
    if ((type === 0 || type === 1) && isSoundBlock(bytes, { offset, size })) return size
  }
  return undefined
}

/** Writes a sorted file of blocks taken as they are. It has no filter: the engine then reads without. */
function writeTable(bytes: Buffer, blocks: readonly DataBlock[]): Buffer {
  const parts: Buffer[] = []
  let length = 0
  const add = (part: Buffer): void => {
    parts.push(part)
    length += part.length
  }
  const index = blocks.map(({ offset, size, lastKey }) => {
    const value = Buffer.concat([varint(length), varint(size)])
    add(bytes.subarray(offset, offset + size + TRAILER))
    return { key: lastKey, value }
  })
  const handles: Buffer[] = []
  for (const block of [plainBlock([]), plainBlock(index)]) {
    handles.push(varint(length), varint(block.length - TRAILER))
    add(block)
  }
  const footer = Buffer.alloc(FOOTER)
  Buffer.concat(handles).copy(footer)
  footer.writeBigUInt64LE(MAGIC, FOOTER - 8)
  add(footer)
  return Buffer.concat(parts)
}

/** A block without compression, each key written out, with its trailer. */
function plainBlock(rows: readonly { key: Buffer; value: Buffer }[]): Buffer {
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

function word32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  bytes.push(rest)
  return Buffer.from(bytes)
}
