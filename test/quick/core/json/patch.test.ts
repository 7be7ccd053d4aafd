import jsonPatch from 'fast-json-patch'
import { describe, expect, it } from 'vitest'
import { compactJson } from '../../../../src/core/json/json.ts'
import { diffJson, diffTexts } from '../../../../src/core/json/patch.ts'
import { fc } from '../../../support/property.ts'
import { applyExactly, canonicalText } from '../exact-apply.ts'

function diff(before: string, after: string, limit?: number): string | undefined {
  return diffJson(before, after, limit)
}

/** JSON text with spellings that a double would lose. */
const jsonText = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthSize: 'medium' },
    fc.constantFrom('null', 'true', 'false', '""', '0', '-0', '1', '1.0', '1e0', '1e400'),
    fc.bigInt({ min: -(10n ** 24n), max: 10n ** 24n }).map(String),
    fc.string({ unit: 'grapheme', maxLength: 6 }).map((text) => JSON.stringify(text)),
    fc.array(tie('value'), { maxLength: 6 }).map((items) => `[${items.join(',')}]`),
    fc.dictionary(memberName(), tie('value'), { maxKeys: 5, noNullPrototype: true }).map(
      (members) =>
        `{${Object.entries(members)
          .map(([name, value]) => `${JSON.stringify(name)}:${value}`)
          .join(',')}}`,
    ),
  ),
})).value

function memberName(): fc.Arbitrary<string> {
  return fc
    .oneof(
      fc.constantFrom(
        'a',
        'b',
        'c',
        '',
        '0',
        '1',
        '-',
        '/',
        '~',
        '~1',
        'a/b',
        'm~n',
        '"',
        '\\',
        'é',
      ),
      fc.string({ maxLength: 4 }),
    )
    .filter((name) => name !== '__proto__')
}

/** An edit of the same document: the case that patches are made for. */
const editedPair = fc
  .tuple(
    fc.array(jsonText, { maxLength: 12 }),
    fc.array(jsonText, { maxLength: 4 }),
    fc.nat(),
    fc.nat(),
  )
  .map(([items, inserted, at, cut]) => {
    const changed = [...items]
    changed.splice(at % (items.length + 1), cut % 4, ...inserted)
    return [`{"list":[${items.join(',')}]}`, `{"list":[${changed.join(',')}]}`] as const
  })

const anyPair = fc.tuple(
  jsonText.map((text) => `{"data":${text}}`),
  jsonText.map((text) => `{"data":${text}}`),
)

describe('diff', () => {
  it('turns any document into any other, digit for digit', () => {
    fc.assert(
      fc.property(fc.oneof(anyPair, editedPair), ([before, after]) => {
        const patch = diff(before, after)
        expect(patch).toBeDefined()
        expect(applyExactly(before, patch ?? '')).toBe(canonicalText(after))
      }),
      { numRuns: 1000 },
    )
  })

  it('gives patches that fast-json-patch applies', () => {
    fc.assert(
      fc.property(fc.oneof(anyPair, editedPair), ([before, after]) => {
        const patch = JSON.parse(diff(before, after) ?? '') as jsonPatch.Operation[]
        const result = jsonPatch.applyPatch(JSON.parse(before), patch, true, true).newDocument
        expect(result).toEqual(JSON.parse(after))
      }),
      { numRuns: 1000 },
    )
  })

  it('is empty for the same document', () => {
    fc.assert(
      fc.property(jsonText, (text) => {
        expect(diff(text, text)).toBe('[]')
      }),
    )
  })

  it.each([
    [
      'a changed member',
      '{"a":1,"b":2}',
      '{"a":1,"b":3}',
      '[{"op":"replace","path":"/b","value":3}]',
    ],
    ['a new member', '{}', '{"a":[]}', '[{"op":"add","path":"/a","value":[]}]'],
    ['a removed member', '{"a":1}', '{}', '[{"op":"remove","path":"/a"}]'],
    ['an item added in front', '[1,2]', '[0,1,2]', '[{"op":"add","path":"/0","value":0}]'],
    ['an item removed in the middle', '[1,2,3]', '[1,3]', '[{"op":"remove","path":"/1"}]'],
    [
      'items removed from the end first',
      '[1,2,3,4,5]',
      '[1,5]',
      '[{"op":"remove","path":"/3"},{"op":"remove","path":"/2"},{"op":"remove","path":"/1"}]',
    ],
    [
      'equally long arrays item by item',
      '[{"a":1},{"a":2}]',
      '[{"a":3},{"a":4}]',
      '[{"op":"replace","path":"/0/a","value":3},{"op":"replace","path":"/1/a","value":4}]',
    ],
    ['a change of kind', '{"a":{}}', '{"a":[]}', '[{"op":"replace","path":"/a","value":[]}]'],
    ['a respelled number', '{"a":1}', '{"a":1.0}', '[{"op":"replace","path":"/a","value":1.0}]'],
    [
      'numbers beyond a double',
      '{"a":9007199254740993}',
      '{"a":9007199254740992}',
      '[{"op":"replace","path":"/a","value":9007199254740992}]',
    ],
    [
      'names that need escapes',
      '{"a/b~\\"":1}',
      '{"a/b~\\"":2}',
      '[{"op":"replace","path":"/a~1b~0\\"","value":2}]',
    ],
  ])('describes %s', (_what, before, after, patch) => {
    expect(diff(before, after)).toBe(patch)
  })

  it('starts its paths where it is told to', () => {
    expect(diffTexts('1', '2', '/data')).toEqual(['{"op":"replace","path":"/data","value":2}'])
  })

  it.each([
    ['the root is replaced', '1', '2'],
    ['the root changes its kind', '{}', '[]'],
    ['__proto__ is added', '{"a":{}}', '{"a":{"__proto__":1}}'],
    ['__proto__ is removed', '{"__proto__":1}', '{}'],
    ['something below __proto__ changes', '{"__proto__":{"a":1}}', '{"__proto__":{"a":2}}'],
    [
      'constructor/prototype changes',
      '{"constructor":{"prototype":1}}',
      '{"constructor":{"prototype":2}}',
    ],
  ])('asks for the whole document when %s', (_what, before, after) => {
    expect(diff(before, after)).toBeUndefined()
  })

  it('still gives a patch beside an unchanged __proto__', () => {
    expect(diff('{"__proto__":1,"a":1}', '{"__proto__":1,"a":2}')).toBe(
      '[{"op":"replace","path":"/a","value":2}]',
    )
  })

  it('gives up when the patch grows past the limit', () => {
    const before = `[${Array.from({ length: 100 }, (_, i) => i).join(',')}]`
    const after = `[${Array.from({ length: 100 }, (_, i) => i + 1000).join(',')}]`
    expect(diff(before, after, 500)).toBeUndefined()
    expect(diff(before, after, 10_000)).toBeDefined()
  })

  it('handles documents nested as deep as is accepted', () => {
    const nested = (leaf: string): string =>
      compactJson(`${'{"a":['.repeat(490)}${leaf}${']}'.repeat(490)}`)
    const patch = diff(nested('1'), nested('2'))
    expect(applyExactly(nested('1'), patch ?? '')).toBe(canonicalText(nested('2')))
  })
})
