import { describe, expect, it } from 'vitest'
import { proofOfPlace } from '../../../../cluster/progress/proof-of-place.ts'
import { FORMER_LOGS_ROW, type FormerLog } from '../../../../src/store/lineage/former-logs.ts'
import {
  type Apart,
  apartHash,
  apartOf,
  IN_STEP_ROW,
  type InStep,
  MAX_APART,
  moreApart,
  withInStep,
} from '../../../../src/store/lineage/in-step.ts'
import { readLineage } from '../../../../src/store/lineage/lineage.ts'
import { entry } from '../../../cluster/fixtures.ts'

const OWN = { epoch: 'own', seq: 100 }
const FORMER: FormerLog = {
  epochs: '[["f1",0],["f2",40]]',
  head: 60,
  forgotten: '900',
  own: OWN,
}
const MARK: InStep = {
  leader: 'before',
  place: { epoch: 'b', seq: 30 },
  seen: null,
  apart: { within: [[['items/*', true] as const, ['local', false] as const]] },
  own: OWN,
}
const RETENTION = { floor: 50, forgotten: 700n }

function store(isSound = true) {
  const rows = new Map([
    [FORMER_LOGS_ROW, JSON.stringify([FORMER])],
    [IN_STEP_ROW, JSON.stringify([MARK])],
  ])
  return {
    meta: (name: string) => rows.get(name),
    canResume: ({ epoch, seq }: { epoch: string; seq: number }) =>
      isSound && epoch === 'own' && seq <= 100,
  }
}

const NOWHERE = { cursor: null, base: null, seen: null, scopes: ['items/*'] }

describe('what a leader knows of a place', () => {
  it.each([
    ['on its log, before what it forgot', { epoch: 'own', seq: 49 }, null, '700'],
    ['on its log, after that', { epoch: 'own', seq: 50 }, null, '0'],
    ['on a former log', { epoch: 'f1', seq: 40 }, null, '900'],
    ['on a former log, at its end', { epoch: 'f2', seq: 60 }, { epoch: 'f2', seq: 60 }, '900'],
    ['on the log of a leader that it followed', { epoch: 'b', seq: 30 }, null, '900'],
  ])('%s', (_name, place, seen, forgotten) => {
    const told = { ...NOWHERE, known: [{ place, seen }] }
    expect(proofOfPlace(store(), RETENTION, told)).toMatchObject({ knows: 1, forgotten })
    const first = { ...NOWHERE, base: place, seen }
    expect(proofOfPlace(store(), RETENTION, first)).toMatchObject({ knows: 0, forgotten })
  })

  it.each([
    ['of no log', { epoch: 'x', seq: 1 }, null],
    ['beyond the end of a former log', { epoch: 'f2', seq: 61 }, null],
    ['beyond the end of an epoch of a former log', { epoch: 'f1', seq: 41 }, null],
    ['that saw more than a former log had', { epoch: 'f2', seq: 50 }, { epoch: 'f2', seq: 61 }],
    ['beyond where it followed', { epoch: 'b', seq: 31 }, null],
    ['that saw more than it had when it followed', { epoch: 'b', seq: 9 }, { epoch: 'b', seq: 31 }],
  ])('nothing: one %s', (_name, place, seen) => {
    const told = { ...NOWHERE, known: [{ place, seen }] }
    const proof = proofOfPlace(store(), RETENTION, told)
    expect(proof).toEqual({ continues: false, forgotten: '0', removed: '900', gone: '900' })
  })

  it('nothing of scopes that it did not follow there', () => {
    const known = [{ place: MARK.place, seen: null }]
    for (const scope of ['local', 'other/*']) {
      const told = { ...NOWHERE, scopes: ['items/*', scope], known }
      expect(proofOfPlace(store(), RETENTION, told).knows).toBeUndefined()
    }
  })

  it('nothing of other logs once its own was found damaged', () => {
    for (const place of [MARK.place, { epoch: 'f1', seq: 1 }]) {
      const told = { ...NOWHERE, known: [{ place, seen: null }] }
      expect(proofOfPlace(store(false), RETENTION, told).knows).toBeUndefined()
    }
  })
})

