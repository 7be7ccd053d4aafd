import { describe, expect, it } from 'vitest'
import { isValidKey, matchKey } from '../../../src/core/keys/key.ts'
import { PatternIndex } from '../../../src/fanout/pattern-index.ts'
import { fc } from '../../support/property.ts'

const text = (unit: string): fc.Arbitrary<string> =>
  fc
    .string({ unit: fc.constantFrom(...unit), minLength: 1, maxLength: 7 })
    .filter((key) => isValidKey(key))

const pattern = text('ab*//-_.')
const key = text('ab//-_.')

describe('PatternIndex', () => {
  it('finds exactly the patterns that cover a key, after any adds and removes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(pattern, fc.boolean()), { maxLength: 60 }),
        fc.array(key, { minLength: 1, maxLength: 20 }),
        (steps, keys) => {
          const index = new PatternIndex()
          const model = new Set<string>()
          for (const [text, added] of steps) {
            if (added) index.add(text)
            else index.remove(text)
            if (added) model.add(text)
            else model.delete(text)
          }
          expect(index.size).toBe(model.size)
          for (const concrete of keys) {
            const expected = [...model].filter((text) => matchKey(text, concrete)).sort()
            expect(index.match(concrete).sort()).toEqual(expected)
          }
        },
      ),
      { numRuns: 500 },
    )
  })

  it('is empty again when all patterns are removed, in any order', () => {
    fc.assert(
      fc.property(fc.uniqueArray(pattern, { maxLength: 30 }), fc.nat(), (patterns, seed) => {
        const index = new PatternIndex()
        for (const text of patterns) index.add(text)
        const order = [...patterns].sort((a, b) => hash(a, seed) - hash(b, seed))
        for (const text of order) index.remove(text)
        expect(index.size).toBe(0)
        for (const text of patterns) expect(index.match(text.replaceAll('*', 'a'))).toEqual([])
      }),
    )
  })

  it('keeps a longer pattern when a shorter one on its way is removed', () => {
    const index = new PatternIndex()
    index.add('a')
    index.add('a/*')
    index.remove('a')
    expect(index.match('a')).toEqual([])
    expect(index.match('a/b')).toEqual(['a/*'])
  })
})

function hash(text: string, seed: number): number {
  let value = seed
  for (let i = 0; i < text.length; i++) value = (value * 31 + text.charCodeAt(i)) % 1_000_003
  return value
}
