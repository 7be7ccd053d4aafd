import jsonPatch from 'fast-json-patch'
import { describe, expect, it } from 'vitest'
import { applyPatch } from '../../../src/client/apply-patch.ts'
import { isStateError } from '../../../src/core/errors.ts'
import { fc } from '../../support/property.ts'

/** Throws when anything inside is written to. */
function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const child of Object.values(value)) deepFreeze(child)
  }
  return value
}

describe('applying a patch', () => {
  it('gives what fast-json-patch gives, and never touches the document before', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (before, after) => {
        // JSON text first, because JSON knows no -0.
        const from = { root: JSON.parse(JSON.stringify(before)) }
        const to = { root: JSON.parse(JSON.stringify(after)) }
        if (JSON.stringify([from, to]).includes('"__proto__"')) return
        const operations = jsonPatch.compare(from, to)
        expect(applyPatch(deepFreeze(from), deepFreeze(operations))).toEqual(to)
      }),
      { numRuns: 500 },
    )
  })

  it('keeps the identity of what a patch does not touch', () => {
    const before = deepFreeze({ a: { b: [1, { c: 2 }] }, d: { e: 3 } })
    const after = applyPatch(before, [{ op: 'replace', path: '/a/b/0', value: 9 }])
    expect(after).toEqual({ a: { b: [9, { c: 2 }] }, d: { e: 3 } })
    const { a, d } = after as typeof before
    expect(d).toBe(before.d)
    expect(a.b[1]).toBe(before.a.b[1])
    expect(a).not.toBe(before.a)
  })

  it('gives back the same document for an empty patch', () => {
    const before = { a: 1 }
    expect(applyPatch(before, [])).toBe(before)
  })

  it('applies remove and add on lists in their order', () => {
    const before = deepFreeze(['c', 'b', 'a'])
    const operations = [
      { op: 'remove', path: '/2' },
      { op: 'add', path: '/0', value: 'd' },
      { op: 'add', path: '/-', value: 'z' },
    ]
    expect(applyPatch(before, operations)).toEqual(['d', 'c', 'b', 'z'])
  })

  it('changes a value only in the place the operation names after it was copied', () => {
    const before = deepFreeze({ a: { list: [1] } })
    const operations = [
      { op: 'add', path: '/a/list/-', value: 2 },
      { op: 'copy', from: '/a', path: '/b' },
      { op: 'add', path: '/b/list/-', value: 3 },
    ]
    expect(applyPatch(before, operations)).toEqual({ a: { list: [1, 2] }, b: { list: [1, 2, 3] } })
  })

  it('moves values that hold bigint', () => {
    const before = deepFreeze({ a: { n: 2n ** 60n }, b: 2n ** 61n })
    expect(applyPatch(before, [{ op: 'move', from: '/a', path: '/b' }])).toEqual({
      b: { n: 2n ** 60n },
    })
  })

  it('replaces the root and reads ~0, ~1 and empty names', () => {
    expect(applyPatch({ a: 1 }, [{ op: 'replace', path: '', value: [] }])).toEqual([])
    const before = deepFreeze({ 'a/b': 1, 'c~d': 2, '': 3 })
    const operations = [
      { op: 'replace', path: '/a~1b', value: 10 },
      { op: 'replace', path: '/c~0d', value: 20 },
      { op: 'replace', path: '/', value: 30 },
    ]
    expect(applyPatch(before, operations)).toEqual({ 'a/b': 10, 'c~d': 20, '': 30 })
  })

  it('compares exactly in test', () => {
    const before = { n: 2n ** 60n }
    expect(applyPatch(before, [{ op: 'test', path: '/n', value: 2n ** 60n }])).toEqual(before)
    expect(() => applyPatch(before, [{ op: 'test', path: '/n', value: 2n ** 60n + 1n }])).toThrow()
  })

  it.each([
    ['a missing member', { op: 'replace', path: '/x', value: 1 }],
    ['a missing parent', { op: 'add', path: '/x/y', value: 1 }],
    ['a scalar parent', { op: 'add', path: '/n/y', value: 1 }],
    ['an index beyond the end', { op: 'add', path: '/list/5', value: 1 }],
    ['a name in an array', { op: 'add', path: '/list/name', value: 1 }],
    ['the length of an array', { op: 'replace', path: '/list/length', value: 0 }],
    ['an index with a leading zero', { op: 'replace', path: '/list/00', value: 1 }],
    ['an inherited member', { op: 'add', path: '/constructor/polluted', value: 1 }],
    ['a prototype', { op: 'add', path: '/__proto__', value: { polluted: 1 } }],
    ['a prototype below', { op: 'add', path: '/__proto__/polluted', value: 1 }],
    ['an unknown operation', { op: 'merge', path: '/n', value: 1 }],
    ['an inherited operation', { op: 'toString', path: '/n', value: 1 }],
    ['a path without a slash', { op: 'add', path: 'n', value: 1 }],
    ['a missing path', { op: 'add', value: 1 }],
    ['a missing value', { op: 'add', path: '/m' }],
    ['a missing source', { op: 'move', path: '/m' }],
    ['a move into itself', { op: 'move', from: '/o', path: '/o/p' }],
    ['something that is no operation', 7],
    ['null', null],
  ])('refuses %s and leaves the document alone', (_what, operation) => {
    const before = deepFreeze({ n: 1, list: [1, 2], o: {} })
    try {
      applyPatch(before, [operation])
    } catch (error) {
      expect(isStateError(error, 'invalid_message')).toBe(true)
      expect(String(error)).toContain('patch operation 0 refused')
      expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false)
      expect('polluted' in Object).toBe(false)
      return
    }
    expect.unreachable('the patch was accepted')
  })
})
