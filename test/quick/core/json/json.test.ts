import { describe, expect, it } from 'vitest'
import { isStateError } from '../../../../src/core/errors.ts'
import {
  compactJson,
  MAX_JSON_DEPTH,
  nodeValue,
  parseExact,
  parseNodes,
  sameNode,
} from '../../../../src/core/json/json.ts'
import { fc } from '../../../support/property.ts'

function refused(text: string): boolean {
  try {
    compactJson(text)
    return false
  } catch (error) {
    return isStateError(error, 'invalid_json')
  }
}

describe('compactJson', () => {
  it('removes white space between tokens and nothing else', () => {
    expect(compactJson(' { "a b" : [ 1.50 , "\\u003c x\\"  y" ] ,\r\n\t"c":\n-0 } ')).toBe(
      '{"a b":[1.50,"\\u003c x\\"  y"],"c":-0}',
    )
  })

  it('gives what JSON.stringify gives for any value, however it was indented', () => {
    fc.assert(
      fc.property(fc.json(), fc.constantFrom(0, 1, 4, '\t'), (text, indent) => {
        const value: unknown = JSON.parse(text)
        expect(compactJson(JSON.stringify(value, null, indent))).toBe(JSON.stringify(value))
      }),
    )
  })

  it.each([
    '',
    ' ',
    '{',
    '{"a":1}}',
    '1 2',
    '{a:1}',
    "'a'",
    '01',
    '1.',
    'NaN',
    '"\n"',
    '[1,]',
    '\uFEFF1',
  ])('refuses %j', (text) => expect(refused(text)).toBe(true))

  it.each(['1e400', '123456789012345678901234567890', 'null', '""', '"\u2028"', '[]', ' 7 '])(
    'takes %j',
    (text) => expect(compactJson(text)).toBe(text.trim()),
  )

  it('refuses nesting beyond its limit and takes nesting up to it', () => {
    const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)
    expect(compactJson(nested(MAX_JSON_DEPTH))).toBe(nested(MAX_JSON_DEPTH))
    expect(refused(nested(MAX_JSON_DEPTH + 1))).toBe(true)
    expect(refused(nested(100_000))).toBe(true)
  })
})

describe('parseNodes', () => {
  it('keeps the source text of every value', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        const compact = JSON.stringify(JSON.parse(text))
        fc.pre(!/\d{16}/.test(compact))
        const node = parseNodes(compact)
        expect(node.raw).toBe(compact)
        expect(nodeValue(node)).toEqual(JSON.parse(compact))
      }),
    )
  })

  it('lets the last of two equal names win, as JSON.parse does', () => {
    expect(nodeValue(parseNodes('{"a":1,"b":2,"a":3}'))).toEqual({ a: 3, b: 2 })
    expect(nodeValue(parseNodes('{"a":1,"\\u0061":2}'))).toEqual({ a: 2 })
  })

  it('compares by spelling, whatever the order of members', () => {
    const same = (a: string, b: string): boolean => sameNode(parseNodes(a), parseNodes(b))
    expect(same('{"a":1,"b":[2]}', '{"b":[2],"a":1}')).toBe(true)
    expect(same('{"a":1}', '{"a":1.0}')).toBe(false)
    expect(same('[1,2]', '[2,1]')).toBe(false)
    expect(same('9007199254740993', '9007199254740992')).toBe(false)
  })
})

describe('parseExact', () => {
  it('keeps integers that a double would round', () => {
    expect(parseExact('{"a":1781600000000000001,"b":12,"c":1.5}')).toEqual({
      a: 1781600000000000001n,
      b: 12,
      c: 1.5,
    })
    expect(parseExact('-9007199254740993')).toBe(-9007199254740993n)
    expect(parseExact('9007199254740991')).toBe(9007199254740991)
  })

  it('does not let a document set a prototype', () => {
    const value = parseExact('{"__proto__":{"polluted":1},"n":1781600000000000001}') as object
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype)
    expect(Object.hasOwn(value, '__proto__')).toBe(true)
  })

  it('refuses what is not JSON', () => {
    expect(() => parseExact('{')).toThrow(/invalid JSON/)
    expect(() => parseExact('1781600000000000001,')).toThrow(/invalid JSON/)
  })
})
