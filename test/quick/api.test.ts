/** The public API, as committed in `test/api/exports.txt`; a change of it needs `npx vitest run test/quick/api.test.ts --update`. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { exportsOf, sourceOf, sourcesOf } from '../support/public-api.ts'

const ROOT = join(import.meta.dirname, '../..')
const SNAPSHOT = join(ROOT, 'test/api/exports.txt')
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  readonly exports: Readonly<Record<string, string>>
}

describe('the public API', () => {
  it('is what was committed, for each subpath of the package', async () => {
    expect(existsSync(SNAPSHOT), 'a missing file would be written').toBe(true)
    const parts = Object.entries(manifest.exports).map(([subpath, target]) => {
      const names = target.endsWith('.js') ? exportsOf(sourceOf(target), sourcesOf(ROOT)) : ['JSON']
      return [`ooo-cluster${subpath.slice(1)}`, ...names.map((name) => `  ${name}`)].join('\n')
    })
    await expect(`${parts.join('\n\n')}\n`).toMatchFileSnapshot(SNAPSHOT)
  })

  it('is read with names and kinds, over files that pass it on', () => {
    const files: Readonly<Record<string, string>> = {
      'a.ts': [
        "export { B, type C, d as e } from './b.ts'",
        "export type { B as F } from './b.ts'",
        'const g = 1',
        'export { g as h }',
        'export async function i(): Promise<void> {}',
      ].join('\n'),
      'b.ts': [
        'export class B {}',
        'export interface C {}',
        'export const d = 1',
        'export type J = 1',
      ].join('\n'),
    }
    const read = (path: string): string => files[path] ?? ''
    expect(exportsOf('a.ts', read)).toEqual([
      'B: class',
      'C: interface',
      'F: class, its type only',
      'e: const',
      'h: const',
      'i: function',
    ])
    expect(() => exportsOf('c.ts', () => "export * from './b.ts'")).toThrow('without a name')
    expect(() => exportsOf('c.ts', () => "export { none } from './b.ts'")).toThrow()
  })
})
