/**
 * Writes a backup as a stream of bytes: pulled, so that a slow reader slows the reading of records, and
 * never more than a block is held.
 */
import { promisify } from 'node:util'
import { brotliCompress, constants } from 'node:zlib'
import type { StoredRecord } from '../src/core/data/entry.ts'
import { encodeFrame, MAGIC } from './format/frame.ts'
import {
  type BackupFlaws,
  type BackupFormat,
  type BackupHeader,
  encodeHeader,
  encodeTotals,
  NO_FLAWS,
} from './format/header.ts'
import { encodeRecordLine, sealRecordLine } from './format/record-line.ts'
import { TotalsCounter } from './format/totals.ts'

export interface WriteBackupOptions {
  /** Default `binary`. */
  readonly format?: BackupFormat
  /** Bytes of lines after which a block ends, uncompressed; one record more may be in it. Default 256 KiB. */
  readonly blockBytes?: number
  /** Asked after the last record: what is wrong with the storage they come from. Default: nothing. */
  readonly flaws?: () => BackupFlaws
  /** Hears after each block how many records have been taken. */
  readonly onProgress?: (records: number) => void
}

const compress = promisify(brotliCompress)

/**
 * The bytes of a backup of `records`, which come by key, ascending. An error of `records` is thrown, and
 * what was written until then has no end, so that a reader knows.
 */
export async function* writeBackup(
  header: BackupHeader,
  records: AsyncIterable<StoredRecord> | Iterable<StoredRecord>,
  options: WriteBackupOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const counter = new TotalsCounter()
  const blocks = blocksOf(records, counter, options)
  const end = (): string =>
    encodeTotals({ ...counter.totals(), ...(options.flaws?.() ?? NO_FLAWS) })
  if (options.format === 'jsonl') yield* jsonl(header, blocks, end)
  else yield* binary(header, blocks, end)
}

async function* binary(
  header: BackupHeader,
  blocks: AsyncIterable<Buffer>,
  totals: () => string,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield MAGIC
  const head = Buffer.from(encodeHeader(header, 'binary'))
  yield* encodeFrame('H', 0, head, head.length)
  let number = 1
  for await (const block of blocks) {
    // The fastest level: on records it beats deflate in both speed and size.
    const params = {
      [constants.BROTLI_PARAM_QUALITY]: 1,
      [constants.BROTLI_PARAM_SIZE_HINT]: block.length,
    }
    yield* encodeFrame('B', number, await compress(block, { params }), block.length)
    number += 1
  }
  const end = Buffer.from(totals())
  yield* encodeFrame('E', number, end, end.length)
}

async function* jsonl(
  header: BackupHeader,
  blocks: AsyncIterable<Buffer>,
  totals: () => string,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield Buffer.from(`${encodeHeader(header, 'jsonl')}\n`)
  yield* blocks
  yield Buffer.from(`${totals()}\n`)
}

async function* blocksOf(
  records: AsyncIterable<StoredRecord> | Iterable<StoredRecord>,
  counter: TotalsCounter,
  { blockBytes = 256 * 1024, format, onProgress }: WriteBackupOptions,
): AsyncGenerator<Buffer, void, undefined> {
  let count = 0
  // The digest is that of the lines without checksums, so that it is the same in both forms.
  const encode = (record: StoredRecord): string => {
    const line = encodeRecordLine(record)
    counter.addRecord(record)
    counter.addBytes(Buffer.from(`${line}\n`))
    return format === 'jsonl' ? sealRecordLine(line) : line
  }
  for await (const block of recordBlocks(records, blockBytes, encode)) {
    count += block.records.length
    onProgress?.(count)
    yield block.bytes
  }
}

export interface RecordBlock {
  readonly records: readonly StoredRecord[]
  /** Their lines, each with its line feed. */
  readonly bytes: Buffer<ArrayBuffer>
}

/**
 * Cuts records into blocks of about `blockBytes` bytes of lines; a greater record is alone.
 * @param encode the line of a record; called once for each, in order
 */
export async function* recordBlocks(
  records: AsyncIterable<StoredRecord> | Iterable<StoredRecord>,
  blockBytes: number,
  encode: (record: StoredRecord) => string,
): AsyncGenerator<RecordBlock, void, undefined> {
  let block: StoredRecord[] = []
  let lines: string[] = []
  let size = 0
  for await (const record of records) {
    const line = `${encode(record)}\n`
    if (size > 0 && size + line.length > blockBytes) {
      yield { records: block, bytes: Buffer.from(lines.join('')) }
      block = []
      lines = []
      size = 0
    }
    block.push(record)
    lines.push(line)
    size += line.length
  }
  if (block.length > 0) yield { records: block, bytes: Buffer.from(lines.join('')) }
}
