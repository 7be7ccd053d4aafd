/** Planting a fault in a storage adapter, to see the suite name it. */

import type { StorageAdapter } from '../../src/core/ports/storage-adapter.ts'

/** One way an adapter can be wrong. */
export interface Fault {
  /** What is wrong, to follow "catches that". */
  readonly fault: string
  /** Start of the name of the case that must fail. */
  readonly caughtBy: string
  /** The methods that differ from the sound adapter `base`. */
  readonly plant: (base: StorageAdapter) => Partial<StorageAdapter>
}

/** `base` with some methods replaced. */
export function withFault(base: StorageAdapter, plant: Fault['plant']): StorageAdapter {
  return {
    capabilities: base.capabilities,
    get damage() {
      return base.damage
    },
    open: () => base.open(),
    close: () => base.close(),
    get: (key) => base.get(key),
    getMany: (keys) => base.getMany(keys),
    batch: (operations, options) => base.batch(operations, options),
    iterate: (range) => base.iterate(range),
    ...plant(base),
  }
}

/** Some turns of the event loop, in which others may act. */
export async function turns(count = 3): Promise<void> {
  for (let i = 0; i < count; i += 1) await new Promise((resolve) => setImmediate(resolve))
}
