/** The storage suite in this project's own tests. */

import { describe, it } from 'vitest'
import { type StorageFactory, storageConformance } from './storage.ts'

/** Runs the suite on what the factory makes. `OOO_TEST_SEED` replays the random walks of a failure. */
export function describeStorage(factory: StorageFactory): void {
  const seed = process.env.OOO_TEST_SEED
  describe('storage', () => {
    storageConformance({
      ...factory,
      test: (name, body) => it(name, body),
      ...(seed === undefined ? {} : { seed: Number(seed) }),
    })
  })
}
