import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { isStateError } from '../../../src/core/errors.ts'
import { matchKey } from '../../../src/core/keys/key.ts'
import type { Database } from '../../../src/store/database.ts'
import type { StoreOptions } from '../../../src/store/types/store-options.ts'
import { openDatabase } from '../../support/database.ts'

interface ModelEntry {
  readonly created: bigint
  readonly updated: bigint
  readonly data: string
}

/** The operations of wire.md 9.2 over a plain map. */
class Model {
  readonly entries = new Map<string, ModelEntry>()

  set(key: string, data: string, version: bigint): void {
    const before = this.entries.get(key)
    const meta =
      before === undefined
        ? { created: version, updated: 0n }
        : { created: before.created, updated: version }
    this.entries.set(key, { ...meta, data })
  }

  matching(pattern: string): [string, ModelEntry][] {
    return [...this.entries].filter(([key]) => matchKey(pattern, key))
  }

  list(glob: string, order: 'newest' | 'oldest', limit = Number.POSITIVE_INFINITY, span = ALL) {
    const newest = this.matching(glob)
      .filter(([, { created }]) => created >= span.from && created <= span.to)
      .sort(([a, x], [b, y]) => Number(y.created - x.created) || (a < b ? -1 : 1))
    return (order === 'newest' ? newest : newest.reverse()).slice(0, limit).map(([key]) => key)
  }
}

const ALL = { from: 0n, to: 2n ** 63n - 1n }
const KEYS = ['a', 'b', 'l/a', 'l/b', 'l/c', 'l/a/x', 'm/a/x', 'm/b/x']
const GLOBS = ['*', 'l/*', 'm/*/x', '*/*', 'l/a*', 'none/*']

type Step = (database: Database, model: Model) => Promise<void>

/** The code that the operation was refused with; undefined when it was done. */
async function codeOf(operation: Promise<unknown>): Promise<string | undefined> {
  try {
    await operation
    return undefined
  } catch (error) {
    if (isStateError(error)) return error.code
    throw error
  }
}

const key = fc.constantFrom(...KEYS)
const glob = fc.constantFrom(...GLOBS)
const data = fc.constantFrom('1', '"text"', '{"n":12345678901234567890}', '[]')
const stamp = fc.bigInt({ min: 1n, max: 40n }).map((n) => 1_767_225_600_000_000_000n + n)

const SET: fc.Arbitrary<Step> = fc.tuple(key, data).map(([k, json]) => async (database, model) => {
  const { version } = await database.set(k, json)
  model.set(k, json, version)
})

const PUSH: fc.Arbitrary<Step> = fc
  .tuple(fc.constantFrom('l/*', 'p/*', '*'), data)
  .map(([g, json]) => async (database, model) => {
    const { key: made, version, index } = await database.push(g, json)
    expect(made).toBe(g.replace('*', index))
    model.set(made, json, version)
  })

const UPDATE: fc.Arbitrary<Step> = key.map((k) => async (database, model) => {
  const before = model.entries.get(k)
  if (before === undefined) {
    expect(await codeOf(database.update(k, () => '0'))).toBe('not_found')
    return
  }
  const { version } = await database.update(k, (current) => `[${current.data}]`)
  model.set(k, `[${before.data}]`, version)
})

const WITH_META: fc.Arbitrary<Step> = fc
  .tuple(key, data, stamp, fc.oneof(stamp, fc.constant(0n)))
  .map(([k, json, created, updated]) => async (database, model) => {
    const { version } = await database.setWithMeta(k, json, { created, updated })
    expect(version).toBe(updated > created ? updated : created)
    model.entries.set(k, { created, updated, data: json })
  })

const DELETE: fc.Arbitrary<Step> = fc
  .tuple(fc.oneof(key, glob), fc.boolean())
  .map(([pattern, isSilent]) => async (database, model) => {
    const matching = model.matching(pattern)
    const deletion = isSilent ? database.deleteSilent(pattern) : database.delete(pattern)
    if (matching.length === 0 && !pattern.includes('*')) {
      expect(await codeOf(deletion)).toBe('not_found')
      return
    }
    expect(await deletion).toMatchObject({ deleted: matching.length })
    for (const [k] of matching) model.entries.delete(k)
  })

const LOCKED_SET: fc.Arbitrary<Step> = fc
  .tuple(key, data)
  .map(([k, json]) => async (database, model) => {
    if (!model.entries.has(k)) {
      expect(await codeOf(database.getAndLock(k))).toBe('not_found')
      return
    }
    const { lock, entry } = await database.getAndLock(k)
    expect(entry.data).toBe(model.entries.get(k)?.data)
    expect(await codeOf(database.set(k, '"kept out"', { waitMs: 0 }))).toBe('locked')
    const { version } = await database.setAndUnlock(k, json, lock.token)
    model.set(k, json, version)
  })

const CLEAR: fc.Arbitrary<Step> = fc.constant(async (database: Database, model: Model) => {
  expect(await database.clear()).toMatchObject({ deleted: model.entries.size })
  model.entries.clear()
})

const READ: fc.Arbitrary<Step> = fc
  .tuple(glob, fc.constantFrom('newest', 'oldest'), fc.integer({ min: 1, max: 5 }), stamp, stamp)
  .map(([g, order, limit, a, b]) => async (database, model) => {
    const keys = async (range?: Parameters<Database['list']>[1]): Promise<string[]> =>
      (await database.list(g, range)).map((entry) => entry.key)
    expect(await keys()).toEqual(model.list(g, 'newest'))
    expect(await keys({ order, limit })).toEqual(model.list(g, order, limit))
    const [from, to] = a < b ? [a, b] : [b, a]
    expect(await keys({ order, limit, from, to })).toEqual(
      model.list(g, order, limit, { from, to }),
    )
    expect(await keys({ order, from })).toEqual(model.list(g, order, undefined, { ...ALL, from }))
    expect(await keys({ order, to })).toEqual(model.list(g, order, undefined, { ...ALL, to }))
    expect(await database.keysRange(g, from, to)).toEqual(
      model.list(g, 'oldest', undefined, { from, to }),
    )
    const union = [...model.matching(g), ...model.matching('l/*')].map(([k]) => k)
    expect(await database.keys([g, 'l/*'])).toEqual([...new Set(union)].sort())
  })

const step = fc.oneof(
  ...[
    { weight: 5, arbitrary: SET },
    { weight: 3, arbitrary: PUSH },
    { weight: 2, arbitrary: UPDATE },
    { weight: 3, arbitrary: WITH_META },
    { weight: 3, arbitrary: DELETE },
    { weight: 2, arbitrary: LOCKED_SET },
    { weight: 1, arbitrary: CLEAR },
    { weight: 5, arbitrary: READ },
  ],
)

it.each<[string, Partial<StoreOptions>]>([
  ['with everything in memory', {}],
  ['with a small cache', { cacheBytes: 2000 }],
  ['without a cache', { cacheBytes: 0 }],
])('every operation does what the model does, %s', async (_name, storeOptions) => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
      const { database, store, time } = await openDatabase({ storeOptions })
      const model = new Model()
      for (const run of steps) {
        await run(database, model)
        time.advance(1)
      }
      expect(await database.keys()).toEqual([...model.entries.keys()].sort())
      for (const [k, expected] of model.entries) {
        expect(await database.get(k)).toMatchObject({ ...expected, key: k })
      }
      expect(database.metrics().locks).toMatchObject({ held: 0, waiting: 0 })
      await store.close()
    }),
    { numRuns: 150 },
  )
})
