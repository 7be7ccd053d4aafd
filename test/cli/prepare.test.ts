import { type ChildProcess, execFile, spawn } from 'node:child_process'
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { PROJECT_ROOT } from '../support/built.ts'
import { isRunning } from '../support/cli-process.ts'
import { waitFor } from '../support/wait.ts'

/**
 * A small project of its own, in a folder with a space in its name. Its dependencies are folders
 * of this checkout, so that a real `npm ci` installs them without a network.
 */
let template = ''
let project = ''
const running = new Set<ChildProcess>()

const FILES: Readonly<Record<string, string>> = {
  'tsconfig.json': JSON.stringify({
    compilerOptions: {
      rootDir: '.',
      outDir: 'dist',
      module: 'NodeNext',
      target: 'ES2022',
      types: [],
    },
  }),
  'tsconfig.build.json': '{"extends":"./tsconfig.json","include":["src","cli"]}',
  'src/index.ts': 'export const answer: number = 42\n',
  'cli/main.ts': "export const main: string = 'main'\n",
  'ui/index.html':
    '<!doctype html><title>UI</title><script type="module" src="./main.ts"></script>\n',
  'ui/main.ts': "document.title = 'built'\n",
}

beforeAll(async () => {
  template = mkdtempSync(join(tmpdir(), 'ooo prepare '))
  cpSync(join(PROJECT_ROOT, 'tools'), join(template, 'tools'), { recursive: true })
  for (const [path, text] of Object.entries(FILES)) {
    mkdirSync(join(template, path, '..'), { recursive: true })
    writeFileSync(join(template, path), text)
  }
  const tools = { typescript: 'bin/tsc', vite: 'bin/vite.js' }
  const dependencies: Record<string, string> = {}
  for (const [name, command] of Object.entries(tools)) {
    // A package without dependencies of its own, whose command is the one of this checkout.
    const vendored = join(template, 'vendor', name)
    const real = pathToFileURL(join(PROJECT_ROOT, 'node_modules', name, command))
    mkdirSync(join(vendored, 'bin'), { recursive: true })
    writeFileSync(join(vendored, command), `import '${real}'\n`)
    const manifest = { name, version: '1.0.0', type: 'module' }
    writeFileSync(join(vendored, 'package.json'), JSON.stringify(manifest))
    dependencies[name] = `file:vendor/${name}`
  }
  const manifest = {
    name: 'fixture',
    version: '1.0.0',
    type: 'module',
    devDependencies: dependencies,
  }
  writeFileSync(join(template, 'package.json'), JSON.stringify(manifest))
  await promisify(execFile)('npm', ['install', '--package-lock-only', '--offline'], {
    cwd: template,
  })
}, 300_000)

beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), 'ooo prepared '))
  cpSync(template, project, { recursive: true })
})
afterEach(async () => {
  for (const child of running) child.kill('SIGKILL')
  await waitFor(() => running.size === 0)
  rmSync(project, { recursive: true, force: true })
})
afterAll(() => rmSync(template, { recursive: true, force: true }))

interface Outcome {
  readonly code: number | null
  readonly output: string
}

function start(env: Readonly<Record<string, string>> = {}): {
  child: ChildProcess
  ended: Promise<Outcome>
  output: () => string
} {
  const child = spawn(process.execPath, [join(project, 'tools', 'prepare.mjs')], {
    cwd: tmpdir(),
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  const ended = new Promise<Outcome>((resolve) => {
    child.once('close', (code) => {
      running.delete(child)
      resolve({ code, output })
    })
  })
  return { child, ended, output: () => output }
}

const prepare = (env?: Readonly<Record<string, string>>): Promise<Outcome> => start(env).ended

const read = (path: string): string => readFileSync(join(project, path), 'utf8')

const STEPS = ['installing dependencies', 'compiling', 'building the web UI']

/** Names of the steps that an output tells of; throws on a line that is none. */
function stepsIn(output: string): string[] {
  return output
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [, step = ''] = /^prepare: (.*) … \d+\.\d s$/.exec(line) ?? []
      if (!STEPS.includes(step)) throw new Error(`unexpected: ${line}`)
      return step
    })
}

