/**
 * Making a sound sorted file of a damaged one.
 * 1. Where one bit of a block is flipped, its checksum says which: it is set right and nothing is lost.
 * 2. Of blocks with more damage all rows that can be told apart are kept, however wrong their values:
 *    readers judge them by their own checksums.
 * 3. Where the list of blocks is lost, blocks are found by their checksums.
 * The new file is as long as the old one, where it fits, so that the list of files stays true.
 */

import {
  type BlockRow,
  compareKeys,
  correctBlock,
  type Handle,
  inOrder,
  isDataKey,
  isSoundBlock,
  plainBlock,
  readBlock,
  readDamagedBlock,
  TRAILER,
  varint,
} from './block.ts'
import { sizeByChecksum } from './crc32c.ts'
import { FOOTER, type Footer, listedBlocks, MAGIC, readFooter } from './table.ts'

/** A sorted file made sound. */
export interface RepairedTable {
  readonly bytes: Buffer
  /** True when nothing is lost. */
  readonly isWhole: boolean
  /** Blocks of rows that are kept whole. */
  readonly wholeBlocks: number
  /** Blocks, or places where some were, of which single rows are kept. */
  readonly damagedBlocks: number
  /** Rows that are kept of those. */
  readonly rowsOfDamaged: number
}

/** A part of the file between others: a sound block as it is, or rows of a damaged one. */
type Piece =
  | { readonly kind: 'block'; readonly raw: Buffer; readonly first: Buffer; readonly last: Buffer }
  | { readonly kind: 'rows'; readonly rows: readonly BlockRow[] }

/** Largest block that is looked for without a list; the engine's are some 4 KiB, or one row. */
const MOST_SEARCHED = 64 * 1024

/** @param size bytes the file must have; undefined when nothing says. */
export function repairTable(damaged: Buffer, size: number | undefined): RepairedTable {
  const bytes = Buffer.from(damaged)
  const footer = correctFooter(bytes)
  const blocks = footer && correctedList(bytes, footer.index)
  const meta = footer && correctedList(bytes, footer.metaindex)
  const isWhole = [...(blocks ?? []), ...(meta ?? [])].every((block) => makeSound(bytes, block))
  if (blocks && meta && isWhole && (size ?? bytes.length) === bytes.length) {
    const wholeBlocks = blocks.length
    return { bytes, isWhole: true, wholeBlocks, damagedBlocks: 0, rowsOfDamaged: 0 }
  }
  const pieces = bounded((blocks ?? searchBlocks(bytes)).map((block) => pieceOf(bytes, block)))
  const rows = pieces.flatMap((piece) => (piece.kind === 'rows' ? [piece.rows.length] : []))
  return {
    bytes: writeTable(pieces, size ?? bytes.length),
    isWhole: blocks !== undefined && rows.length === 0,
    wholeBlocks: pieces.length - rows.length,
    damagedBlocks: rows.length,
    rowsOfDamaged: rows.reduce((sum, count) => sum + count, 0),
  }
}

/** The footer, after a flipped bit in it is set right: no checksum says which, but only one makes it fit. */
function correctFooter(bytes: Buffer): Footer | undefined {
  if (bytes.length < FOOTER) return undefined
  const found = readFooter(bytes)
  const leadsToLists = (footer: Footer | undefined): boolean =>
    footer !== undefined &&
    isSoundBlock(bytes, footer.index) &&
    isSoundBlock(bytes, footer.metaindex)
  if (leadsToLists(found)) return found
  const start = bytes.length - FOOTER
  const original = Buffer.from(bytes.subarray(start))
  for (let bit = 0; bit < FOOTER * 8; bit += 1) {
    const at = start + (bit >>> 3)
    bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << (bit & 7)), at)
    const footer = readFooter(bytes)
    if (leadsToLists(footer)) return footer
    original.copy(bytes, start)
  }
  // The lists may be what is damaged.
  return found
}

function correctedList(bytes: Buffer, list: Handle): Handle[] | undefined {
  return makeSound(bytes, list) ? listedBlocks(bytes, list) : undefined
}

function makeSound(bytes: Buffer, block: Handle): boolean {
  return isSoundBlock(bytes, block) || correctBlock(bytes, block)
}

