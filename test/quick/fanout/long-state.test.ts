/** The full state of a long list is the same, however it is put together. */
import { expect, it } from 'vitest'
import { type Entry, metaListJson } from '../../../src/core/data/entry.ts'
import { encodeFrame, encodeState } from '../../../src/fanout/frames/frame.ts'
import { ListView } from '../../../src/fanout/views/list-view.ts'

it.each([3, 300, 3000])('%i entries', (count) => {
  const entries = Array.from({ length: count }, (_, i): Entry => {
    const data = JSON.stringify({ n: i, text: '😀é'.repeat(500) })
    const created = 1_700_000_000_000_000_000n - BigInt(i)
    return { kind: 'entry', key: `items/${i}`, created, updated: 0n, origin: 'a', data }
  })
  const whole = encodeFrame({ snapshot: true, data: metaListJson(entries) }, '1f')
  expect(Buffer.compare(encodeState(new ListView(entries), '1f'), whole)).toBe(0)
})