describe('what is apart from a mark', () => {
  const isApart = (apart: Apart, key: string, seq: number): boolean =>
    apartOf(apart)({ seq, record: entry(key, 1) })
  const followed = [['items/*', true] as const]

  it('is what changed later, what was owed, and what was not followed', () => {
    const pending = { rows: [{ seq: 7, key: 'items/owed' }], isCut: false }
    const apart = moreApart({}, 10, pending, followed)
    expect(isApart(apart, 'items/a', 10)).toBe(false)
    expect(isApart(apart, 'items/a', 11)).toBe(true)
    expect(isApart(apart, 'items/owed', 7)).toBe(true)
    expect(isApart(apart, 'settings', 1)).toBe(true)
  })

  it('is all from the first key on that there is no room for', () => {
    const rows = Array.from({ length: MAX_APART }, (_, i) => ({ seq: 100 + i, key: `items/${i}` }))
    const known = moreApart({}, 5000, { rows, isCut: true }, followed)
    expect(isApart(known, 'items/0', 100)).toBe(true)
    expect(isApart(known, 'items/a', 99)).toBe(false)
    expect(isApart(known, 'items/a', 100 + MAX_APART)).toBe(true)
    const full = moreApart({ keys: [apartHash('items/x')] }, 5000, { rows, isCut: false }, followed)
    expect(isApart(full, 'items/a', 99 + MAX_APART)).toBe(true)
    expect(isApart(full, 'items/a', 98 + MAX_APART)).toBe(false)
  })

  it('stays what it was in a mark that was made from another', () => {
    const first = moreApart({}, 10, { rows: [{ seq: 3, key: 'items/x' }], isCut: false }, followed)
    const other = [['items/*', true] as const, ['settings', true] as const]
    const second = moreApart(first, 20, { rows: [], isCut: false }, other)
    expect(isApart(second, 'items/x', 3)).toBe(true)
    expect(isApart(second, 'items/a', 11)).toBe(true)
    expect(isApart(second, 'settings', 1)).toBe(true)
  })
})

it('marks are kept once per leader, the latest first, and not without end', () => {
  const mark = (n: number, seq: number): InStep => {
    return { ...MARK, leader: `l${n}`, place: { epoch: 'e', seq } }
  }
  let row = '[]'
  for (let n = 0; n < 100; n++) row = withInStep(JSON.parse(row) as InStep[], [mark(n, n)])
  row = withInStep(JSON.parse(row) as InStep[], [mark(90, 1000)])
  const marks = JSON.parse(row) as InStep[]
  expect(marks).toHaveLength(32)
  expect(marks.slice(0, 2)).toEqual([mark(90, 1000), mark(99, 99)])
})

describe('the lineage in a header', () => {
  const lineage = {
    ...{ node: 'n', epochs: '[["e",0]]', forgotten: '5' },
    ...{ former: [FORMER], inStep: [MARK] },
  }

  it('is read as it was written', () => {
    expect(readLineage(JSON.parse(JSON.stringify(lineage)))).toEqual(lineage)
  })

  it.each([
    ['none', undefined],
    ['a text', 'lineage'],
    ['no epochs', { ...lineage, epochs: '[' }],
    ['epochs of another shape', { ...lineage, epochs: '[["e"]]' }],
    ['a stamp that is none', { ...lineage, forgotten: '-1' }],
    ['a former log without an end', { ...lineage, former: [{ ...FORMER, head: undefined }] }],
    ['a mark without a place', { ...lineage, inStep: [{ ...MARK, place: null }] }],
    ['a mark with keys that are none', { ...lineage, inStep: [{ ...MARK, apart: { keys: [1] } }] }],
    [
      'a mark with paths that are none',
      { ...lineage, inStep: [{ ...MARK, apart: { within: [1] } }] },
    ],
  ])('is left out when it is wrong: %s', (_name, value) => {
    expect(readLineage(value)).toBeUndefined()
  })
})