describe('preparing a checkout', () => {
  it('installs and builds, in production too, then has nothing to do or say', async () => {
    const first = await prepare({
      NODE_ENV: 'production',
      npm_config_cache: join(project, 'cache'),
    })
    expect(stepsIn(first.output)).toEqual(STEPS)
    expect(first.code).toBe(0)
    expect(read('dist/src/index.js')).toContain('answer = 42')
    expect(read('dist/ui/index.html')).toContain('<title>UI</title>')
    expect(await prepare()).toEqual({ code: 0, output: '' })
  })

  it('builds again when a source, and only when its content, has changed', async () => {
    await prepare()
    writeFileSync(join(project, 'src/index.ts'), FILES['src/index.ts'] ?? '')
    expect(await prepare()).toEqual({ code: 0, output: '' })
    appendFileSync(join(project, 'src/index.ts'), 'export const more = 1\n')
    rmSync(join(project, 'cli/main.ts'))
    expect(stepsIn((await prepare()).output)).toEqual(STEPS.slice(1))
    expect(read('dist/src/index.js')).toContain('more = 1')
    expect(existsSync(join(project, 'dist/cli/main.js'))).toBe(false)
  })

  it('installs again when the lock file has changed or packages were removed', async () => {
    await prepare()
    appendFileSync(join(project, 'package-lock.json'), '\n')
    expect(stepsIn((await prepare()).output)).toEqual(STEPS)
    rmSync(join(project, 'node_modules'), { recursive: true })
    expect(stepsIn((await prepare()).output)).toEqual(STEPS.slice(0, 1))
  })

  it('takes over what `npm ci` has installed by hand', async () => {
    await promisify(execFile)('npm', ['ci', '--no-audit', '--no-fund'], { cwd: project })
    expect(stepsIn((await prepare()).output)).toEqual(STEPS.slice(1))
  })

  it('does again what was interrupted', async () => {
    await prepare()
    rmSync(join(project, 'node_modules/.prepared'))
    rmSync(join(project, 'node_modules/.package-lock.json'))
    rmSync(join(project, 'dist/.prepared'))
    mkdirSync(join(project, '.dist-next/src'), { recursive: true })
    writeFileSync(join(project, '.dist-next/src/left-over.js'), '')
    expect(stepsIn((await prepare()).output)).toEqual(STEPS)
    expect(existsSync(join(project, 'dist/src/left-over.js'))).toBe(false)
  })

  it('shows what a failing build printed, fails, and keeps the last good build', async () => {
    await prepare()
    writeFileSync(join(project, 'src/index.ts'), 'export const answer: number = "no"\n')
    const { code, output } = await prepare()
    expect(code).toBe(1)
    expect(output).toContain("Type 'string' is not assignable to type 'number'")
    expect(output).toContain('prepare: compiling failed')
    expect(read('dist/src/index.js')).toContain('answer = 42')
    expect((await prepare()).code).toBe(1)
  })

  it('shows what a failing installation printed, and fails', async () => {
    const manifest = JSON.parse(read('package.json'))
    manifest.dependencies = { 'not-in-the-lock': '1.0.0' }
    writeFileSync(join(project, 'package.json'), JSON.stringify(manifest))
    const { code, output } = await prepare({ npm_config_offline: 'true' })
    expect(code).toBe(1)
    expect(output).toContain('npm error')
    expect(output).toContain('prepare: installing dependencies failed')
  })

  it('runs once when it is started several times at once', async () => {
    const outcomes = await Promise.all([prepare(), prepare(), prepare()])
    expect(outcomes.map(({ code }) => code)).toEqual([0, 0, 0])
    const steps = outcomes.flatMap(({ output }) =>
      output.split('\n').filter((line) => line.includes(' … ')),
    )
    expect(steps).toHaveLength(STEPS.length)
    expect(existsSync(join(project, '.prepare.lock'))).toBe(false)
  })

  it('takes over from a run that was killed, once the tool it had started has ended', async () => {
    const { child, ended } = start()
    const lock = join(project, '.prepare.lock')
    const holders = await waitFor(() => {
      const lines = existsSync(lock) ? readFileSync(lock, 'utf8').split('\n') : []
      return lines.length === 2 && lines
    })
    const tool = Number(holders[1]?.split(' ')[0])
    process.kill(tool, 'SIGSTOP')
    child.kill('SIGKILL')
    await waitFor(() => !isRunning(child.pid ?? 0), { what: 'the end of the first run' })
    const second = start()
    await waitFor(() => second.output().includes('waiting for another run'), { what: 'the wait' })
    expect(isRunning(tool)).toBe(true)
    process.kill(tool, 'SIGKILL')
    expect((await second.ended).code).toBe(0)
    await ended
    expect(read('dist/src/index.js')).toContain('answer = 42')
    expect(existsSync(join(project, '.prepare.lock'))).toBe(false)
  })

  it('says which Node it needs', async () => {
    const script = join(project, 'tools', 'prepare.mjs')
    const code = `Object.defineProperty(process, 'versions', { value: { node: '20.18.3' } }); await import(process.argv[1])`
    const run = promisify(execFile)(process.execPath, ['--input-type=module', '-e', code, script])
    await expect(run).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /^prepare: Node\.js 20\.19 or later is needed, this is 20\.18\.3/,
      ),
    })
  })
})
