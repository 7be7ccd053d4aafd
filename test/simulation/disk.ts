/**
 * A virtual disk. It outlives the processes that open it; a crash makes the process's handle dead
 * and may undo the newest batches, as an operating system that lost power does with what was not
 * synced.
 */

import { DigestSum } from '../../src/core/data/digest.ts'
import type { StoredRecord } from '../../src/core/data/entry.ts'
import { restoredOrigin } from '../../src/core/data/origin.ts'
import { StateError } from '../../src/core/errors.ts'
import type {
  BatchOperation,
  BatchOptions,
  Row,
  RowRange,
  StorageAdapter,
  StorageCapabilities,
} from '../../src/core/ports/storage-adapter.ts'
import { decodeHead, encodeHead } from '../../src/store/format/head.ts'
import { beginningRow, ORIGIN_ROW } from '../../src/store/format/identity.ts'
import {
  DAMAGE_ROWS,
  damageRow,
  decodePending,
  decodeRecord,
  FORMAT_ROW,
  FORMAT_WITHOUT_CHECKSUMS,
  LOG_ROWS,
  logRow,
  META_ROWS,
  metaRow,
  nameOfRow,
  OUTBOX_ROWS,
  outboxRow,
  RECORD_ROWS,
  recordRow,
  type SequencedRow,
  sealRow,
  TIME_ROWS,
  timeRow,
  unsealRow,
} from '../../src/store/format/rows.ts'
import { INCARNATIONS_ROW } from '../../src/store/recovery/incarnations.ts'
import { lineageOfRows } from './lineage-of-rows.ts'

const HEAD = metaRow('head')

/** What puts one batch back: the values its rows had before. */
type Undo = readonly (readonly [key: string, before: string | undefined])[]

export class VirtualDisk {
  readonly #rows = new Map<string, string>()
  #unsynced: Undo[] = []
  #handle: DiskHandle | undefined

  /** So many of the next batches fail, as on a full disk. */
  failures = 0
  /** So many more batches are written before `died` is called; undefined: no end. */
  #fuse: number | undefined
  #died: () => void = () => undefined
  #image: ReadonlyMap<string, string> | undefined
  #restores = 0
  readonly #latency: () => Promise<void>

  /** @param latency waits as long as one access takes. */
  constructor(latency: () => Promise<void>) {
    this.#latency = latency
  }

