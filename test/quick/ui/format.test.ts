import { describe, expect, it } from 'vitest'
import { encodeJson, parseWithJsonNumbers } from '../../../src/client/index.ts'
import { exactTime, jsonTokens, localTime, prettyJson } from '../../../ui/src/format.ts'

describe('printing a value', () => {
  it('indents and keeps every digit', () => {
    const text = '{"a":[1.10,12345678901234567890],"b":{},"c":[],"d":"x","e":null,"__proto__":1}'
    const pretty = prettyJson(parseWithJsonNumbers(text))
    expect(pretty).toBe(`{
  "a": [
    1.10,
    12345678901234567890
  ],
  "b": {},
  "c": [],
  "d": "x",
  "e": null,
  "__proto__": 1
}`)
    expect(encodeJson(parseWithJsonNumbers(pretty))).toBe(text)
  })

  it('tells names, texts, numbers and literals apart', () => {
    const kinds = jsonTokens({ a: ['x', 1n, true] })
      .filter(({ kind }) => kind !== 'plain')
      .map(({ kind, text }) => `${kind} ${text}`)
    expect(kinds).toEqual(['name "a"', 'text "x"', 'number 1', 'literal true'])
  })
})

describe('printing a stamp', () => {
  it('gives UTC to the nanosecond', () => {
    expect(exactTime(1_767_225_600_000_000_001n)).toBe('2026-01-01T00:00:00.000000001Z')
  })

  it('gives local time, a dash for none, and the digits for what no date holds', () => {
    expect(localTime(1_767_225_600_000_000_001n, 'en-GB')).toMatch(/20(25|26)/)
    expect(localTime(0n)).toBe('–')
    expect(localTime(10n ** 30n)).toBe((10n ** 30n).toString())
    expect(exactTime(10n ** 30n)).toBe(`${10n ** 30n} ns`)
  })
})
