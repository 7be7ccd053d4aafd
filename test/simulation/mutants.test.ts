import { describe, expect, test } from 'vitest'
import { assertFits, catchMutant } from './catch-mutant.ts'
import { MUTANTS } from './mutants.ts'

/** Noticed within a few histories; `npm run simulate:mutants` tries them all. */
const QUICK = MUTANTS.filter(({ isQuick }) => isQuick === true)

describe('bugs planted in the engine', () => {
  test('are many, and fit the sources', () => {
    expect(MUTANTS.length).toBeGreaterThanOrEqual(20)
    expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length)
    for (const mutant of MUTANTS) assertFits(mutant)
  })

  test('that fit no source are refused', async () => {
    const mutant = { name: 'none', file: 'src/core/data/merge.ts', find: 'not in it', replace: '' }
    await expect(catchMutant(mutant, 1)).rejects.toThrow('occurs 0 times')
  })

  test.each(QUICK)('are noticed: $name', { timeout: 60_000 }, async (mutant) => {
    const { caught } = await catchMutant(mutant, 10)
    expect(caught).toBeDefined()
  })

  test('are what is noticed: a change without effect is not', { timeout: 60_000 }, async () => {
    const find = 'return record.updated > record.created ? record.updated : record.created'
    const mutant = { name: 'no bug', file: 'src/core/data/entry.ts', find, replace: `${find} ` }
    expect((await catchMutant(mutant, 1)).caught).toBeUndefined()
  })
})
