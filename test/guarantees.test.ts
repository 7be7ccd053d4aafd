/** The page of guarantees links the tests that enforce them: each must exist, under that name. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { PROJECT_ROOT } from './support/built.ts'

interface Proof {
  readonly title: string
  readonly path: string
}

const page = readFileSync(join(PROJECT_ROOT, 'docs/guarantees.md'), 'utf8')
const sections = page.split(/^## /m).slice(1)

/** Links to tests, with the title that each gives. */
function proofsOf(markdown: string): Proof[] {
  const links = markdown.matchAll(/\[([^\]]+)\]\(\.\.\/(test\/[^)]+)\)/g)
  return [...links].map(([, title = '', path = '']) => ({ title, path }))
}

/** Beginnings of the titles of the tests and groups in a test file, as they are spelled there. */
function titlesOf(code: string): string[] {
  const calls = code.matchAll(
    /\b(?:test|it|describe|describeKinds)\b(?:\.\w+)*(?:<[^;]*?>)?(?:\([^'"`;]*?\))?\(\s*(?:'((?:[^'\\]|\\.)*)'|`((?:[^`\\]|\\.)*)`)/g,
  )
  return [...calls].map(([, plain, template]) => (plain ?? template ?? '').replaceAll("\\'", "'"))
}

/** The proofs that are not there. */
function missing(proofs: readonly Proof[], read: (path: string) => string): string[] {
  return proofs.flatMap(({ title, path }) => {
    try {
      const isThere = titlesOf(read(path)).some((candidate) => candidate.includes(title))
      return isThere ? [] : [`${path} has no test "${title}"`]
    } catch {
      return [`${path} does not exist`]
    }
  })
}

const fromDisk = (path: string): string => readFileSync(join(PROJECT_ROOT, path), 'utf8')

describe('the page of guarantees', () => {
  test('has all fourteen, in order, each with what it does not promise', () => {
    const numbers = sections.map((section) => Number(/^(\d+)\. /.exec(section)?.[1]))
    expect(numbers).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14])
    const silent = sections.filter((section) => !section.includes('\nNot promised: '))
    expect(silent.map((section) => section.slice(0, 40))).toEqual([])
  })

  test.each(sections.map((section) => [section.split('\n')[0] ?? '', section] as const))(
    '%s: is enforced by tests of these names',
    (_heading, section) => {
      const named = proofsOf(section)
      expect(named.length).toBeGreaterThanOrEqual(3)
      expect(missing(named, fromDisk)).toEqual([])
    },
  )

  test('would not pass with a test that was renamed or a file that is gone', () => {
    const read = (path: string): string => {
      if (path !== 'test/a.test.ts') throw new Error('not there')
      return `test.each([1])('is %i', () => 1)\n it("x", f)\ndescribe(\`many \${N}\`, () => undefined)`
    }
    const proofs = [
      { title: 'is %i', path: 'test/a.test.ts' },
      { title: 'many', path: 'test/a.test.ts' },
      { title: 'was renamed', path: 'test/a.test.ts' },
      { title: 'is %i', path: 'test/b.test.ts' },
    ]
    expect(missing(proofs, read)).toEqual([
      'test/a.test.ts has no test "was renamed"',
      'test/b.test.ts does not exist',
    ])
  })
})