  /** A new process opens the disk; there is one at a time. */
  attach(): StorageAdapter {
    this.#handle = new DiskHandle(
      this.#rows,
      () => this.#access(),
      (undo, synced) => {
        this.#unsynced = synced ? [] : [...this.#unsynced, undo]
        this.#burn()
      },
    )
    return this.#handle
  }

  /** `died` is called right after the batch that follows `batches` more, before it is answered. */
  killAfter(batches: number, died: () => void): void {
    this.#fuse = batches
    this.#died = died
  }

  /** Takes back `killAfter`. */
  disarm(): void {
    this.#fuse = undefined
  }

  #burn(): void {
    if (this.#fuse === undefined) return
    if (this.#fuse-- > 0) return
    this.#fuse = undefined
    this.#died()
  }

  /** Waits for one write; throws when it is to fail. */
  async #access(): Promise<void> {
    await this.#latency()
    if (this.failures === 0) return
    this.failures--
    throw new StateError('storage_failed', 'no space left on the virtual disk')
  }

  /** Batches that a power cut could still undo. */
  get unsynced(): number {
    return this.#unsynced.length
  }

  /** The process dies; of the unsynced batches the newest `lost` are gone. */
  crash(lost: number): void {
    this.#handle?.kill()
    this.#handle = undefined
    this.#fuse = undefined
    for (let i = 0; i < lost; i++) {
      for (const [key, before] of this.#unsynced.pop() ?? []) {
        if (before === undefined) this.#rows.delete(key)
        else this.#rows.set(key, before)
      }
    }
    this.#unsynced = []
  }

  /** One bit of a record's row is another. @returns the record's key; undefined when there is none. */
  rot(pick: (rows: readonly string[]) => string): string | undefined {
    const records = this.rows('records')
    if (records.length === 0) return undefined
    const row = pick(records)
    const value = this.#rows.get(row) ?? ''
    const last = value.charCodeAt(value.length - 1)
    this.#rows.set(row, value.slice(0, -1) + String.fromCharCode(last ^ 1))
    return nameOfRow(row)
  }

  /**
   * A record vanishes behind everybody's back: its rows and its part of the digest, so that nothing
   * on this disk tells of it. @returns its key; undefined when there is none.
   */
  forget(pick: (rows: readonly string[]) => string): string | undefined {
    const records = this.rows('records')
    const head = decodeHead(unsealRow(HEAD, this.#rows.get(HEAD) ?? '') ?? '')
    if (records.length === 0 || head === undefined || this.#handle !== undefined) return undefined
    const row = pick(records)
    const key = nameOfRow(row)
    const found = decodeRecord(key, this.#rows.get(row) ?? '')
    if (found === undefined) return undefined
    const { record, seq } = found
    const gone = [row, logRow(seq), outboxRow(seq)]
    if (record.kind === 'entry') gone.push(timeRow(record))
    for (const one of gone) this.#rows.delete(one)
    const sum = new DigestSum(head.digest)
    sum.remove(record)
    const digest = head.digest === undefined ? undefined : sum.value
    this.#rows.set(HEAD, sealRow(HEAD, encodeHead({ ...head, digest })))
    return key
  }

  /** Takes a backup, as of now. */
  takeImage(): void {
    this.#image = new Map(this.#rows)
  }

  /**
   * Goes back to the backup as `ooo restore` does: the log begins a new epoch, and the node writes under
   * another origin. @returns whether there was one.
   */
  async restoreImage(): Promise<boolean> {
    if (this.#image === undefined) return false
    const n = ++this.#restores
    const lineage = await lineageOfRows(this.#image, `restored${n}`)
    this.crash(0)
    this.#rows.clear()
    for (const [row, value] of this.#image) this.#rows.set(row, value)
    for (const [row, value] of lineage) this.#rows.set(row, value)
    this.#rows.delete(metaRow(INCARNATIONS_ROW))
    const id = unsealRow(metaRow('id'), this.#rows.get(metaRow('id')) ?? '')
    if (id !== undefined) {
      const origin = restoredOrigin(id, n.toString(16).padStart(16, '0'))
      const row = metaRow(ORIGIN_ROW)
      this.#rows.set(row, sealRow(row, beginningRow(origin)))
    }
    return true
  }

  /** Becomes what the first release wrote: no checksums but those of records, no digest, no index. */
  downgrade(): void {
    if (!this.#rows.has(FORMAT_ROW) || this.rows('damage').length > 0) return
    for (const row of [...this.rows('log'), ...this.rows('outbox'), ...this.rows('meta')]) {
      const value = unsealRow(row, this.#rows.get(row) ?? '')
      if (value !== undefined) this.#rows.set(row, value)
    }
    const head = this.#rows.get(metaRow('head'))
    if (head !== undefined) this.#rows.set(metaRow('head'), head.split(' ').slice(0, 2).join(' '))
    for (const row of [...this.rows('time'), metaRow('indexed')]) this.#rows.delete(row)
    this.#rows.set(FORMAT_ROW, FORMAT_WITHOUT_CHECKSUMS)
  }

  /** The intact record of a key, as it is on disk. */
  record(key: string): StoredRecord | undefined {
    return this.row(key)?.record
  }

  /** The same with its place in the log. */
  row(key: string): SequencedRow | undefined {
    const value = this.#rows.get(recordRow(key))
    if (value === undefined || this.#rows.has(damageRow(key))) return undefined
    return decodeRecord(key, value)
  }

  /** Whether the record of a key is in the outbox. */
  isPending(key: string): boolean {
    return this.rows('outbox').some((row) => {
      const pending = unsealRow(row, this.#rows.get(row) ?? '')
      return pending !== undefined && decodePending(pending).key === key
    })
  }

  /** Names of the rows of one table. */
  rows(table: Table): string[] {
    return [...this.#rows.keys()].filter((row) => inRange(row, TABLES[table]))
  }

  /** What is written in a row. */
  value(row: string): string | undefined {
    return this.#rows.get(row)
  }

  /** Everything is gone, backups aside. */
  wipe(): void {
    this.crash(0)
    this.#rows.clear()
  }
}

export type Table = 'records' | 'log' | 'outbox' | 'time' | 'meta' | 'damage'

const TABLES: Readonly<Record<Table, RowRange>> = {
  records: RECORD_ROWS,
  log: LOG_ROWS,
  outbox: OUTBOX_ROWS,
  time: TIME_ROWS,
  meta: META_ROWS,
  damage: DAMAGE_ROWS,
}

class DiskHandle implements StorageAdapter {
  readonly capabilities: StorageCapabilities = { durability: ['process', 'disk'], persistent: true }
  readonly #rows: Map<string, string>
  readonly #access: () => Promise<void>
  readonly #written: (undo: Undo, synced: boolean) => void
  #alive = true

  constructor(
    rows: Map<string, string>,
    access: () => Promise<void>,
    written: (undo: Undo, synced: boolean) => void,
  ) {
    this.#rows = rows
    this.#access = access
    this.#written = written
  }

  kill(): void {
    this.#alive = false
  }

  async open(): Promise<void> {
    this.#assertAlive()
  }

  async close(): Promise<void> {}

  async get(key: string): Promise<string | undefined> {
    this.#assertAlive()
    return this.#rows.get(key)
  }

  async batch(operations: readonly BatchOperation[], options?: BatchOptions): Promise<void> {
    // The write reaches the disk a moment later; a process that dies before then never wrote.
    await this.#access()
    this.#assertAlive()
    const undo = operations.map(({ key }) => [key, this.#rows.get(key)] as const).reverse()
    for (const operation of operations) {
      if (operation.type === 'put') this.#rows.set(operation.key, operation.value)
      else this.#rows.delete(operation.key)
    }
    this.#written(undo, options?.durability === 'disk')
    this.#assertAlive()
  }

  async getMany(keys: readonly string[]): Promise<(string | undefined)[]> {
    this.#assertAlive()
    return keys.map((key) => this.#rows.get(key))
  }

  iterate(range: RowRange = {}): AsyncIterable<Row> {
    this.#assertAlive()
    const rows = [...this.#rows].filter(([key]) => inRange(key, range))
    rows.sort(([a], [b]) => (a < b ? -1 : 1))
    if (range.reverse === true) rows.reverse()
    return streamed(rows.slice(0, range.limit ?? rows.length))
  }

  #assertAlive(): void {
    if (!this.#alive) throw new StateError('not_open', 'the process of this handle is dead')
  }
}

async function* streamed(rows: readonly Row[]): AsyncGenerator<Row> {
  yield* rows
}

function inRange(key: string, { gt, gte, lt, lte }: RowRange): boolean {
  return (
    (gt === undefined || key > gt) &&
    (gte === undefined || key >= gte) &&
    (lt === undefined || key < lt) &&
    (lte === undefined || key <= lte)
  )
}
