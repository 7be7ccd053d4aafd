import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  browserViolations,
  directionViolations,
  folderCycles,
  folderViolations,
  importCycles,
  loadSources,
  missingTargets,
  nameViolations,
  parseModule,
  type SourceFile,
  sizeViolations,
  undeclaredPackages,
} from './support/architecture.ts'
import { prepareBuild } from './support/built.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const PRODUCT = ['src', 'cluster', 'backup', 'storage-adapters', 'postgres', 'cli']
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  readonly bin: Readonly<Record<string, string>>
  readonly exports: Readonly<Record<string, string>>
  readonly dependencies: Readonly<Record<string, string>>
}

const files = loadSources(ROOT, [...PRODUCT, 'ui', 'examples'])
const modules = files.map(parseModule)
const isProduct = ({ path }: SourceFile): boolean =>
  PRODUCT.some((folder) => path.startsWith(`${folder}/`))

/** A module made up for a case. */
const made = (path: string, text: string) => parseModule({ path, text })

describe('the source tree', () => {
  it('has files in every part', () => {
    for (const folder of PRODUCT) {
      expect(files.some(({ path }) => path.startsWith(`${folder}/`))).toBe(true)
    }
  })

  it('imports only in the allowed directions', () => {
    expect(directionViolations(modules)).toEqual([])
    expect(missingTargets(modules, ROOT)).toEqual([])
  })

  it('has no import cycle', () => {
    expect(importCycles(modules)).toEqual([])
  })

  it('has no folders that import each other in circles', () => {
    expect(folderCycles(modules.filter(isProduct))).toEqual([])
  })

  it('has folders that can be taken in at one look', () => {
    expect(folderViolations(files.filter(isProduct))).toEqual([])
  })

  it('keeps core, client and web UI free of Node', () => {
    expect(browserViolations(modules, ['src/core', 'src/client', 'ui/src'])).toEqual([])
  })

  it('imports only packages that are installed with it', () => {
    const dependencies = Object.keys(manifest.dependencies)
    expect(undeclaredPackages(modules.filter(isProduct), dependencies)).toEqual([])
  })

  it('shows by its examples only what a user has', () => {
    const examples = modules.filter(({ path }) => path.startsWith('examples/'))
    expect(undeclaredPackages(examples, ['ooo-cluster', 'ws'])).toEqual([])
    for (const { path, text } of examples) {
      expect(text.split('\n').length, `lines of ${path}`).toBeLessThanOrEqual(60)
    }
  })

  it('keeps files short', () => {
    expect(sizeViolations(files)).toEqual([])
  })

  it('names files after what they hold', () => {
    const edges = Object.values(manifest.exports).map((target) =>
      target.replace(/^\.\/dist\//, '').replace(/\.js$/, '.ts'),
    )
    expect(nameViolations(files, edges)).toEqual([])
  })
})

describe('the package', () => {
  beforeAll(prepareBuild, 180_000)

  it('has a file, with its types, behind every subpath and command', () => {
    for (const target of [...Object.values(manifest.exports), ...Object.values(manifest.bin)]) {
      expect(existsSync(join(ROOT, target)), target).toBe(true)
      if (!target.endsWith('.js')) continue
      const declaration = join(ROOT, target.replace(/\.js$/, '.d.ts'))
      expect(existsSync(declaration), declaration).toBe(true)
    }
  })

  it.each(Object.keys(manifest.exports).filter((subpath) => !subpath.endsWith('.json')))(
    'can be imported by plain Node at %s, without doing anything yet',
    (subpath) => {
      const specifier = `ooo-cluster${subpath.slice(1)}`
      const code = `const m = await import('${specifier}'); console.log(JSON.stringify(Object.keys(m)))`
      const output = execFileSync(process.execPath, ['--input-type=module', '-e', code], {
        cwd: ROOT,
        encoding: 'utf8',
        timeout: 20_000,
      })
      expect(output.trim().split('\n')).toHaveLength(1)
      expect(Array.isArray(JSON.parse(output))).toBe(true)
    },
  )
})

describe('the rules themselves', () => {
  it('read every form of import, and nothing from comments or texts', () => {
    const module = made(
      'src/core/a.ts',
      [
        "import { a } from './b.ts'",
        "import type { C } from './c.ts'",
        "import './d.ts'",
        "export * from '../store/e.ts'",
        "export type { F } from './f.ts'",
        "export const g = await import('./g.ts')",
        "export type H = import('./h.ts').H",
        "import fs from 'node:fs'",
        "// import './no.ts'",
        "export const text = `import './no.ts'`",
        "/* from './no.ts' */",
      ].join('\n'),
    )
    expect([...module.files].sort()).toEqual([
      ...['b', 'c', 'd', 'f', 'g', 'h'].map((name) => `src/core/${name}.ts`),
      'src/store/e.ts',
    ])
    expect(module.packages).toEqual(['node:fs'])
  })

  it.each([
    ['src/core/a.ts', '../store/b.ts'],
    ['src/core/ports/storage-adapter.ts', '../../store/b.ts'],
    ['src/fanout/a.ts', '../store/b.ts'],
    ['src/client/a.ts', '../server/b.ts'],
    ['src/store/a.ts', '../fanout/b.ts'],
    ['src/server/a.ts', '../client/b.ts'],
    ['src/server/a.ts', '../../cluster/b.ts'],
    ['src/index.ts', '../storage-adapters/memory/memory.ts'],
    ['storage-adapters/memory/a.ts', '../leveldb/b.ts'],
    ['storage-adapters/a.ts', './b.ts'],
    ['storage-adapters/memory/a.ts', '../../src/store/b.ts'],
    ['postgres/connection/a.ts', '../tables/b.ts'],
    ['cluster/a.ts', '../src/server/server.ts'],
    ['cluster/a.ts', '../src/fanout/hub.ts'],
    ['cluster/a.ts', '../storage-adapters/memory/memory.ts'],
    ['cluster/a.ts', '../cli/b.ts'],
    ['ui/src/a.ts', '../../src/core/b.ts'],
    ['examples/a.ts', '../src/index.ts'],
    ['examples/a.ts', './b.ts'],
    ['cli/a.ts', '../ui/b.ts'],
    ['src/elsewhere/a.ts', './b.ts'],
  ])('refuse that %s imports %s, also for its types only', (path, target) => {
    expect(directionViolations([made(path, `import type { B } from '${target}'`)])).toHaveLength(1)
  })

  it.each([
    ['src/core/a.ts', './b.ts'],
    ['src/server/a.ts', '../fanout/hub.ts'],
    ['cluster/a.ts', '../src/server/contract/plugin.ts'],
    ['cluster/a.ts', '../src/fanout/bus.ts'],
    ['storage-adapters/leveldb/a.ts', './files/b.ts'],
    ['ui/src/a.ts', '../../src/client/index.ts'],
    ['cli/a.ts', '../storage-adapters/memory/memory.ts'],
  ])('allow that %s imports %s', (path, target) => {
    expect(directionViolations([made(path, `import { b } from '${target}'`)])).toEqual([])
  })

  it('find cycles, through types too', () => {
    const a = made('src/core/a.ts', "import type { B } from './b.ts'")
    const b = made('src/core/b.ts', "export { C } from './c.ts'")
    const c = made('src/core/c.ts', "import { A } from './a.ts'")
    expect(importCycles([a, b, c])).toEqual([[a.path, b.path, c.path, a.path]])
    expect(importCycles([made('src/core/a.ts', "import './a.ts'")])).toHaveLength(1)
    expect(importCycles([a, b])).toEqual([])
  })

  it('find folders that import each other, though their files do not', () => {
    const a = made('src/core/a/a.ts', "import { B } from '../b/b.ts'")
    const b = made('src/core/b/b.ts', 'export const B = 1')
    const c = made('src/core/b/c.ts', "import type { D } from '../a/d.ts'")
    const d = made('src/core/a/d.ts', "import { A } from './a.ts'")
    expect(importCycles([a, b, c, d])).toEqual([])
    expect(folderCycles([a, b, c, d])).toEqual([['src/core/a', 'src/core/b', 'src/core/a']])
    expect(folderCycles([a, b, d])).toEqual([])
  })

  it('find full folders, and names that stutter', () => {
    const files = (count: number) =>
      Array.from({ length: count }, (_, i) => ({ path: `src/core/${i}.ts` }))
    expect(folderViolations(files(15))).toEqual([])
    expect(folderViolations(files(16))).toEqual(['src/core: 16 files, 15 allowed'])
    expect(folderViolations([{ path: 'cluster/bus/bus-redis.ts' }])).toHaveLength(1)
    expect(folderViolations([{ path: 'cluster/bus/bus.ts' }])).toEqual([])
  })

  it('find Node in what a browser part reaches', () => {
    const client = made('src/client/a.ts', "import { b } from '../core/b.ts'")
    const check = (text: string) =>
      browserViolations([client, made('src/core/b.ts', text)], ['src/client'])
    expect(check("import { readFileSync } from 'node:fs'")).toEqual([
      'src/client/a.ts → src/core/b.ts: needs node:fs',
    ])
    expect(check("import type { Level } from 'level'")).toHaveLength(1)
    expect(check('export const size = Buffer.byteLength("")')).toHaveLength(1)
    expect(check('export const env = process["env"]')).toHaveLength(1)
    expect(check('export const b = { process: 1 }.process')).toEqual([])
    expect(check("import patch from 'fast-json-patch'")).toEqual([])
  })

  it('find packages that nobody installs, and imports of nothing', () => {
    const module = made('src/a.ts', "import '@scope/b/c'\nimport 'ws'\nimport './none.ts'")
    expect(undeclaredPackages([module], ['ws'])).toEqual([
      'src/a.ts: @scope/b/c is not among the dependencies',
    ])
    expect(missingTargets([module], ROOT)).toEqual([
      'src/a.ts: imports src/none.ts, which does not exist',
    ])
  })

  it('find long files, one by one and together', () => {
    const file = (lines: number) => ({ path: `src/${lines}.ts`, text: 'x\n'.repeat(lines) })
    expect(sizeViolations([file(400), ...Array(9).fill(file(1))])).toEqual([])
    expect(sizeViolations([file(401), ...Array(9).fill(file(1))])).toHaveLength(1)
    expect(sizeViolations([file(251), file(252), ...Array(9).fill(file(1))])).toHaveLength(1)
  })

  it('find names that say nothing', () => {
    const check = (path: string) => nameViolations([{ path, text: '' }], ['src/index.ts'])
    expect(check('src/index.ts')).toEqual([])
    expect(check('src/core/index.ts')).toHaveLength(1)
    expect(check('src/core/utils.ts')).toHaveLength(1)
    expect(check('src/core/hubPool.ts')).toHaveLength(1)
    expect(check('ui/vite.config.ts')).toEqual([])
  })
})
