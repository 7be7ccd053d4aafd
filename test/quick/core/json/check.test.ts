/** Reading JSON text without making values of it, against the engine's own parser. */
import { describe, expect, it } from 'vitest'
import { isStateError } from '../../../../src/core/errors.ts'
import { jsonExcess } from '../../../../src/core/json/bounds.ts'
import { encodeJson } from '../../../../src/core/json/encode.ts'
import {
  compactJson,
  compactJsonInSlices,
  nodeValue,
  parseNodes,
} from '../../../../src/core/json/json.ts'
import { fc } from '../../../support/property.ts'

const READABLE = { maxDepth: 1000, maxMembers: 1e9 }

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function refusal(run: () => unknown): string | undefined {
  try {
    run()
    return undefined
  } catch (error) {
    if (isStateError(error)) return `${error.code}: ${error.message}`
    throw error
  }
}

/** Pieces of JSON in any order, so that most texts are nearly right. */
const nearly = fc
  .array(
    fc.constantFrom(
      ...['{', '}', '[', ']', ',', ':', ' ', '\n', '\t', '\u00a0', '\u0001', '"', '\\', '"a"'],
      ...['"\\u00e9"', '"\\u00g9"', '"\\x"', '"\\\\"', '"\\"', '"a\tb"', '""', 'true', 'tru'],
      ...[
        'null',
        'false',
        '1',
        '-',
        '-1',
        '01',
        '1.',
        '.5',
        '1e',
        '1e5',
        '1E+5',
        '-0',
        '1.50',
        'é',
      ],
    ),
    { maxLength: 12 },
  )
  .map((pieces) => pieces.join(''))

describe('checking JSON', () => {
  it('accepts what the parser of the engine accepts, and nothing else', () => {
    fc.assert(
      fc.property(nearly, (text) => {
        expect(refusal(() => compactJson(text)) === undefined).toBe(isJson(text))
      }),
      { numRuns: 20_000 },
    )
  })

  it('keeps the value, with and without white space, in slices of any size', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.jsonValue({ maxDepth: 4 }),
        fc.constantFrom(0, 1, 3),
        fc.integer({ min: 1, max: 20 }),
        async (value, indent, slice) => {
          const text = JSON.stringify(value, undefined, indent)
          const compact = JSON.stringify(value)
          expect(compactJson(text)).toBe(compact)
          expect(await compactJsonInSlices(text, READABLE, slice, async () => undefined)).toBe(
            compact,
          )
          expect(encodeJson(nodeValue(parseNodes(compact)))).toBe(compact)
        },
      ),
      { numRuns: 2000 },
    )
  })

  it('takes texts whose parts are long', () => {
    const long = 300_000
    for (const text of [
      `"${'a'.repeat(long)}"`,
      `"${'\\n'.repeat(long)}"`,
      '1'.repeat(long),
      `[${'1,'.repeat(long)}1]`,
      `[ ${'1 , '.repeat(long)}1]`,
    ]) {
      expect(compactJson(text)).toBe(text.replaceAll(' ', ''))
    }
  })
})

describe('bounds of JSON', () => {
  const bounds = { maxDepth: 3, maxMembers: 6 }
  const DEEP = 'invalid_json: invalid JSON: nested deeper than 3'
  const MANY = 'too_large: JSON of more than 6 members, which is the limit'
  it.each([
    ['[[[1]]]', undefined],
    ['[[[[1]]]]', DEEP],
    ['{"a":[[]]}', undefined],
    ['{"a":[[[]]]}', DEEP],
    ['"[[[["', undefined],
    ['[1,2,3,4,5,6]', undefined],
    ['[1,2,3,4,5,6,7]', MANY],
    ['[{},{},{},{},{},{}]', undefined],
    ['[{},{},{},{},{},{},{}]', MANY],
    ['[ {} , {} , { } , [ ] , {} , {} ]', undefined],
    ['["a,b:c","{{{{{{{{"]', undefined],
    ['{"a":1}', undefined],
    ['{"a":1,"b":2}', MANY],
    ['[[1],[2],[3]]', undefined],
    ['[[1],[2],[3],[4]]', MANY],
  ])('%s', (text, expected) => {
    const excess = jsonExcess(text, bounds)
    expect(excess && `${excess.code}: ${excess.message}`).toBe(expected)
    expect(refusal(() => compactJson(text, bounds))).toBe(expected)
  })

  it('end for any text', () => {
    fc.assert(
      fc.property(nearly, (text) => {
        jsonExcess(text, { ...READABLE, maxMembers: 1000 })
      }),
    )
  })
})
