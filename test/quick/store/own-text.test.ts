import { describe, expect, it } from 'vitest'
import { ownText } from '../../../src/store/format/own-text.ts'
import { fc } from '../../support/property.ts'

describe('a text of its own', () => {
  it('is the same text, whatever characters it has', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
        expect(ownText(text)).toBe(text)
      }),
    )
  })

  it.each([0, 1, 21_845, 21_846, 65_536, 1_000_000])(
    'is the same text at %i characters',
    (size) => {
      for (const character of ['a', 'ÿ', '€']) {
        const text = character.repeat(size)
        expect(ownText(text) === text).toBe(true)
      }
      const pairs = '😀'.repeat(size / 2)
      expect(ownText(pairs) === pairs).toBe(true)
    },
  )

  it('is not changed by the next', () => {
    const first = ownText('first')
    ownText('other')
    expect(first).toBe('first')
  })
})
