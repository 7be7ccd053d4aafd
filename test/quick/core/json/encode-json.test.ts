import { describe, expect, it } from 'vitest'
import { isStateError } from '../../../../src/core/errors.ts'
import { encodeJson } from '../../../../src/core/json/encode.ts'
import { parseExact } from '../../../../src/core/json/json.ts'
import { JsonNumber, parseWithJsonNumbers } from '../../../../src/core/json/number.ts'
import { fc } from '../../../support/property.ts'

describe('encoding values', () => {
  it('agrees with JSON.stringify where that loses nothing', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(encodeJson(value)).toBe(JSON.stringify(value))
      }),
    )
  })

  it('writes bigint as digits', () => {
    expect(encodeJson({ n: 12345678901234567890123n, list: [-1n, 0n] })).toBe(
      '{"n":12345678901234567890123,"list":[-1,0]}',
    )
  })

  it('follows toJSON and leaves out what JSON leaves out', () => {
    const value = {
      at: new Date(0),
      gone: undefined,
      call: () => 1,
      list: [undefined, Symbol('s')],
      boxed: Object(7),
    }
    expect(encodeJson(value)).toBe(JSON.stringify(value))
  })

  const cyclic: unknown[] = []
  cyclic.push(cyclic)
  it.each([
    ['undefined', undefined],
    ['a function', () => 1],
    ['NaN', { n: Number.NaN }],
    ['an infinity', [Number.POSITIVE_INFINITY]],
    ['a cycle', cyclic],
  ])('refuses %s', (_what, value) => {
    try {
      encodeJson(value)
    } catch (error) {
      expect(isStateError(error, 'invalid_json')).toBe(true)
      return
    }
    expect.unreachable('the value was accepted')
  })
})

describe('numbers that JavaScript would spell differently', () => {
  it.each([
    '1.10',
    '1e400',
    '-0',
    '0.1000000000000000055511151231257827',
    '9007199254740993',
    '123456789012345678901234567890',
    '1E5',
    '-9223372036854775808',
    '100000000000000000000000',
    '1e23',
  ])('come back digit for digit: %s', (digits) => {
    const text = `{"n":${digits},"s":"${digits}","list":[1,${digits}]}`
    expect(encodeJson(parseWithJsonNumbers(text))).toBe(text)
  })

  it('are ordinary numbers and bigint where those are exact', () => {
    expect(parseWithJsonNumbers('[1,0.5,9007199254740993,true,null,"1.10"]')).toEqual([
      1,
      0.5,
      9007199254740993n,
      true,
      null,
      '1.10',
    ])
  })

  it('keep every document exact, with the default parser too where it says so', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        const compact = JSON.stringify(JSON.parse(text))
        expect(parseWithJsonNumbers(encodeJson(parseWithJsonNumbers(compact)))).toEqual(
          parseWithJsonNumbers(compact),
        )
        expect(encodeJson(parseExact(compact))).toBe(compact)
      }),
    )
  })

  it('are known by their spelling', () => {
    const number = new JsonNumber('1.10')
    expect(String(number)).toBe('1.10')
    expect(Number(number)).toBe(1.1)
    expect(() => new JsonNumber('1.')).toThrow('not a JSON number')
    expect(() => new JsonNumber('01')).toThrow('not a JSON number')
  })
})
