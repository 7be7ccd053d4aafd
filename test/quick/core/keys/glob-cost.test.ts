/** Matching a glob: against an oracle of its own, and with a cost that grows no faster than the texts. */
import { describe, expect, it } from 'vitest'
import { matchKey } from '../../../../src/core/keys/key.ts'
import { fc } from '../../../support/property.ts'

/** By dynamic programming over all prefixes, straight from the rules; nothing of the product's is used. */
function oracle(pattern: string, key: string): boolean {
  if (pattern === key) return true
  if (!pattern.includes('*')) return false
  if (pattern.split('/').length !== key.split('/').length) return false
  let row: boolean[] = [true, ...Array.from(key, () => false)]
  for (const part of pattern) {
    const next: boolean[] = [part === '*' && row[0] === true]
    for (let k = 1; k <= key.length; k++) {
      const char = key[k - 1]
      const extends_ = char !== '/' && (next[k - 1] === true || row[k] === true)
      next.push(part === '*' ? row[k] === true || extends_ : char === part && row[k - 1] === true)
    }
    row = next
  }
  return row[key.length] === true
}

/** Characters of text that `run` looks at, as far as it does so one by one or in search of a text. */
function charactersRead(run: () => void): number {
  const proto = String.prototype
  const { charCodeAt, indexOf, startsWith, endsWith, includes } = proto
  let count = 0
  proto.charCodeAt = function (this: string, at: number) {
    count++
    return charCodeAt.call(this, at)
  }
  // The engine's own search may cost pattern times text: it is counted so.
  proto.indexOf = function (this: string, text: string, from?: number) {
    const found = indexOf.call(this, text, from)
    const searched = (found === -1 ? this.length : found + 1) - (from ?? 0)
    count += text.length === 1 ? searched : text.length * this.length
    return found
  }
  proto.includes = function (this: string, text: string, from?: number) {
    count += text.length === 1 ? this.length - (from ?? 0) : text.length * this.length
    return includes.call(this, text, from)
  }
  proto.startsWith = function (this: string, text: string, at?: number) {
    count += text.length
    return startsWith.call(this, text, at)
  }
  proto.endsWith = function (this: string, text: string, at?: number) {
    count += text.length
    return endsWith.call(this, text, at)
  }
  try {
    run()
  } finally {
    Object.assign(proto, { charCodeAt, indexOf, startsWith, endsWith, includes })
  }
  return count
}

const text = (alphabet: string, maxLength: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(...alphabet), maxLength })

describe('a glob', () => {
  it('matches what the rules say', () => {
    fc.assert(
      fc.property(text('ab*/', 14), text('ab/*', 16), (pattern, key) => {
        expect(matchKey(pattern, key)).toBe(oracle(pattern, key))
      }),
      { numRuns: 20_000 },
    )
  })

  it('matches keys that were made from it', () => {
    const cases = fc
      .array(fc.tuple(text('ab', 5), text('aab', 6)), { minLength: 1, maxLength: 6 })
      .map((parts) => ({
        pattern: `k/${parts.map(([literal]) => literal).join('*')}*`,
        key: `k/${parts.map(([literal, run]) => literal + run).join('')}`,
      }))
    fc.assert(
      fc.property(cases, ({ pattern, key }) => {
        expect(matchKey(pattern, key)).toBe(oracle(pattern, key))
      }),
      { numRuns: 5000 },
    )
  })

  it.each([
    ['a long end', (n: number) => [`k/*${'a'.repeat(n)}b`, `k/${'a'.repeat(2 * n)}`]],
    ['a long middle', (n: number) => [`k/*${'a'.repeat(n)}b*`, `k/${'a'.repeat(2 * n)}`]],
    ['many stars', (n: number) => [`k/${'*a'.repeat(n)}*b`, `k/${'a'.repeat(2 * n)}`]],
    ['many segments', (n: number) => [`${'*a/'.repeat(n)}b`, `${'aa/'.repeat(n)}a`]],
    ['near misses', (n: number) => [`k/*${'ab'.repeat(n)}c*x`, `k/${'ab'.repeat(2 * n)}`]],
  ])('with %s costs no more than in proportion to the texts', (_name, make) => {
    const cost = (n: number): number => {
      const [pattern = '', key = ''] = make(n)
      // A first match may prepare the pattern, which is to be linear too.
      return charactersRead(() => matchKey(pattern, key)) / (pattern.length + key.length)
    }
    expect(cost(100)).toBeLessThan(20)
    expect(cost(3000)).toBeLessThan(20)
  })
})
