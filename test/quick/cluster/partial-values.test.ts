import { describe, expect, test } from 'vitest'
import { type PartialValue, PartialValues } from '../../../cluster/stream/partial-values.ts'
import { answered, FIRST_WINDOW } from '../../../cluster/stream/piece-window.ts'
import { encodeHash, hashText } from '../../../src/core/data/digest.ts'
import { endOfPiece, type ValueName } from '../../../src/core/wire/pieces.ts'
import { FakeTime } from '../../support/fake-time.ts'

const TEXT = '"0123456789"'

function name(key: string, text = TEXT): ValueName {
  const hash = encodeHash(hashText(text))
  return { key, version: 1n, origin: 'o', size: text.length, hash }
}

function make(maxUnits = 1000): { values: PartialValues; time: FakeTime } {
  const time = new FakeTime()
  return { values: new PartialValues({ time, maxUnits, keepMs: 1000 }), time }
}

/** What is given at once; undefined: it has to wait. */
function open(values: PartialValues, key: string, owner: number): PartialValue | undefined {
  let given: PartialValue | undefined
  values.open('peer', name(key), owner, (value) => {
    given = value
  })
  return given
}

describe('what has come of values', () => {
  test('is there for the next connection, and for a while only', () => {
    const { values, time } = make()
    const one = values.connect()
    open(values, 'a', one)?.add(TEXT.slice(0, 5))
    values.left(one)
    time.advance(900)
    const two = values.connect()
    expect(open(values, 'a', two)?.length).toBe(5)
    values.left(two)
    time.advance(1100)
    expect(values.units).toBe(0)
    expect(open(values, 'a', values.connect())?.length).toBe(0)
  })

  test('belongs to the latest connection of its peer', () => {
    const { values } = make()
    const [one, two] = [values.connect(), values.connect()]
    open(values, 'a', two)
    expect(open(values, 'a', one)).toBeUndefined()
    expect(values.owns('peer', 'a', two)).toBe(true)
    values.left(one)
    expect(values.owns('peer', 'a', two)).toBe(true)
  })

  test('of another version is dropped, and a wrong end is noticed', () => {
    const { values } = make()
    const one = values.connect()
    open(values, 'a', one)?.add('"012')
    let other: PartialValue | undefined
    values.open('peer', { ...name('a'), version: 2n }, one, (value) => {
      other = value
    })
    expect(other?.length).toBe(0)
    expect(other?.add(TEXT.replace('9', '8'))).toBe(false)
  })

  test('is bounded: the next value waits for room, which a stored or expired one gives', () => {
    const { values, time } = make(2 * TEXT.length)
    const one = values.connect()
    open(values, 'a', one)
    open(values, 'b', one)
    const waiting: string[] = []
    const two = values.connect()
    for (const key of ['c', 'd']) values.open('p2', name(key), two, () => waiting.push(key))
    expect(waiting).toEqual([])
    values.remove('peer', 'a')
    expect(waiting).toEqual(['c'])
    values.left(one)
    time.advance(1100)
    expect(waiting).toEqual(['c', 'd'])
    expect(values.units).toBe(2 * TEXT.length)
  })
})

describe('pieces', () => {
  test.each([
    ['ascii', 'x'.repeat(1000)],
    ['quotes', '"'.repeat(1000)],
    ['emoji', '😀'.repeat(500)],
    ['controls', '\u0001'.repeat(300)],
  ])('are of their size as they are spelled, and make up the value: %s', (_, text) => {
    const pieces: string[] = []
    for (let at = 0; at < text.length; ) {
      const end = endOfPiece(text, at, 100)
      pieces.push(text.slice(at, end))
      at = end
    }
    expect(pieces.join('')).toBe(text)
    const sizes = pieces.map((piece) => Buffer.byteLength(JSON.stringify(piece)) - 2)
    expect(Math.max(...sizes)).toBeLessThanOrEqual(106)
    expect(Math.min(...sizes.slice(0, -1))).toBeGreaterThanOrEqual(100)
  })

  test('more are on their way where answers are quick, one where they are slow', () => {
    let window = FIRST_WINDOW
    for (let i = 0; i < 40; i++) window = answered(window, 20, 16)
    expect(window.limit).toBe(16)
    for (let i = 0; i < 5; i++) window = answered(window, 2000, 16)
    expect(window.limit).toBe(1)
  })
})
