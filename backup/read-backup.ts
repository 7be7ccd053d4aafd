/** Reads a backup of either format, telling what is damaged and giving what is not. */

import { ByteSource } from './format/byte-source.ts'
import type { BackupEvent, ReadBackupOptions } from './format/event.ts'
import { damageEvent } from './format/event.ts'
import { decodeHead, HEAD_BYTES, MAGIC } from './format/frame.ts'
import { readBlocks } from './format/read-blocks.ts'
import { readLines } from './format/read-lines.ts'

export type { BackupDamage, BackupEvent, ReadBackupOptions } from './format/event.ts'

const OPEN_BRACE = 123
/** More than any block that can be written: strings end before it. */
const MAX_BLOCK_BYTES = 512 * 1024 * 1024

/**
 * The contents of a backup, in order. Damage is an event, not an error: what is read after it is whole
 * again. Without a damage event and with an `end` event everything was there.
 * @throws StateError `format_unsupported` for a newer format; what `chunks` throws.
 */
export async function* readBackup(
  chunks: AsyncIterable<Uint8Array>,
  options: ReadBackupOptions = {},
): AsyncGenerator<BackupEvent, void, undefined> {
  const resolved: Required<ReadBackupOptions> = {
    maxBlockBytes: options.maxBlockBytes ?? MAX_BLOCK_BYTES,
    partial: options.partial ?? false,
  }
  const source = new ByteSource(chunks)
  try {
    yield* readFrom(source, resolved)
  } finally {
    await source.close()
  }
}

async function* readFrom(
  source: ByteSource,
  options: Required<ReadBackupOptions>,
): AsyncGenerator<BackupEvent, void, undefined> {
  const start = await source.peek(MAGIC.length + HEAD_BYTES)
  const magic = start.subarray(0, MAGIC.length)
  if (MAGIC.every((byte, i) => magic[i] === byte)) {
    await source.take(MAGIC.length)
    yield* readBlocks(source, options.maxBlockBytes)
  } else if (decodeHead(start.subarray(MAGIC.length))?.type === 'H') {
    // The first bytes are wrong, but a header follows them as in no other file.
    yield damageEvent('changed', 0, 'the first 8 bytes are damaged; a header follows them')
    await source.take(MAGIC.length)
    yield* readBlocks(source, options.maxBlockBytes)
  } else if (await beginsWithLines(source, options)) {
    yield* readLines(source, options)
  } else if (
    start.length < MAGIC.length &&
    MAGIC.subarray(0, start.length).every((b, i) => start[i] === b)
  ) {
    const text = `the file is cut off at byte ${start.length}: ${start.length === 0 ? 'it is empty' : 'nothing follows'}`
    yield damageEvent('truncated', start.length, text)
  } else {
    const shown = magic.toString('latin1').replace(/[^\x20-\x7e]/g, '.')
    yield damageEvent('wrong_file', 0, `this is no backup: it begins with "${shown}"`)
  }
}

/** Bytes of white space that may stand before the first line. */
const MAX_START = 1024
/** What some editors write at the start of UTF-8 text. */
const BOM = Uint8Array.of(0xef, 0xbb, 0xbf)

/** Whether lines follow, blank ones first maybe; takes a mark of the byte order away. */
async function beginsWithLines(
  source: ByteSource,
  { partial }: Required<ReadBackupOptions>,
): Promise<boolean> {
  const start = await source.peek(BOM.length + MAX_START)
  const hasMark = BOM.every((byte, i) => start[i] === byte)
  const text = start.subarray(hasMark ? BOM.length : 0)
  const first = text.find((byte) => !WHITE_SPACE.has(byte))
  if (first !== OPEN_BRACE && !partial) return false
  if (hasMark) await source.take(BOM.length)
  return true
}

const WHITE_SPACE: ReadonlySet<number> = new Set([9, 10, 13, 32])
