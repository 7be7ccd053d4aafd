/**
 * Records that an earlier release stored under an origin which no other node takes: they are given the one
 * that stands in for it, once per storage, so that they can be read, sent and put into backups. What can not
 * be repaired so is left: it counts as damaged from then on.
 */
import type { StoredRecord } from '../../core/data/entry.ts'
import { withStandInOrigin } from '../../core/data/stand-in-origin.ts'
import type { BatchOperation, StorageAdapter } from '../../core/ports/storage-adapter.ts'
import { flawOf } from '../../core/records/check.ts'
import { withFieldWords } from '../../core/records/fields.ts'
import { decodeHead, encodeHead } from '../format/head.ts'
import {
  decodeRecord,
  encodeRecord,
  metaRow,
  nameOfRow,
  RECORD_ROWS,
  type SequencedRow,
  sealRow,
  unsealRow,
} from '../format/rows.ts'

/** Meta row of a storage whose records were all checked, or written by a release that checks them. */
export const CHECKED_ROW = 'checked'

const PAGE = 1000
/** Keys that are named. */
const MAX_NAMED = 20

export interface RepairedRecords {
  readonly count: number
  /** The first of them. */
  readonly keys: readonly string[]
}

/** Goes through all records, unless that was done. Every step may be cut off by a crash and begun again. */
export async function repairRecords(adapter: StorageAdapter): Promise<RepairedRecords> {
  const row = metaRow(CHECKED_ROW)
  const repaired = { count: 0, keys: [] as string[] }
  if ((await adapter.get(row)) !== undefined) return repaired
  let page: BatchOperation[] = []
  for await (const [recordRow, value] of adapter.iterate(RECORD_ROWS)) {
    const key = nameOfRow(recordRow)
    const found = decodeRecord(key, value) === undefined ? repairRecord(key, value) : undefined
    if (found === undefined) continue
    repaired.count += 1
    if (repaired.keys.length < MAX_NAMED) repaired.keys.push(key)
    page.push({ type: 'put', key: recordRow, value: encodeRecord(found.record, found.seq) })
    if (page.length < PAGE) continue
    await adapter.batch(page)
    page = []
  }
  if (repaired.count > 0) page.push(...(await withoutDigest(adapter)))
  await adapter.batch([...page, { type: 'put', key: row, value: sealRow(row, 'yes') }])
  return repaired
}

/** The digest counts the records as they were. */
async function withoutDigest(adapter: StorageAdapter): Promise<BatchOperation[]> {
  const row = metaRow('head')
  const sealed = await adapter.get(row)
  const value = sealed === undefined ? undefined : unsealRow(row, sealed)
  const head = value === undefined ? undefined : decodeHead(value)
  if (head === undefined) return []
  return [
    { type: 'put', key: row, value: sealRow(row, encodeHead({ ...head, digest: undefined })) },
  ]
}

const ENTRY_HEAD = /^(\d+) s (\d+) (\d+) /
const TOMBSTONE_HEAD = /^(\d+) d (\d+) /

/** The record of a row whose checksum is right, under an origin that may be held; undefined when it is more than the origin. */
function repairRecord(key: string, value: string): SequencedRow | undefined {
  const rest = unsealRow(key, value)
  if (rest === undefined) return undefined
  const entry = ENTRY_HEAD.exec(rest)
  const [head = '', seq, first = '', second = ''] = entry ?? TOMBSTONE_HEAD.exec(rest) ?? []
  if (seq === undefined) return undefined
  // Data is compact, so the last line feed of the row is the one before it, whatever the origin holds.
  const end = entry === null ? rest.length : rest.lastIndexOf('\n')
  if (end < head.length) return undefined
  const { origin, words } = splitFields(rest.slice(head.length, end))
  const plain: StoredRecord =
    entry === null
      ? { kind: 'tombstone', key, deleted: BigInt(first), origin }
      : {
          ...{ kind: 'entry', key, origin, data: rest.slice(end + 1) },
          ...{ created: BigInt(first), updated: BigInt(second) },
        }
  const record = withFieldWords(withStandInOrigin(plain), words)
  if (record === undefined || flawOf(record) !== undefined) return undefined
  return { seq: Number(seq), record }
}

/** Fields come last, each after a space; an origin may hold spaces itself. */
function splitFields(text: string): { origin: string; words: string[] } {
  const words = text.split(' ')
  const fields: string[] = []
  while (words.length > 1 && /^[a-z][a-z0-9-]{0,31}=[!-~]*$/.test(words.at(-1) ?? '')) {
    fields.unshift(words.pop() ?? '')
  }
  return { origin: words.join(' '), words: fields }
}
