import { expect, it } from 'vitest'
import { documentToSet, type LargeDocument, recorded } from './document.ts'

it('a large document is recorded without its text, also after a patch of its id', () => {
  const large = documentToSet('v7', 1000) as LargeDocument
  expect(large.text).toHaveLength(1000)
  expect(recorded(large)).toEqual({ id: 'v7', set: 'v7', size: 1000 })
  expect(recorded({ ...large, id: 'v9' })).toEqual({ id: 'v9', set: 'v7', size: 1000 })
  expect(recorded(documentToSet('v1', 0))).toEqual({ id: 'v1', set: 'v1' })
  expect(recorded(null)).toBeNull()
})

it('a text that is cut off, mixed or missing is recorded as what nobody wrote', () => {
  const large = documentToSet('v7', 1000) as LargeDocument
  const other = documentToSet('v8', 1000) as LargeDocument
  const mixed = large.text.slice(0, 500) + other.text.slice(500)
  for (const text of [large.text.slice(1), mixed, other.text, undefined]) {
    expect(recorded({ ...large, text })).toMatchObject({ id: 'torn' })
  }
})
