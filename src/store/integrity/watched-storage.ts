/** An adapter whose calls are watched for damage and silence, so that no caller has to. */
import { isStateError, type StateError } from '../../core/errors.ts'
import type {
  BatchOperation,
  BatchOptions,
  Row,
  RowRange,
  StorageAdapter,
  StorageCapabilities,
} from '../../core/ports/storage-adapter.ts'
import type { StorageSilence } from './storage-silence.ts'

export class WatchedStorage implements StorageAdapter {
  readonly #adapter: StorageAdapter
  readonly #damaged: () => void
  readonly #silence: StorageSilence

  /**
   * @param damaged hears that a call met damaged bytes, or that the adapter has found damage by itself.
   * @param silence hears of every read and batch
   */
  constructor(adapter: StorageAdapter, silence: StorageSilence, damaged: () => void) {
    this.#adapter = adapter
    this.#silence = silence
    this.#damaged = damaged
  }

  get capabilities(): StorageCapabilities {
    return this.#adapter.capabilities
  }

  get damage(): string | undefined {
    return this.#adapter.damage
  }

  get lost(): Promise<StateError> | undefined {
    return this.#adapter.lost
  }

  get fault(): StateError | undefined {
    return this.#adapter.fault
  }

  starting(isUnderWay: boolean): void {
    this.#adapter.starting?.(isUnderWay)
  }

  get repair(): (() => Promise<string | undefined>) | undefined {
    const adapter = this.#adapter
    return adapter.repair && (() => adapter.repair?.() ?? Promise.resolve(undefined))
  }

  open(): Promise<void> {
    return this.#adapter.open()
  }

  close(): Promise<void> {
    return this.#adapter.close()
  }

  get(key: string): Promise<string | undefined> {
    return this.#watch(this.#adapter.get(key))
  }

  getMany(keys: readonly string[]): Promise<(string | undefined)[]> {
    return this.#watch(this.#adapter.getMany(keys))
  }

  async batch(operations: readonly BatchOperation[], options?: BatchOptions): Promise<void> {
    const before = this.#adapter.damage
    try {
      await this.#watch(this.#adapter.batch(operations, options))
    } finally {
      if (this.#adapter.damage !== before) this.#damaged()
    }
  }

  iterate(range?: RowRange): AsyncIterable<Row> {
    // The adapter takes its snapshot now, not when the first row is asked for.
    const rows = this.#adapter.iterate(range)
    const watch = <T>(call: Promise<T>): Promise<T> => this.#watch(call)
    return {
      [Symbol.asyncIterator]() {
        const iterator = rows[Symbol.asyncIterator]()
        return {
          next: () => watch(iterator.next()),
          return: async (value?: unknown) =>
            (await iterator.return?.(value)) ?? { done: true, value },
        }
      },
    }
  }

  /** Listens beside the caller, whom it costs no turn. */
  #watch<T>(call: Promise<T>): Promise<T> {
    this.#silence.watch(call)
    call.then(undefined, (error: unknown) => {
      if (isStateError(error, 'corrupt_record')) this.#damaged()
    })
    return call
  }
}
