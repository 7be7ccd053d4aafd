/** Faults of rows, batches and life, each with the case of the suite that must name it. */

import type { BatchOperation, BatchOptions } from '../../src/core/ports/storage-adapter.ts'
import { StateError } from '../../src/core/ports/storage-adapter.ts'
import { drain } from './storage-case.ts'
import { type Fault, turns } from './storage-fault.ts'
import { SCAN_FAULTS } from './storage-scan-faults.ts'

const isNotOpen = (error: unknown): boolean =>
  error instanceof StateError && error.code === 'not_open'

type Batch = (operations: readonly BatchOperation[], options?: BatchOptions) => Promise<void>

const ROW_FAULTS: readonly Fault[] = [
  {
    fault: 'an empty value reads as absent',
    caughtBy: 'rows: an empty value is not an absent row',
    plant: (base) => ({ get: async (key) => (await base.get(key)) || undefined }),
  },
  {
    fault: 'values go through numbers',
    caughtBy: 'rows: any text is kept as it is',
    plant: (base) => ({
      getMany: async (keys) =>
        (await base.getMany(keys)).map((value) => {
          const number = Number(value)
          return value === undefined || Number.isNaN(number) ? value : String(number)
        }),
    }),
  },
  {
    fault: 'keys are taken without regard to case',
    caughtBy: 'rows: keys that look alike',
    plant: (base) => ({
      batch: (operations, options) => {
        const lower = operations.map((item) => ({ ...item, key: item.key.toLowerCase() }))
        return base.batch(lower, options)
      },
      get: (key) => base.get(key.toLowerCase()),
      getMany: (keys) => base.getMany(keys.map((key) => key.toLowerCase())),
    }),
  },
  {
    fault: 'deleting an absent row is an error',
    caughtBy: 'rows: a deleted row is gone',
    plant: (base) => ({
      batch: async (operations, options) => {
        for (const { type, key } of operations) {
          if (type === 'del' && (await base.get(key)) === undefined) {
            throw new StateError('storage_failed', `no row "${key}"`)
          }
        }
        return base.batch(operations, options)
      },
    }),
  },
  {
    fault: 'getMany answers each key once',
    caughtBy: 'getMany: answers in the order asked',
    plant: (base) => ({ getMany: (keys) => base.getMany([...new Set(keys)]) }),
  },
  {
    fault: 'getMany reads key after key',
    caughtBy: 'getMany: shows one point',
    plant: (base) => ({
      getMany: async (keys) => {
        const values: (string | undefined)[] = []
        for (const key of keys) {
          values.push(await base.get(key))
          if (values.length === 1) await turns()
        }
        return values
      },
    }),
  },
]

const BATCH_FAULTS: readonly Fault[] = [
  {
    fault: 'batches are written operation by operation',
    caughtBy: 'snapshots: a scan never shows half of a batch',
    plant: (base) => ({
      batch: async (operations, options) => {
        for (const operation of operations) {
          await base.batch([operation], options)
          if (operation.key === 'm') await turns()
        }
      },
    }),
  },
  {
    fault: 'of two operations on a key the first wins',
    caughtBy: 'batches: the operations of a batch apply in their order',
    plant: (base) => ({
      batch: (operations, options) => {
        const seen = new Set<string>()
        const firsts = operations.filter(({ key }) => !seen.has(key) && seen.add(key))
        return base.batch(firsts, options)
      },
    }),
  },
  {
    fault: 'a long batch is cut',
    caughtBy: 'batches: 10,000 operations make one batch',
    plant: (base) => ({ batch: (list, options) => base.batch(list.slice(0, 9_999), options) }),
  },
  {
    fault: 'short batches overtake long ones',
    caughtBy: 'batches: they apply in the order of the calls',
    plant: (base) => ({
      batch: async (operations, options) => {
        if (operations.length > 10) await turns()
        return base.batch(operations, options)
      },
    }),
  },
  {
    fault: 'a batch resolves before it can be read',
    caughtBy: 'batches: every read that is called after a batch resolved sees it',
    plant: (base) => ({
      batch: async (operations, options) => {
        const copy = operations.slice()
        setImmediate(() => base.batch(copy, options).catch(() => undefined))
      },
    }),
  },
  {
    fault: 'a batch is read after its call',
    caughtBy: 'batches: what the caller later does to its array',
    plant: (base) => {
      let last: Promise<void> = Promise.resolve()
      const batch: Batch = (operations, options) => {
        last = last.then(() => base.batch(operations, options))
        return last
      }
      return { batch }
    },
  },
  {
    fault: 'a durability that is not offered is accepted',
    caughtBy: 'durability: each level is honoured when declared',
    plant: (base) => ({ batch: (operations) => base.batch(operations) }),
  },
  {
    fault: 'a batch is refused after half of it was written',
    caughtBy: 'durability: each level is honoured when declared',
    plant: (base) => ({
      batch: async (operations, options) => {
        await base.batch(operations.slice(0, operations.length / 2))
        return base.batch(operations, options)
      },
    }),
  },
]

