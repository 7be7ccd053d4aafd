import { describe, expect, it } from 'vitest'
import { type Entry, metaListJson } from '../../../src/core/data/entry.ts'
import { atOnce } from '../../../src/core/steps.ts'
import { listBody } from '../../../src/server/lists/list-body.ts'

const PIECE_BYTES = 64 * 1024

function entriesOf(count: number, data: (i: number) => string): Entry[] {
  return Array.from({ length: count }, (_, i): Entry => {
    const created = 1_700_000_000_000_000_000n + BigInt(i)
    const updated = i % 2 === 0 ? 0n : created + 1n
    return { kind: 'entry', key: `items/${i}`, created, updated, origin: 'a', data: data(i) }
  })
}

/** The body, and how long its pieces are. */
function written(entries: readonly Entry[]): { text: string; pieces: number[] } {
  const body = listBody(entries.slice())
  if (typeof body === 'string') return { text: body, pieces: [] }
  const measured = atOnce(body.measuring())
  const pieces: Buffer[] = []
  for (let piece = body.piece(); piece !== undefined; piece = body.piece()) pieces.push(piece)
  const whole = Buffer.concat(pieces)
  expect(whole.length).toBe(measured)
  return { text: whole.toString(), pieces: pieces.map(({ length }) => length) }
}

describe('a list', () => {
  it.each([0, 1, 999, 1000, 1001, 2000, 2500])('of %i entries is one JSON text', (count) => {
    const entries = entriesOf(count, (i) => `{"n":${i},"text":"é€😀"}`)
    expect(written(entries).text).toBe(metaListJson(entries))
  })

  it.each([
    ['of one byte', 'x'],
    ['of several bytes', '😀'],
    ['of several bytes, from an odd place on', 'a😀'],
  ])('of large values %s comes in pieces of a fixed size', (_name, character) => {
    const entries = entriesOf(5, (i) => `"${'.'.repeat(i)}${character.repeat(200_000)}"`)
    const { text, pieces } = written(entries)
    expect(text === metaListJson(entries)).toBe(true)
    // Characters are counted, of which each has up to three bytes.
    expect(Math.max(...pieces)).toBeLessThan(3 * PIECE_BYTES + 1000)
  })
})

it('lets go of what was sent', () => {
  const body = listBody(entriesOf(2000, (i) => `"${i}${'x'.repeat(100)}"`))
  if (typeof body === 'string') throw new Error('not a long list')
  expect(body.current?.key).toBe('items/0')
  body.piece()
  const { current } = body
  expect(current?.key).not.toBe('items/0')
  while (body.piece() !== undefined);
  expect(body.current).toBeUndefined()
})
