/** Memory that says that it keeps what is in it, as a disk does: a node that stops comes back as the same. */
import type { StorageCapabilities } from '../../src/core/ports/storage-adapter.ts'
import { MemoryStorage } from '../../storage-adapters/memory/memory.ts'

export class KeptStorage extends MemoryStorage {
  override readonly capabilities: StorageCapabilities = {
    durability: ['process'],
    persistent: true,
  }

  override batch(...[operations]: Parameters<MemoryStorage['batch']>): Promise<void> {
    return super.batch(operations, { durability: 'process' })
  }
}
