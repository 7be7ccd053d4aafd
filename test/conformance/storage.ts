/**
 * The suite that every storage adapter passes: each guarantee of `StorageAdapter`, on the rows of
 * any adapter, in any test framework. What applies is read from the adapter's capabilities and
 * from what its factory can do, never from a name; whatever does not apply is skipped with a reason.
 *
 * ```ts
 * import { test } from 'node:test'
 * import { storageConformance } from 'ooo-cluster/storage/conformance'
 *
 * storageConformance({ name: 'mine', test, create: async () => ({ adapter: new MyStorage() }) })
 * ```
 */

import type { StorageAdapter } from '../../src/core/ports/storage-adapter.ts'
import type { CaseTools, ConformanceCase, StorageCase } from './storage-case.ts'
import { DURABILITY_CASES, FAILURE_CASES, OWNER_CASES } from './storage-durability.ts'
import { LIFE_CASES } from './storage-lifecycle.ts'
import { MODEL_CASES } from './storage-model.ts'
import { BATCH_CASES, GET_MANY_CASES, ROW_CASES } from './storage-rows.ts'
import { RANGE_CASES, SCAN_CASES } from './storage-scans.ts'
import { SNAPSHOT_CASES } from './storage-snapshots.ts'

export type { StorageCase } from './storage-case.ts'

/** How a storage is made, and the name its cases carry. */
export interface StorageFactory {
  readonly name: string
  /** Makes one empty storage; called for each case, several may be in use at once. */
  create(): Promise<StorageCase>
}

/** A framework's function that registers a test: `test` of node:test, vitest, mocha (`it`), jest. */
export type TestFunction = (
  name: string,
  body: (...context: readonly unknown[]) => Promise<void>,
) => unknown

/** Options of `storageConformance`. */
export interface StorageConformanceOptions extends StorageFactory {
  /**
   * Registers one case. A case may take seconds on slow storage: allow it 60 s where the framework
   * has a limit.
   */
  readonly test: TestFunction
  /**
   * Called inside a case that does not apply, with the case's name, the reason, and what the
   * framework gave the test. Default: the framework's own `context.skip(reason)`; frameworks
   * without that (mocha, jest) need this option, else such a case fails.
   */
  readonly skip?: (name: string, reason: string, ...context: readonly unknown[]) => void
  /** First seed of the random walks, a whole number. Default: another one each time; failures name it. */
  readonly seed?: number
  /** Random walks, each on a storage of its own. Default 40. 0 walks none. */
  readonly walks?: number
}

/** Every case of the suite, in the order it runs. */
const CASES: readonly ConformanceCase[] = [
  ...ROW_CASES,
  ...BATCH_CASES,
  ...GET_MANY_CASES,
  ...RANGE_CASES,
  ...SCAN_CASES,
  ...SNAPSHOT_CASES,
  ...DURABILITY_CASES,
  ...OWNER_CASES,
  ...FAILURE_CASES,
  ...LIFE_CASES,
  ...MODEL_CASES,
]

/** Registers every case for what `create` makes, as `<name>: <area>: <behaviour>`. */
export function storageConformance(options: StorageConformanceOptions): void {
  const settings = Object.freeze({
    ...options,
    skip: options.skip ?? skipByContext,
    seed: options.seed ?? Math.floor(Math.random() * 2 ** 32),
    walks: options.walks ?? 40,
  })
  for (const item of CASES) {
    // Rest arguments: mocha and jest take a declared parameter for a callback they must wait for.
    settings.test(`${settings.name}: ${item.name}`, (...context) =>
      runCase(item, settings, context),
    )
  }
}

async function runCase(
  item: ConformanceCase,
  options: Required<StorageConformanceOptions>,
  context: readonly unknown[],
): Promise<void> {
  const releases: (() => Promise<void>)[] = []
  const keep = (adapter: StorageAdapter): StorageAdapter => {
    releases.push(async () => adapter.close())
    return adapter
  }
  const create = async (): Promise<StorageCase> => {
    const made = await options.create()
    releases.push(async () => made.cleanup?.())
    return made
  }
  const tools: CaseTools = { create, keep, seed: options.seed, walks: options.walks }
  const work = async (): Promise<void> => {
    const storage = await create()
    const reason = item.skip?.(storage)
    if (reason !== undefined) return options.skip(item.name, reason, ...context)
    keep(storage.adapter)
    if (item.closed !== true) await storage.adapter.open()
    await item.run(storage, tools)
  }
  await finish(work, releases)
}

/** Runs `work`, then every release, last first; rejects with the first error there was. */
async function finish(work: () => Promise<void>, releases: (() => Promise<void>)[]): Promise<void> {
  const errors: unknown[] = []
  await work().catch((error: unknown) => errors.push(error))
  for (const release of releases.reverse()) {
    await release().catch((error: unknown) => errors.push(error))
  }
  if (errors.length > 0) throw errors[0]
}

function skipByContext(name: string, reason: string, ...context: readonly unknown[]): void {
  const [given] = context
  if (!hasSkip(given)) {
    throw new Error(`cannot skip "${name}" (${reason}): this framework needs the option "skip"`)
  }
  given.skip(reason)
}

/** The context of node:test is an object, that of vitest a function. */
function hasSkip(context: unknown): context is { skip(reason: string): unknown } {
  if (context === null || (typeof context !== 'object' && typeof context !== 'function'))
    return false
  return 'skip' in context && typeof context.skip === 'function'
}