const LIFE_FAULTS: readonly Fault[] = [
  {
    fault: 'a failed read is "absent"',
    caughtBy: 'life: get rejects with not_open, closed',
    plant: (base) => ({ get: (key) => base.get(key).catch(() => undefined) }),
  },
  {
    fault: 'a scan of a closed adapter is empty',
    caughtBy: 'life: iterate rejects with not_open, before open',
    plant: (base) => ({
      iterate: (range) => {
        const rows = base.iterate(range)
        return (async function* () {
          try {
            yield* rows
          } catch (error) {
            if (!isNotOpen(error)) throw error
          }
        })()
      },
    }),
  },
  {
    fault: 'errors have no code',
    caughtBy: 'life: batch rejects with not_open, closing',
    plant: (base) => ({
      batch: (operations, options) =>
        base.batch(operations, options).catch((error: Error) => {
          throw new Error(error.message)
        }),
    }),
  },
  {
    fault: 'a batch during close waits and is written when the adapter opens again',
    caughtBy: 'life: batch rejects with not_open, closing again',
    plant: (base) => {
      const late: (readonly BatchOperation[])[] = []
      return {
        batch: (operations, options) =>
          base.batch(operations, options).catch((error: unknown) => {
            late.push(operations)
            throw error
          }),
        open: async () => {
          await base.open()
          for (const operations of late.splice(0)) await base.batch(operations)
        },
      }
    },
  },
  {
    fault: 'no keys and no operations are answered while closed',
    caughtBy: 'life: getMany of nothing rejects',
    plant: (base) => ({ getMany: async (keys) => (keys.length === 0 ? [] : base.getMany(keys)) }),
  },
  {
    fault: 'a second open starts anew',
    caughtBy: 'life: open of an open adapter does not interrupt it',
    plant: (base) => ({
      open: async () => {
        await base.close()
        await base.open()
      },
    }),
  },
  {
    fault: 'a scan goes on after close',
    caughtBy: 'life: a scan does not outlive close',
    plant: (base) => ({
      iterate: (range) => {
        const rows = drain(base.iterate(range))
        rows.catch(() => undefined)
        return (async function* () {
          yield* await rows
        })()
      },
    }),
  },
  {
    fault: 'close drops batches that wait',
    caughtBy: 'life: close lets running batches and reads finish',
    plant: (base) => {
      let last: Promise<unknown> = Promise.resolve()
      const batch: Batch = (operations, options) => {
        const copy = operations.slice()
        const writing = last.then(() => base.batch(copy, options))
        last = writing.catch(() => undefined)
        return writing
      }
      return { batch }
    },
  },
]

export const MEMORY_FAULTS: readonly Fault[] = [
  ...ROW_FAULTS,
  ...BATCH_FAULTS,
  ...SCAN_FAULTS,
  ...LIFE_FAULTS,
]
