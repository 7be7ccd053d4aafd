/** Reads a backup of either format, telling what is damaged and giving what is not. */
import type { BackupEvent, ReadBackupOptions } from './backup-event.ts'
import { damageEvent } from './backup-event.ts'
import { ByteSource } from './byte-source.ts'
import { decodeHead, HEAD_BYTES, MAGIC } from './frame.ts'
import { readBlocks } from './read-blocks.ts'
import { readLines } from './read-lines.ts'

export type { BackupDamage, BackupEvent, ReadBackupOptions } from './backup-event.ts'

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
  } else if (start[0] === OPEN_BRACE) {
    yield* readLines(source, options)
  } else if (
    start.length < MAGIC.length &&
    MAGIC.subarray(0, start.length).every((b, i) => start[i] === b)
  ) {
    if (start.length === 0 && options.partial) return
    const text = `the file is cut off at byte ${start.length}: ${start.length === 0 ? 'it is empty' : 'nothing follows'}`
    yield damageEvent('truncated', start.length, text)
  } else {
    const shown = magic.toString('latin1').replace(/[^\x20-\x7e]/g, '.')
    yield damageEvent('wrong_file', 0, `this is no backup: it begins with "${shown}"`)
  }
}
