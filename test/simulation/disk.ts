/**
 * A virtual disk. It outlives the processes that open it; a crash makes the process's handle dead
 * and may undo the newest batches, as an operating system that lost power does with what was not
 * synced.
 */
import { StateError } from '../../src/core/errors.ts'
import type {
  BatchOperation,
  BatchOptions,
  Row,
  RowRange,
  StorageAdapter,
  StorageCapabilities,
} from '../../src/storage-adapter.ts'

/** What puts one batch back: the values its rows had before. */
type Undo = readonly (readonly [key: string, before: string | undefined])[]

export class VirtualDisk {
  readonly #rows = new Map<string, string>()
  #unsynced: Undo[] = []
  #handle: DiskHandle | undefined

  /** So many of the next batches fail, as on a full disk. */
  failures = 0
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
      },
    )
    return this.#handle
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
    for (let i = 0; i < lost; i++) {
      for (const [key, before] of this.#unsynced.pop() ?? []) {
        if (before === undefined) this.#rows.delete(key)
        else this.#rows.set(key, before)
      }
    }
    this.#unsynced = []
  }

  /** One bit of a record's row is another. @returns whether there was a record. */
  rot(pick: (rows: readonly string[]) => string): boolean {
    const records = [...this.#rows.keys()].filter((row) => row.startsWith('e/'))
    if (records.length === 0) return false
    const row = pick(records)
    const value = this.#rows.get(row) ?? ''
    const last = value.charCodeAt(value.length - 1)
    this.#rows.set(row, value.slice(0, -1) + String.fromCharCode(last ^ 1))
    return true
  }

  /** Everything is gone. */
  wipe(): void {
    this.crash(0)
    this.#rows.clear()
  }
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
