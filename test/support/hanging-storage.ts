/** A storage that can be made to hang: batches are neither refused nor answered then. */
import type {
  BatchOperation,
  BatchOptions,
  StorageCapabilities,
} from '../../src/core/ports/storage-adapter.ts'
import { MemoryStorage } from '../../storage-adapters/memory/memory.ts'

/** Each batch that came while it hung is done, and answered, once it goes on. */
export class HangingStorage extends MemoryStorage {
  override readonly capabilities: StorageCapabilities = {
    durability: ['process'],
    persistent: true,
  }
  #gate: Promise<void> = Promise.resolve()
  #open = (): void => undefined
  /** Characters of values in the greatest batch. */
  greatest = 0

  hang(): void {
    this.#gate = new Promise((resolve) => {
      this.#open = resolve
    })
  }

  goOn(): void {
    this.#open()
  }

  override async batch(
    operations: readonly BatchOperation[],
    _options?: BatchOptions,
  ): Promise<void> {
    const sizes = operations.map((item) => (item.type === 'put' ? item.value.length : 0))
    const size = sizes.reduce((sum, one) => sum + one, 0)
    this.greatest = Math.max(this.greatest, size)
    await this.#gate
    await super.batch(operations, { durability: 'process' })
  }
}
