import { describe, expect, it } from 'vitest'
import { isStateError } from '../../../../src/core/errors.ts'
import { deepMerge } from '../../../../src/core/json/deep-merge.ts'
import { compactJson } from '../../../../src/core/json/json.ts'
import { fc } from '../../../support/property.ts'

const objectText = fc
  .dictionary(fc.constantFrom('a', 'b', 'c', 'd'), fc.jsonValue({ maxDepth: 2 }))
  .map((value) => JSON.stringify(value))

function conflictOf(current: string, patch: string): string {
  try {
    deepMerge(current, patch)
  } catch (error) {
    if (isStateError(error, 'merge_conflict')) return error.message
    throw error
  }
  throw new Error('no conflict')
}

describe('deepMerge', () => {
  it.each([
    ['keeps members that only the document has', '{"a":1}', '{"b":2}', '{"a":1,"b":2}'],
    ['replaces scalars', '{"a":1}', '{"a":"x"}', '{"a":"x"}'],
    ['replaces a null by anything', '{"a":null}', '{"a":{"b":1}}', '{"a":{"b":1}}'],
    ['replaces a scalar by an object', '{"a":1}', '{"a":{"b":1}}', '{"a":{"b":1}}'],
    ['merges nested objects', '{"a":{"b":1,"c":2}}', '{"a":{"c":3}}', '{"a":{"b":1,"c":3}}'],
    ['never deletes by null', '{"a":1}', '{"a":null,"b":null}', '{"a":null,"b":null}'],
    ['replaces an array by an array', '{"a":[1,2]}', '{"a":[3]}', '{"a":[3]}'],
    ['replaces an array by a scalar', '{"a":[1,2]}', '{"a":3}', '{"a":3}'],
    ['replaces an array by null', '{"a":[1,2]}', '{"a":null}', '{"a":null}'],
    [
      'merges an array by index',
      '{"a":[1,{"b":2}]}',
      '{"a":{"1":{"c":3}}}',
      '{"a":[1,{"b":2,"c":3}]}',
    ],
    ['ignores indices outside the array', '[1,2]', '{"2":3,"-1":0,"x":9}', '[1,2]'],
    ['takes indices in decimal only', '[1,2]', '{"01":3,"1":4}', '[1,4]'],
    ['merges a root array by index', '[{"a":1},2]', '{"0":{"b":2},"1":3}', '[{"a":1,"b":2},3]'],
    ['leaves a document under a patch that is no object', '{"b":1,"a":2}', '[1]', '{"a":2,"b":1}'],
    ['leaves a scalar root', '7', '{"a":1}', '7'],
    ['leaves a null root', 'null', '{"a":1}', 'null'],
    ['leaves an array root under an array', '[1]', '[2]', '[1]'],
    [
      'sorts members at every level',
      '{"b":{"z":1,"y":2},"a":0}',
      '{"c":[{"q":1,"p":2}]}',
      '{"a":0,"b":{"y":2,"z":1},"c":[{"p":2,"q":1}]}',
    ],
    [
      'keeps the spelling of numbers',
      '{"a":9007199254740993,"b":1.50}',
      '{"c":1e400}',
      '{"a":9007199254740993,"b":1.50,"c":1e400}',
    ],
    [
      'takes a member named __proto__ as any other',
      '{"__proto__":{"a":1}}',
      '{"__proto__":{"b":2}}',
      '{"__proto__":{"a":1,"b":2}}',
    ],
    ['sorts by code point', '{"\u{1F600}":1,"\uFFFD":2}', '{}', '{"\uFFFD":2,"\u{1F600}":1}'],
  ])('%s', (_what, current, patch, merged) => {
    expect(deepMerge(current, patch)).toBe(merged)
  })

  it.each([
    ['an array', '{"a":{"b":1}}', '{"a":[1]}', 'a'],
    ['a scalar', '{"a":{"b":1}}', '{"a":1}', 'a'],
    ['null', '{"a":{"b":1}}', '{"a":null}', 'a'],
    ['a scalar deeper down', '{"a":[{"b":{}}]}', '{"a":{"0":{"b":1}}}', 'a.0.b'],
    ['a scalar in a root array', '[{}]', '{"0":1}', '0'],
  ])('refuses %s in place of a nested object', (_what, current, patch, path) => {
    expect(conflictOf(current, patch)).toBe(`merge: patch value must be object for key "${path}"`)
  })

  it('names every conflict, one per line', () => {
    const lines = conflictOf('{"a":{},"b":{"c":{}},"d":1}', '{"a":1,"b":{"c":null},"d":2}').split(
      '\n',
    )
    expect(lines.sort()).toEqual([
      'merge: patch value must be object for key "a"',
      'merge: patch value must be object for key "b.c"',
    ])
  })

  it('gives JSON that holds every top-level member of the patch, or a conflict', () => {
    fc.assert(
      fc.property(objectText, objectText, (current, patch) => {
        let merged: Record<string, unknown>
        try {
          merged = JSON.parse(deepMerge(compactJson(current), compactJson(patch)))
        } catch (error) {
          expect(isStateError(error, 'merge_conflict')).toBe(true)
          return
        }
        const names = new Set([
          ...Object.keys(JSON.parse(current)),
          ...Object.keys(JSON.parse(patch)),
        ])
        expect(Object.keys(merged)).toEqual([...names].sort())
      }),
    )
  })

  it('changes nothing when the same patch is merged again', () => {
    fc.assert(
      fc.property(objectText, objectText, (current, patch) => {
        let once: string
        try {
          once = deepMerge(current, patch)
        } catch {
          return
        }
        expect(deepMerge(once, patch)).toBe(once)
      }),
    )
  })
})
