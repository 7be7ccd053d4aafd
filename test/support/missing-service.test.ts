/**
 * What becomes of tests whose service is missing: a run of vitest on one small file, on a machine without Redis
 * and without an engine of containers, that may install nothing.
 */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { PROJECT_ROOT } from './built.ts'
import { findRedis } from './redis-program.ts'

const TEST = `import { expect, it } from 'vitest'
import { useRedis } from '../../test/support/services.ts'

const redis = useRedis()
it('asks Redis', () => expect(redis().url).toMatch(/^redis:/))
`
const CONFIG = `export default { test: { include: ['*.test.ts'], retry: 0, testTimeout: 60_000 } }\n`
const ADVICE = 'install Redis (Debian: apt install redis-server), or set OOO_TEST_REDIS_URL'

/** Inside the package, so that its modules resolve, and out of git's sight. */
let folder = ''

beforeAll(() => {
  mkdirSync(join(PROJECT_ROOT, 'dist'), { recursive: true })
  folder = mkdtempSync(join(PROJECT_ROOT, 'dist', '.missing-'))
  writeFileSync(join(folder, 'asks.test.ts'), TEST)
  writeFileSync(join(folder, 'vitest.config.mjs'), CONFIG)
  mkdirSync(join(folder, 'bin'))
  symlinkSync(process.execPath, join(folder, 'bin', 'node'))
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Report {
  readonly success: boolean
  readonly numPassedTests: number
  readonly testResults: readonly {
    readonly assertionResults: readonly { readonly title: string; readonly status: string }[]
  }[]
}

interface Outcome {
  readonly code: number | string | null
  readonly output: string
  readonly report: Report
}

/** Runs the file with `bin` as the whole PATH. */
async function runWithout(env: Readonly<Record<string, string>>): Promise<Outcome> {
  const report = join(folder, 'report.json')
  rmSync(report, { force: true })
  const vitest = join(PROJECT_ROOT, 'node_modules', 'vitest', 'vitest.mjs')
  const reporters = ['--reporter=verbose', '--reporter=json', `--outputFile.json=${report}`]
  const args = [vitest, 'run', '--root', folder, ...reporters]
  const { code, output } = await new Promise<Omit<Outcome, 'report'>>((resolve) => {
    const options = {
      cwd: folder,
      env: { HOME: folder, PATH: join(folder, 'bin'), NO_COLOR: '1', ...env },
      timeout: 100_000,
      killSignal: 'SIGKILL',
    } as const
    execFile(process.execPath, args, options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : (error.code ?? null), output: `${stdout}${stderr}` })
    })
  })
  return { code, output, report: JSON.parse(readFileSync(report, 'utf8')) as Report }
}

/** Looked into beside the PATH, and not to be emptied by a test. */
const BESIDE_PATH = ['/usr/sbin', '/usr/local/sbin', '/opt/homebrew/bin']

beforeEach((context) => {
  const program = findRedis() ?? ''
  if (BESIDE_PATH.includes(dirname(program))) context.skip(`${program} is found whatever the PATH`)
})

describe('a test whose service is missing', () => {
  it('is skipped, and says what to install', async () => {
    const { code, output, report } = await runWithout({ OOO_TEST_INSTALL: 'never' })
    expect(output).toContain(ADVICE)
    expect(output).not.toContain('installing it')
    expect(code).toBe(0)
    expect(resultsOf(report)).toEqual([['asks Redis', 'skipped']])
  })

  it('fails with CI=true, and says what to install', async () => {
    const { code, output, report } = await runWithout({ OOO_TEST_INSTALL: 'never', CI: 'true' })
    expect(output).toContain(`Error: Redis: ${ADVICE}`)
    expect(code).toBe(1)
    expect(report.success).toBe(false)
    expect(report.numPassedTests).toBe(0)
  })

  it('runs where the environment names a server', async () => {
    const { code, report } = await runWithout({
      OOO_TEST_INSTALL: 'never',
      OOO_TEST_REDIS_URL: 'redis://127.0.0.1:1',
    })
    expect(code).toBe(0)
    expect(resultsOf(report)).toEqual([['asks Redis', 'passed']])
  })
})

function resultsOf({ testResults }: Report): (readonly [string, string])[] {
  const results = testResults.flatMap(({ assertionResults }) => assertionResults)
  return results.map(({ title, status }) => [title, status])
}
