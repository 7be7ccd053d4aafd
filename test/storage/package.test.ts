import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { transformWithOxc } from 'vite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { PROJECT_ROOT, prepareBuild } from '../support/built.ts'
import { codeBlocks } from '../support/markdown.ts'

const run = promisify(execFile)
const DEADLINE_MS = 300_000

/** A project of someone else, outside of this checkout, with the packed package installed. */
let project = ''
/** The programs of docs/adapters.md by the file name in their first line. */
const programs = new Map<string, string>()

beforeAll(async () => {
  await prepareBuild()
  project = await mkdtemp(join(tmpdir(), 'ooo-stranger-'))
  const modules = join(project, 'node_modules')
  await mkdir(join(modules, '@types'), { recursive: true })
  const args = ['pack', '--ignore-scripts', '--pack-destination', project]
  await run('npm', args, { cwd: PROJECT_ROOT, timeout: DEADLINE_MS })
  const { version } = JSON.parse(await readFile(join(PROJECT_ROOT, 'package.json'), 'utf8')) as {
    readonly version: string
  }
  await run('tar', ['-xzf', `ooo-cluster-${version}.tgz`], { cwd: project, timeout: DEADLINE_MS })
  // The suite and the contract need none of the package's dependencies.
  await symlink(join(project, 'package'), join(modules, 'ooo-cluster'))
  const page = await readFile(join(PROJECT_ROOT, 'docs/adapters.md'), 'utf8')
  for (const { language, code } of codeBlocks(page)) {
    const [, name = ''] = /^\/\/ (\S+\.ts)\n/.exec(code) ?? []
    expect(language, 'every program of the page names its file').toBe(name === '' ? '' : 'ts')
    programs.set(name, code)
  }
  await writeFile(join(project, 'package.json'), '{"type":"module","private":true}')
}, 300_000)

afterAll(() => rm(project, { recursive: true, force: true }))

/** Writes a program as the JavaScript that Node runs. */
async function writeProgram(folder: string, name: string, code: string): Promise<void> {
  const { code: javascript } = await transformWithOxc(code, name)
  const file = join(folder, name.replace(/\.ts$/, '.js'))
  await writeFile(file, javascript.replaceAll('./map-storage.ts', './map-storage.js'))
}

/** Runs the page's adapter, changed by `change`, under `node --test`; the report in TAP. */
async function testAdapter(
  name: string,
  change: (code: string) => string = (code) => code,
): Promise<{ readonly ok: boolean; readonly failed: string[]; readonly report: string }> {
  const folder = join(project, name)
  await mkdir(folder)
  await writeProgram(folder, 'map-storage.ts', change(programs.get('map-storage.ts') ?? ''))
  await writeProgram(folder, 'map-storage.test.ts', programs.get('map-storage.test.ts') ?? '')
  const args = ['--test', '--test-reporter=tap', 'map-storage.test.js']
  const { NODE_OPTIONS: _, ...env } = process.env
  // Inside another test run Node would speak to that one instead of writing a report.
  delete env.NODE_TEST_CONTEXT
  const outcome = await run(process.execPath, args, {
    cwd: folder,
    timeout: DEADLINE_MS,
    env,
  }).then(
    ({ stdout }) => ({ ok: true, report: stdout }),
    (error: { readonly stdout?: string }) => ({ ok: false, report: error.stdout ?? String(error) }),
  )
  const failed = [...outcome.report.matchAll(/^\s*not ok \d+ - map: (.*)$/gm)]
  return { ...outcome, failed: failed.flatMap(([, text]) => text ?? []) }
}

describe('the storage suite in a project of someone else', () => {
  it('has types that a strict TypeScript project accepts', async () => {
    const folder = join(project, 'typed')
    await mkdir(folder)
    for (const [name, code] of programs) await writeFile(join(folder, name), code)
    const modules = join(project, 'node_modules')
    for (const types of ['@types/node', 'undici-types']) {
      await symlink(join(PROJECT_ROOT, 'node_modules', types), join(modules, types))
    }
    const options = {
      compilerOptions: {
        target: 'ES2022',
        module: 'NodeNext',
        strict: true,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        allowImportingTsExtensions: true,
        noEmit: true,
        types: ['node'],
      },
    }
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(options))
    const tsc = join(PROJECT_ROOT, 'node_modules/typescript/bin/tsc')
    const { stdout } = await run(process.execPath, [tsc, '-p', folder], { timeout: DEADLINE_MS })
    expect(stdout).toBe('')
  }, 180_000)

  it('passes the adapter of docs/adapters.md under node --test, skips with reasons', async () => {
    const { ok, failed, report } = await testAdapter('sound')
    expect(failed).toEqual([])
    expect(ok, report.slice(-2000)).toBe(true)
    expect(report).toMatch(/^ok \d+ - map: owner: .* # SKIP the rows end with the adapter object$/m)
    expect(Number(/^# pass (\d+)$/m.exec(report)?.[1])).toBeGreaterThan(100)
  }, 180_000)

  it.each([
    {
      fault: 'rows that are not sorted',
      from: 'rows.sort(',
      to: 'void (',
      names: 'scans: rows come bytewise by key, a prefix before its continuations',
    },
    {
      fault: 'a snapshot taken at the first row',
      from: 'const rows = [...all]',
      to: 'const rows = [...this.#rows]',
      names: 'snapshots: a scan does not see batches called after it, even before its first row',
    },
    {
      fault: 'reads while closed',
      from: 'this.#check(this.#ready)\n    return keys',
      to: 'return keys',
      names: 'life: get rejects with not_open, closed',
    },
  ])(
    'fails an adapter with $fault, by name',
    async ({ fault, from, to, names }) => {
      const { ok, failed } = await testAdapter(fault.replaceAll(' ', '-'), (code) => {
        expect(code).toContain(from)
        return code.replace(from, to)
      })
      expect(ok).toBe(false)
      expect(failed).toContain(names)
    },
    180_000,
  )
})
