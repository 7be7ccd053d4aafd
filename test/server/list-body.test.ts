import { expect, it } from 'vitest'
import { type Entry, metaListJson } from '../../src/core/entry.ts'
import { listBody } from '../../src/server/list-body.ts'

it.each([0, 1, 999, 1000, 1001, 2000, 2500])('%i entries are one JSON list', (count) => {
  const entries = Array.from({ length: count }, (_, i): Entry => {
    const created = 1_700_000_000_000_000_000n + BigInt(i)
    const data = `{"n":${i},"text":"é€😀"}`
    return { kind: 'entry', key: `items/${i}`, created, updated: 0n, origin: 'a', data }
  })
  expect(Buffer.from(listBody(entries)).toString()).toBe(metaListJson(entries))
})
