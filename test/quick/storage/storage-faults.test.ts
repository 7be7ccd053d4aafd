import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { StateError, type StorageAdapter } from '../../../src/core/ports/storage-adapter.ts'
import { LevelStorage } from '../../../storage-adapters/leveldb/leveldb.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { storageConformance } from '../../conformance/storage.ts'
import type { StorageCase } from '../../conformance/storage-case.ts'
import { type Fault, withFault } from '../../conformance/storage-fault.ts'
import { MEMORY_FAULTS } from '../../conformance/storage-faults.ts'

const SEED = 20_260_101

/** What became of the cases of some areas; of all when none is given. */
interface Outcome {
  readonly failed: readonly string[]
  readonly skipped: readonly string[]
  readonly passed: readonly string[]
}

async function runSuite(
  create: () => Promise<StorageCase>,
  ...areas: readonly string[]
): Promise<Outcome> {
  const cases: { name: string; body: () => Promise<void> }[] = []
  const skipped: string[] = []
  storageConformance({
    name: 'made',
    create,
    seed: SEED,
    test: (name, body) => cases.push({ name: name.replace(/^made: /, ''), body }),
    skip: (name, reason) => skipped.push(`${name} [${reason}]`),
  })
  const failed: string[] = []
  const passed: string[] = []
  const isAsked = (name: string): boolean => areas.length === 0 || areas.includes(areaOf(name))
  for (const { name, body } of cases.filter((item) => isAsked(item.name))) {
    await body().then(
      () => passed.push(name),
      () => failed.push(name),
    )
  }
  return { failed, skipped, passed }
}

/** The part of a case's name before its colon. */
const areaOf = (name: string): string => name.slice(0, name.indexOf(':') + 1)