function pieceOf(bytes: Buffer, block: Handle): Piece {
  const { offset, size } = block
  const rows = isSoundBlock(bytes, block) ? readBlock(bytes, block) : undefined
  const [first, last] = [rows?.[0]?.key, rows?.at(-1)?.key]
  if (first === undefined || last === undefined || !isDataKey(first) || !isDataKey(last)) {
    return { kind: 'rows', rows: readDamagedBlock(bytes, block) }
  }
  return { kind: 'block', raw: bytes.subarray(offset, offset + size + TRAILER), first, last }
}

/** Leaves out rows of damaged blocks that do not lie between the sound blocks around them. */
function bounded(pieces: readonly Piece[]): Piece[] {
  const after: (Buffer | undefined)[] = []
  for (let i = pieces.length - 1, next: Buffer | undefined; i >= 0; i -= 1) {
    after[i] = next
    const piece = pieces[i]
    if (piece?.kind === 'block') next = piece.first
  }
  let last: Buffer | undefined
  return pieces.map((piece, i) => {
    if (piece.kind === 'block') {
      last = piece.last
      return piece
    }
    const next = after[i]
    const rows = inOrder(
      piece.rows.filter(
        ({ key }) =>
          (last === undefined || compareKeys(last, key) < 0) &&
          (next === undefined || compareKeys(key, next) < 0),
      ),
    )
    last = rows.at(-1)?.key ?? last
    return { kind: 'rows', rows }
  })
}

/**
 * Finds the blocks of rows without a list. They follow each other from the first byte to the first
 * sound block that holds no rows; what lies between two that are found is taken for one damaged block.
 */
function searchBlocks(bytes: Buffer): Handle[] {
  const found: Handle[] = []
  let offset = 0
  let gap: number | undefined
  while (offset + TRAILER < bytes.length) {
    const size = gap === undefined || mayBegin(bytes, offset) ? sizeAt(bytes, offset) : undefined
    if (size === undefined) {
      gap ??= offset
      offset += 1
      continue
    }
    if (gap !== undefined) found.push({ offset: gap, size: Math.max(0, offset - gap - TRAILER) })
    gap = undefined
    const key = readBlock(bytes, { offset, size })?.[0]?.key
    if (key === undefined || !isDataKey(key)) return found
    found.push({ offset, size })
    offset += size + TRAILER
  }
  if (gap !== undefined) found.push({ offset: gap, size: bytes.length - gap })
  return found
}

/** Whether a block of rows can begin here: its first key is written out, so that 0 comes first. */
function mayBegin(bytes: Buffer, offset: number): boolean {
  if (bytes[offset] === 0) return true
  // Packed: the plain length, up to three bytes, then a literal that begins with that 0.
  for (const at of [offset + 1, offset + 2, offset + 3]) {
    const tag = bytes[at] ?? 1
    if ((tag & 3) === 0 && bytes[at + 1 + Math.max(0, (tag >>> 2) - 59)] === 0) return true
  }
  return false
}

function sizeAt(bytes: Buffer, offset: number): number | undefined {
  const most = Math.min(MOST_SEARCHED, bytes.length - offset - TRAILER + 1)
  const isEnd = (size: number): boolean => (bytes[offset + size - 1] as number) <= 1 && size > 1
  const size = sizeByChecksum(bytes, offset, most, isEnd)
  return size === undefined ? undefined : size - 1
}

/** A sorted file without a filter, which the engine can do without, of `size` bytes if that is enough. */
function writeTable(pieces: readonly Piece[], size: number): Buffer {
  const parts: Buffer[] = []
  let length = 0
  const add = (block: Buffer): Buffer => {
    const handle = Buffer.concat([varint(length), varint(block.length - TRAILER)])
    parts.push(block)
    length += block.length
    return handle
  }
  const index: BlockRow[] = []
  for (const piece of pieces) {
    const [key, block] =
      piece.kind === 'block'
        ? [piece.last, piece.raw]
        : [piece.rows.at(-1)?.key, plainBlock(piece.rows)]
    if (key !== undefined) index.push({ key, value: add(block) })
  }
  const handles = [plainBlock([]), plainBlock(index)].map(add)
  const footer = Buffer.alloc(FOOTER)
  Buffer.concat(handles).copy(footer)
  footer.writeBigUInt64LE(MAGIC, FOOTER - 8)
  parts.push(Buffer.alloc(Math.max(0, size - length - FOOTER)), footer)
  return Buffer.concat(parts)
}
