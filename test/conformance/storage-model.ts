/**
 * Random batches, reads and scans compared with a plain map; part of the storage suite. Everything
 * follows from one seed, so a failure is replayed by giving the seed that it names.
 */

import assert from 'node:assert/strict'
import type {
  BatchOperation,
  Row,
  RowRange,
  StorageAdapter,
} from '../../src/core/ports/storage-adapter.ts'
import { type CaseTools, type ConformanceCase, del, drain, put, rowsOf } from './storage-case.ts'
import { selectRows } from './storage-scans.ts'

/** Most steps of one walk. */
const STEPS = 25
/** Most scans of a walk that are begun and not read yet. */
const BEGUN_SCANS = 8

export const MODEL_CASES: readonly ConformanceCase[] = [
  {
    name: 'model: behaves as an ordered map under random batches, reads, scans and reopening',
    closed: true,
    run: async (_, tools) => {
      for (let walk = 0; walk < tools.walks; walk += 1) {
        const seed = (tools.seed + walk) >>> 0
        const log: string[] = []
        try {
          await runWalk(tools, createDice(seed), log)
        } catch (error) {
          const text = error instanceof Error ? error.message : String(error)
          const steps = log.slice(-6).join('\n  ')
          throw new Error(`seed ${seed}, step ${log.length}: ${text}\nlast steps:\n  ${steps}`, {
            cause: error,
          })
        }
      }
    },
  },
]

/** A whole number in [0, below). */
type Dice = (below: number) => number

/** A linear congruential generator (Knuth's MMIX constants), of which the upper bits are used. */
function createDice(seed: number): Dice {
  let state = BigInt(seed)
  return (below) => {
    state = BigInt.asUintN(64, state * 6_364_136_223_846_793_005n + 1_442_695_040_888_963_407n)
    return Number(((state >> 32n) * BigInt(below)) >> 32n)
  }
}

interface Walk {
  readonly adapter: StorageAdapter
  readonly model: Map<string, string>
  readonly begun: { readonly rows: AsyncIterable<Row>; readonly expected: readonly Row[] }[]
}

async function runWalk(tools: CaseTools, dice: Dice, log: string[]): Promise<void> {
  const storage = await tools.create()
  const walk: Walk = { adapter: storage.adapter, model: new Map(), begun: [] }
  tools.keep(walk.adapter)
  await walk.adapter.open()
  const steps = 1 + dice(STEPS)
  for (let i = 0; i < steps; i += 1) await takeStep(walk, dice, log)
  await finishScans(walk)
  log.push('read everything')
  assert.deepEqual(await rowsOf(walk.adapter), selectRows(walk.model, {}))
  await walk.adapter.close()
}

async function takeStep(walk: Walk, dice: Dice, log: string[]): Promise<void> {
  const { adapter, model, begun } = walk
  const choice = dice(16)
  if (choice < 7) {
    const batches = Array.from({ length: 1 + dice(3) }, () => randomBatch(dice))
    log.push(`batches ${JSON.stringify(batches).slice(0, 500)}`)
    // Not awaited one by one: they apply in the order of the calls.
    await Promise.all(batches.map((operations) => adapter.batch(operations)))
    for (const operations of batches) apply(model, operations)
    const keys = [...new Set(batches.flat().map(({ key }) => key))].slice(0, 40)
    assert.deepEqual(
      await adapter.getMany(keys),
      keys.map((key) => model.get(key)),
    )
  } else if (choice < 9) {
    const key = randomKey(dice)
    log.push(`get ${key}`)
    assert.equal(await adapter.get(key), model.get(key))
  } else if (choice < 12) {
    const range = randomRange(dice)
    log.push(`scan ${JSON.stringify(range)}`)
    assert.deepEqual(await rowsOf(adapter, range), selectRows(model, range))
  } else if (choice < 14 && begun.length < BEGUN_SCANS) {
    const range = randomRange(dice)
    log.push(`begin scan ${JSON.stringify(range)}`)
    begun.push({ rows: adapter.iterate(range), expected: selectRows(model, range) })
  } else if (choice < 15) {
    log.push('finish scans')
    await finishScans(walk)
  } else {
    log.push('finish scans, close, open')
    await finishScans(walk)
    await adapter.close()
    await adapter.open()
  }
}

async function finishScans(walk: Walk): Promise<void> {
  for (const { rows, expected } of walk.begun.splice(0)) {
    assert.deepEqual(await drain(rows), expected, 'a scan begun before')
  }
}

function apply(model: Map<string, string>, operations: readonly BatchOperation[]): void {
  for (const item of operations) {
    if (item.type === 'put') model.set(item.key, item.value)
    else model.delete(item.key)
  }
}

const KEY_PARTS = ['a', 'b', 'c', '/', '-', '0', '~', 'Z']
const VALUE_PARTS = ['{"a":1}', 'é', '日', '𝒳', '\n', '\\', "'", ' ', '0', '\u2028']

function randomKey(dice: Dice): string {
  return text(dice, KEY_PARTS, 1 + dice(4))
}

function text(dice: Dice, parts: readonly string[], length: number): string {
  return Array.from({ length }, () => parts[dice(parts.length)]).join('')
}

function randomBatch(dice: Dice): BatchOperation[] {
  // Mostly short; now and then long enough to fill a page of any engine.
  const length = dice(8) === 0 ? dice(300) : dice(12)
  return Array.from({ length }, () =>
    dice(4) === 0 ? del(randomKey(dice)) : put(randomKey(dice), text(dice, VALUE_PARTS, dice(9))),
  )
}

function randomRange(dice: Dice): RowRange {
  const bound = (name: 'gt' | 'gte' | 'lt' | 'lte'): RowRange =>
    dice(3) === 0 ? { [name]: randomKey(dice) } : {}
  return {
    ...bound('gt'),
    ...bound('gte'),
    ...bound('lt'),
    ...bound('lte'),
    ...(dice(2) === 0 ? { reverse: dice(2) === 0 } : {}),
    ...(dice(3) === 0 ? { limit: dice(12) } : {}),
  }
}