describe('the storage suite', () => {
  it('passes a sound adapter, and says why it skips what does not apply', async () => {
    const { failed, skipped } = await runSuite(async () => ({ adapter: new MemoryStorage() }))
    expect(failed).toEqual([])
    expect(skipped).toContain(
      'owner: a second adapter is refused with in_use, and served once the first has closed ' +
        '[the rows end with the adapter object]',
    )
  })

  it.each(MEMORY_FAULTS)('catches that $fault', async ({ caughtBy, plant }) => {
    const create = async () => ({ adapter: withFault(new MemoryStorage(), plant) })
    const { failed } = await runSuite(create, areaOf(caughtBy))
    expect(failed.filter((name) => name.startsWith(caughtBy))).not.toEqual([])
  })

  it.each(MEMORY_FAULTS.filter(({ caughtBy }) => /^scans: \{|^batches: the op/.test(caughtBy)))(
    'catches by its random walks too that $fault',
    async ({ plant }) => {
      const create = async () => ({ adapter: withFault(new MemoryStorage(), plant) })
      expect((await runSuite(create, 'model:')).failed).toHaveLength(1)
    },
  )

  it('names the seed of a random walk that failed, which replays it', async () => {
    const bodies: (() => Promise<void>)[] = []
    const register = (seed: number, walks: number): void =>
      storageConformance({
        name: 'made',
        create: async () => ({
          adapter: withFault(new MemoryStorage(), (base) => ({
            get: async (key) => (key.includes('Z') ? 'no' : base.get(key)),
          })),
        }),
        test: (name, body) => name.startsWith('made: model:') && bodies.push(body),
        seed,
        walks,
      })
    register(SEED, 100)
    const message = await bodies
      .pop()?.()
      .catch((error: Error) => error.message)
    const [, seed = ''] = /^seed (\d+), step \d+: /.exec(message ?? '') ?? []
    register(Number(seed), 1)
    await expect(bodies.pop()?.()).rejects.toThrow(message ?? 'a failure')
  })

  it('gives tests that take no parameter, for which mocha and jest would wait', () => {
    const lengths: number[] = []
    storageConformance({
      name: 'made',
      create: async () => ({ adapter: new MemoryStorage() }),
      test: (_name, body) => lengths.push(body.length),
    })
    expect(lengths.length).toBeGreaterThan(100)
    expect(new Set(lengths)).toEqual(new Set([0]))
  })

  it('fails a case it has to skip where it cannot say so', async () => {
    const outcomes: Promise<void>[] = []
    storageConformance({
      name: 'made',
      create: async () => ({ adapter: new MemoryStorage() }),
      test: (name, body) => name.startsWith('made: owner:') && outcomes.push(body()),
    })
    await expect(Promise.all(outcomes)).rejects.toThrow(/cannot skip .* needs the option "skip"/)
  })
})

/** LevelDB with everything a factory can offer, and an engine that can be made to refuse writes. */
async function createLevel(plant: Fault['plant'] = () => ({})): Promise<StorageCase> {
  const folder = await mkdtemp(join(tmpdir(), 'ooo-faults-'))
  const directory = join(folder, 'data')
  let full = false
  const make = (target: string): StorageAdapter => {
    const base = withFault(new LevelStorage({ directory: target }), (level) => ({
      batch: async (operations, options) => {
        const cause = new Error('ENOSPC: no space left on device, write')
        if (full) throw new StateError('storage_full', 'storage: the disk is full', { cause })
        return level.batch(operations, options)
      },
    }))
    return withFault(base, plant)
  }
  return {
    adapter: make(directory),
    reopen: () => make(directory),
    createSecond: () => make(directory),
    crash: async () => {
      await cp(directory, join(folder, 'left'), { recursive: true })
      return make(join(folder, 'left'))
    },
    disturb: async () => {
      full = true
      return async () => {
        full = false
      }
    },
    cleanup: () => rm(folder, { recursive: true, force: true }),
  }
}

const PERSISTENT_FAULTS: readonly Fault[] = [
  {
    fault: 'the newest batch is lost when the process is killed',
    caughtBy: 'durability: a killed process loses no batch that resolved, level process',
    plant: (base) => {
      let held: Parameters<StorageAdapter['batch']> | undefined
      const flush = async (): Promise<void> => {
        const batch = held
        held = undefined
        if (batch !== undefined) await base.batch(...batch)
      }
      return {
        batch: async (...batch) => {
          await flush()
          held = batch
        },
        close: () => flush().then(() => base.close()),
      }
    },
  },
  {
    fault: 'a batch that is under way when the process is killed is torn',
    caughtBy: 'durability: a killed process leaves a first part of the batches, none of them torn',
    plant: (base) => {
      let calls = 0
      const never = new Promise<void>(() => undefined)
      return {
        batch: async (operations, options) => {
          calls += 1
          if (calls <= 100) return base.batch(operations, options)
          if (calls === 101) await base.batch(operations.slice(0, 1), options)
          return never
        },
      }
    },
  },
  {
    fault: 'a second adapter is let in',
    caughtBy: 'owner: a second adapter is refused',
    plant: (base) => ({
      open: () =>
        base.open().catch((error: unknown) => {
          if (!(error instanceof StateError) || error.code !== 'in_use') throw error
        }),
    }),
  },
  {
    fault: 'a second adapter is refused without saying why',
    caughtBy: 'owner: a second adapter is refused',
    plant: (base) => ({
      open: () =>
        base.open().catch(() => {
          throw new StateError('storage_failed', 'storage: cannot open')
        }),
    }),
  },
  {
    fault: 'a batch that was refused shows later',
    caughtBy: 'failures: a batch the engine refuses',
    plant: (base) => {
      const refused: Parameters<StorageAdapter['batch']>[] = []
      return {
        batch: async (...batch) => {
          try {
            await base.batch(...batch)
          } catch (error) {
            refused.push(batch)
            throw error
          }
        },
        open: async () => {
          await base.open()
          for (const batch of refused.splice(0)) await base.batch(...batch)
        },
      }
    },
  },
  {
    fault: 'errors of the engine are not kept as cause',
    caughtBy: 'failures: a batch the engine refuses',
    plant: (base) => ({
      batch: (...batch) =>
        base.batch(...batch).catch((error: StateError) => {
          throw new StateError(error.code, error.message)
        }),
    }),
  },
  {
    fault: 'one failure ends all writing',
    caughtBy: 'failures: once the reason has passed',
    plant: (base) => {
      let first: unknown
      return {
        batch: async (...batch) => {
          if (first !== undefined) throw first
          await base.batch(...batch).catch((error: unknown) => {
            first = error
            throw error
          })
        },
      }
    },
  },
]

describe('the storage suite on persistent storage', () => {
  it('passes a sound adapter whose factory offers everything, skipping only what it is not', async () => {
    const { failed, skipped } = await runSuite(
      () => createLevel(),
      'durability:',
      'owner:',
      'failures:',
    )
    expect(failed).toEqual([])
    expect(skipped).toEqual([
      'durability: rows end with the object when the adapter is not persistent ' +
        '[the rows are persistent]',
    ])
  })

  it.each(PERSISTENT_FAULTS)('catches that $fault', async ({ caughtBy, plant }) => {
    const { failed } = await runSuite(() => createLevel(plant), areaOf(caughtBy))
    expect(failed.filter((name) => name.startsWith(caughtBy))).not.toEqual([])
  })

  it('catches that a persistent adapter loses its rows', async () => {
    const create = async (): Promise<StorageCase> => {
      const make = (): StorageAdapter =>
        withFault(new MemoryStorage(), () => ({
          capabilities: { durability: ['memory'], persistent: true },
        }))
      return { adapter: make(), reopen: make }
    }
    const { failed } = await runSuite(create, 'durability:')
    expect(failed).toEqual(['durability: rows outlive the object when the adapter is persistent'])
  })
})
