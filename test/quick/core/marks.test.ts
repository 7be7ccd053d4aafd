import { describe, expect, test } from 'vitest'
import {
  addMarks,
  canonicalMarks,
  isCovered,
  latestOfMarks,
  MAX_MARKS,
  unionMarks,
} from '../../../src/core/data/marks.ts'
import {
  isOriginOf,
  nextOrigin,
  nodeOf,
  parseOrigin,
  restoredOrigin,
} from '../../../src/core/data/origin.ts'

describe('origins', () => {
  test('a node writes under its id first, and then under one generation after the other', () => {
    expect(nextOrigin('V1St-GXR8_Z5jd')).toBe('V1St-GXR8_Z5jd-r1')
    expect(nextOrigin('V1St-GXR8_Z5jd-r9')).toBe('V1St-GXR8_Z5jd-r10')
    expect(parseOrigin('a-r0')).toEqual({ lineage: 'a-r0', generation: 0 })
  })

  test('a node made from a backup writes as another lineage of the same node', () => {
    const origin = nextOrigin(restoredOrigin('a', '0123456789abcdef'))
    expect(origin).toBe('a-b0123456789abcdef-r1')
    expect(parseOrigin(origin)).toEqual({ lineage: 'a-b0123456789abcdef', generation: 1 })
    expect(nodeOf(origin)).toBe('a')
    expect(isOriginOf('a', origin)).toBe(true)
    expect(isOriginOf('b', origin)).toBe(false)
    expect(restoredOrigin('a-b0123456789abcdef', 'f'.repeat(16))).toBe(`a-b${'f'.repeat(16)}`)
  })
})

describe('marks', () => {
  const covers = (marks: string, origin: string, version: bigint): boolean =>
    isCovered(marks, { origin, version })

  test('cover what their origin wrote up to their version, and all that it wrote as an earlier one', () => {
    expect(covers('190@r', 'r', 190n)).toBe(true)
    expect(covers('190@r', 'r', 191n)).toBe(false)
    expect(covers('190@r', 'r-r1', 100n)).toBe(false)
    expect(covers('190@r', 's', 100n)).toBe(false)
    expect(covers('120@r-r2', 'r-r1', 10_000n)).toBe(true)
    expect(covers('120@r-r2', 'r', 10_000n)).toBe(true)
  })

  test('later ones cover a record under any stamp, also one that another holder gave it', () => {
    const copy = { origin: 'e-r1', version: 200n, was: '190@r' }
    expect(isCovered('190@r', copy)).toBe(false)
    expect(isCovered('+190@r', copy)).toBe(true)
    expect(isCovered('+189@r', copy)).toBe(false)
    expect(covers('+190@r', 'r', 190n)).toBe(true)
    const again = { origin: 'f-r3', version: 300n, was: '190@r,200@e-r1' }
    expect(isCovered('+200@e-r1', again)).toBe(true)
  })

  test('of both kinds are told apart, unless the later one says it all', () => {
    expect(unionMarks('190@r', '+189@r')).toBe('190@r,+189@r')
    expect(unionMarks('190@r,+189@r', '+190@r')).toBe('+190@r')
    expect(unionMarks('120/190@r-r1', '+130@r-r1')).toBe('+130/190@r-r1')
  })

  test('of one node the later place stays, and for how long the earlier one mattered', () => {
    expect(unionMarks('190@r', '120@r-r1')).toBe('120/190@r-r1')
    expect(unionMarks('120/190@r-r1', '130@r-r1')).toBe('130/190@r-r1')
    expect(unionMarks('5@b', '7@a')).toBe('7@a,5@b')
    expect(latestOfMarks('7@a,120/190@r-r1')).toBe(190n)
    expect(latestOfMarks(undefined)).toBe(0n)
  })

  test('of too many those that pass first are left out, the same ones in whatever order they come', () => {
    const all = Array.from({ length: MAX_MARKS + 4 }, (_, i) => ({
      origin: `n${i}`,
      version: BigInt(1000 + i),
    }))
    const kept = addMarks(undefined, all) ?? ''
    expect(kept.split(',')).toHaveLength(MAX_MARKS)
    expect(covers(kept, 'n3', 1n)).toBe(false)
    expect(covers(kept, 'n4', 1n)).toBe(true)
    const oneByOne = all
      .toReversed()
      .reduce<string | undefined>(
        (marks, change) => unionMarks(addMarks(undefined, [change]), marks),
        undefined,
      )
    expect(oneByOne).toBe(kept)
  })

  test.each([
    ['', undefined],
    ['190', undefined],
    ['190@', undefined],
    ['x@r', undefined],
    ['190@r,', undefined],
    ['190@r s', undefined],
    [`${2n ** 63n}@r`, undefined],
    [190, undefined],
    ['5@b,7@a', '7@a,5@b'],
    ['7@a,9@a', '9@a'],
    ['9/7@a', '9@a'],
    [Array.from({ length: MAX_MARKS + 1 }, (_, i) => `1@n${i}`).join(','), undefined],
  ])('%j from elsewhere is read as %j', (text, marks) => {
    expect(canonicalMarks(text)).toBe(marks)
  })
})
