/**
 * Checking of LevelDB's sorted files (doc/table_format.md of LevelDB). A file is blocks of data, then
 * the filter, the list of the filter (metaindex), the list of blocks of data (index) and the footer,
 * which says where the lists are. The engine itself reads blocks without a look at their checksums.
 */

import { type FileHandle, open } from 'node:fs/promises'
import { type BlockRow, type Handle, isSoundBlock, readBlock, TRAILER } from './block.ts'
import { readVarint } from './snappy.ts'

export const FOOTER = 48
export const MAGIC = 0xdb4775248b80fb57n

/** Where the lists of a file are. */
export interface Footer {
  readonly metaindex: Handle
  readonly index: Handle
}

/** What a look at the parts of a file that find rows says. */
export interface TableEnds {
  /** True when these parts match their checksums. */
  readonly isSound: boolean
  /** The file's first row, whose version is the newest of its key; undefined when it can not be read. */
  readonly first: BlockRow | undefined
}

const UNSOUND: TableEnds = { isSound: false, first: undefined }

/** True when every block of the file matches its checksum. */
export function isSoundTable(bytes: Buffer): boolean {
  const footer = readFooter(bytes)
  const data = footer && listedBlocks(bytes, footer.index)
  const meta = footer && listedBlocks(bytes, footer.metaindex)
  if (data === undefined || meta === undefined) return false
  return [...data, ...meta].every((block) => isSoundBlock(bytes, block))
}

/** The file's first row; undefined when it can not be read. */
export function firstRow(bytes: Buffer): BlockRow | undefined {
  const footer = readFooter(bytes)
  const first = footer && listedBlocks(bytes, footer.index)?.[0]
  return first && isSoundBlock(bytes, first) ? readBlock(bytes, first)?.[0] : undefined
}

/**
 * Reads footer, lists and filter, and the first block of data: some hundredth of a file of `size` bytes. What
 * is wrong there hides rows without a word; what is wrong in other blocks shows when rows are read.
 */
export async function readTableEnds(path: string, size: number): Promise<TableEnds> {
  if (size < FOOTER) return UNSOUND
  const file = await open(path, 'r')
  try {
    const footer = readFooter(await readPart(file, { offset: size - FOOTER, size: FOOTER }))
    if (footer === undefined) return UNSOUND
    const data = await readList(file, size, footer.index)
    const meta = await readList(file, size, footer.metaindex)
    if (data === undefined || meta === undefined) return UNSOUND
    for (const block of meta) {
      if ((await readSound(file, size, block)) === undefined) return UNSOUND
    }
    const first = data[0] && (await readSound(file, size, data[0]))
    if (first === undefined) return { isSound: data.length === 0, first: undefined }
    return { isSound: true, first: readBlock(first, whole(first))?.[0] }
  } finally {
    await file.close()
  }
}

/** Reads the footer at the end of `bytes`; undefined when there is none. */
export function readFooter(bytes: Buffer): Footer | undefined {
  if (bytes.length < FOOTER || bytes.readBigUInt64LE(bytes.length - 8) !== MAGIC) return undefined
  const metaindex = readHandle(bytes, bytes.length - FOOTER)
  const index = metaindex && readHandle(bytes, metaindex.next)
  return metaindex && index && { metaindex, index }
}

/** The blocks that a list names; undefined when the list does not match its checksum. */
export function listedBlocks(bytes: Buffer, list: Handle): Handle[] | undefined {
  if (!isSoundBlock(bytes, list)) return undefined
  return readBlock(bytes, list)?.flatMap(({ value }) => readHandle(value, 0) ?? [])
}

function readHandle(bytes: Buffer, at: number): (Handle & { next: number }) | undefined {
  const offset = readVarint(bytes, at)
  const size = offset && readVarint(bytes, offset.next)
  return offset && size && { offset: offset.value, size: size.value, next: size.next }
}

async function readList(
  file: FileHandle,
  fileSize: number,
  list: Handle,
): Promise<Handle[] | undefined> {
  const bytes = await readSound(file, fileSize, list)
  return bytes && listedBlocks(bytes, whole(bytes))
}

/** A block with its trailer, when it matches its checksum. */
async function readSound(
  file: FileHandle,
  fileSize: number,
  { offset, size }: Handle,
): Promise<Buffer | undefined> {
  if (offset + size + TRAILER > fileSize) return undefined
  const bytes = await readPart(file, { offset, size: size + TRAILER })
  return isSoundBlock(bytes, whole(bytes)) ? bytes : undefined
}

/** The block that is all of `bytes`. */
function whole(bytes: Buffer): Handle {
  return { offset: 0, size: bytes.length - TRAILER }
}

/** Fewer bytes where the file ends before. */
async function readPart(file: FileHandle, { offset, size }: Handle): Promise<Buffer> {
  const bytes = Buffer.alloc(size)
  const { bytesRead } = await file.read(bytes, 0, size, offset)
  return bytes.subarray(0, bytesRead)
}
