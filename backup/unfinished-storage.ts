/**
 * A storage that is being made, seen as whole by the one who makes it and as none by everybody else: the
 * row that names the format says `restoring` until `finish`, so that a store refuses to open what a crash
 * left half made.
 */
import { StateError } from '../src/core/errors.ts'
import type {
  BatchOperation,
  BatchOptions,
  Row,
  RowRange,
  StorageAdapter,
  StorageCapabilities,
} from '../src/core/ports/storage-adapter.ts'
import { FORMAT_ROW } from '../src/store/format/rows.ts'

/** What the format row says meanwhile. */
const RESTORING = 'restoring'
/** Rows of a leftover removed at once. */
const PAGE_ROWS = 1000

export class UnfinishedStorage implements StorageAdapter {
  readonly #adapter: StorageAdapter
  /** The format as the maker wrote it. */
  #format: string | undefined

  constructor(adapter: StorageAdapter) {
    this.#adapter = adapter
  }

  get capabilities(): StorageCapabilities {
    return this.#adapter.capabilities
  }

  get damage(): string | undefined {
    return this.#adapter.damage
  }

  open(): Promise<void> {
    return this.#adapter.open()
  }

  close(): Promise<void> {
    return this.#adapter.close()
  }

  async get(key: string): Promise<string | undefined> {
    return key === FORMAT_ROW ? this.#format : this.#adapter.get(key)
  }

  async getMany(keys: readonly string[]): Promise<(string | undefined)[]> {
    const values = await this.#adapter.getMany(keys)
    return values.map((value, i) => (keys[i] === FORMAT_ROW ? this.#format : value))
  }

  async batch(operations: readonly BatchOperation[], options?: BatchOptions): Promise<void> {
    const rows = operations.map((operation) => {
      if (operation.key !== FORMAT_ROW || operation.type === 'del') return operation
      this.#format = operation.value
      return { ...operation, value: RESTORING }
    })
    await this.#adapter.batch(rows, options)
  }

  async *iterate(range?: RowRange): AsyncIterable<Row> {
    for await (const row of this.#adapter.iterate(range)) {
      if (row[0] !== FORMAT_ROW) yield row
      else if (this.#format !== undefined) yield [FORMAT_ROW, this.#format]
    }
  }

  /**
   * Takes the storage, which is open, for its own: it is empty, or what a restore that was cut off left,
   * which is removed. @throws StateError `in_use` when it holds anything else.
   */
  async begin(): Promise<void> {
    const isLeftover = (await this.#adapter.get(FORMAT_ROW)) === RESTORING
    const mark: BatchOperation = { type: 'put', key: FORMAT_ROW, value: RESTORING }
    for (let isEmpty = false; !isEmpty; ) {
      const rows: BatchOperation[] = []
      for await (const [key] of this.#adapter.iterate({ limit: PAGE_ROWS })) {
        if (!isLeftover) {
          throw new StateError('in_use', `backup: the storage is not empty: it has a row "${key}"`)
        }
        if (key !== FORMAT_ROW) rows.push({ type: 'del', key })
      }
      isEmpty = rows.length === 0
      await this.#adapter.batch([...rows, mark])
    }
  }

  /** Makes the storage, which is open, what it was made to be. */
  async finish(): Promise<void> {
    if (this.#format === undefined) return
    const strongest = this.#adapter.capabilities.durability.at(-1)
    await this.#adapter.batch(
      [{ type: 'put', key: FORMAT_ROW, value: this.#format }],
      strongest === undefined ? {} : { durability: strongest },
    )
  }
}
