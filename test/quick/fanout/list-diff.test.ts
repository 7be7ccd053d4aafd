/** The patch between two lists, applied by an independent implementation, gives the second list. */

import { describe, expect, it } from 'vitest'
import type { Entry } from '../../../src/core/data/entry.ts'
import { metaListJson } from '../../../src/core/data/entry.ts'
import { patchJson } from '../../../src/core/json/patch.ts'
import { diffEntries } from '../../../src/fanout/views/list-diff.ts'
import { fc } from '../../support/property.ts'
import { applyExactly, canonicalText } from '../core/exact-apply.ts'

function entry(key: string, data = '0'): Entry {
  return { kind: 'entry', key, created: 1n, updated: 0n, origin: 'test', data }
}

function steps(before: readonly Entry[], after: readonly Entry[]): string[] {
  return diffEntries(before, after).map((operation) => {
    const { op, path } = JSON.parse(operation) as { op: string; path: string }
    return `${op} ${path}`
  })
}

const list = fc
  .uniqueArray(fc.nat({ max: 12 }), { maxLength: 12 })
  .chain((keys) =>
    fc.tuple(
      ...keys.map((key) => fc.nat({ max: 1 }).map((value) => entry(`a/${key}`, String(value)))),
    ),
  )

describe('the difference between two lists', () => {
  it('leads from any list to any other', () => {
    fc.assert(
      fc.property(list, list, (before, after) => {
        const patch = patchJson(diffEntries(before, after))
        const result = applyExactly(canonicalText(metaListJson(before)), patch)
        expect(result).toBe(canonicalText(metaListJson(after)))
      }),
      { numRuns: 2000 },
    )
  })

  it('removes what was pushed out before it adds what came in', () => {
    const [a, b, c] = [entry('a'), entry('b'), entry('c')]
    expect(steps([b, a], [c, b])).toEqual(['remove /1', 'add /0'])
    expect(steps([a, b], [b, c])).toEqual(['remove /0', 'add /1'])
  })

  it('names positions of the old list in removals, from the end', () => {
    const [a, b, c, d] = [entry('a'), entry('b'), entry('c'), entry('d')]
    expect(steps([a, b, c, d], [b])).toEqual(['remove /3', 'remove /2', 'remove /0'])
  })

  it('moves one entry and leaves those around it alone', () => {
    const [a, b, c, d] = [entry('a'), entry('b'), entry('c'), entry('d')]
    expect(steps([a, b, c, d], [d, a, b, c])).toEqual(['remove /3', 'add /0'])
  })

  it('is empty for lists that show the same', () => {
    expect(diffEntries([entry('a')], [{ ...entry('a'), origin: 'elsewhere' }])).toEqual([])
  })
})
