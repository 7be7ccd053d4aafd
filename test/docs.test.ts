import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { transformWithOxc } from 'vite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { COMMANDS } from '../cli/run.ts'
import { PROJECT_ROOT, prepareBuild } from './support/built.ts'
import {
  brokenLinks,
  codeBlocks,
  commandUses,
  headingAnchors,
  linkTargets,
  markdownFiles,
  npmScripts,
} from './support/markdown.ts'

const DEADLINE_MS = 100_000
const pages = markdownFiles(PROJECT_ROOT).map((path) => ({
  path,
  text: readFileSync(join(PROJECT_ROOT, path), 'utf8'),
}))
const manifest = JSON.parse(readFileSync(join(PROJECT_ROOT, 'package.json'), 'utf8')) as {
  readonly scripts: Readonly<Record<string, string>>
}

/** Inside the package, so that its own name resolves, and out of git's sight. */
let folder = ''
beforeAll(async () => {
  await prepareBuild()
  folder = mkdtempSync(join(PROJECT_ROOT, 'dist', '.docs-'))
}, 180_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Runs a TypeScript program against the built package, as a user's project would. */
async function runProgram(name: string, code: string): Promise<string> {
  const { code: javascript } = await transformWithOxc(code, `${name}.ts`)
  const file = join(folder, `${name}.mjs`)
  writeFileSync(file, javascript)
  const { stdout } = await promisify(execFile)(process.execPath, [file], {
    cwd: folder,
    timeout: DEADLINE_MS,
    killSignal: 'SIGKILL',
  })
  return stdout
}

describe('examples', () => {
  const expected: Readonly<Record<string, RegExp>> = {
    'basic-server.ts':
      /settings: \{ theme: 'dark', volume: 7 \}\n.*: second, first\nafter delete: undefined\n$/,
    'custom-endpoints.ts':
      /^200 \{"balance":5\}\n400 .*amount.*\n(200 \{"balance":\d+\}\n){20}stored: \{ balance: 25 \}\n$/,
    'in-process-io.ts': /^(written: games\/\w+\n){3}Chess 3, Go 2\nnewest: go\ngone: undefined\n$/,
    'limit-filter.ts': /^events: 5, 4, 3\n$/,
    'limit-with-schema.ts': /^refused: true true\noldest first: 21, 22\n$/,
    'locks.ts': /^taken: 3 of 5\nrefused: locked\nseen: 3, 2, 1, 0, 100\n$/,
    'persistent-storage.ts': /^counter: \{ value: 42 \} was written again: true\n$/,
    'proxy.ts':
      /^stored on the remote: \{ light: 'on' \}\nseen .*: \{ light: 'off' \}\ndelete: 403\n$/,
    'remote-io.ts':
      /^thermostat: \{ degrees: 21, mode: 'eco' \}\nattempts .*: 6\nrefused: not_found\n$/,
    'replicated-pair.ts': /^read on the leader: \{ made: 'on the follower' \}\n$/,
    'static-api-key.ts':
      /^GET \S+ 401 .*\nPOST \S+ 200 .*\nPOST \S+ 400 .*negative\nPOST \S+ 200 .*\nPOST \S+ 400 .*\nprices: \{ amount: 3, currency: 'EUR' \}\n$/,
    'storage-and-clock.ts':
      /^lamp: \{"on":true\}\nkeys: 2 .* true\nthe clock has ticked twice after the write\n$/,
    'subscribe-many.ts':
      /^users\/\* changed: .* 1, .* 0, .* 0\n.*\n.*\nmessages\/\* changed: .* 2, .* 1, .* 1\n$/,
    'subscribe-one.ts':
      /^settings: none\nsettings: .*"volume":3\}\nsettings: .*"volume":7\}\nsettings: none\n$/,
    'subscribe.ts':
      /^status: live\ntasks: none\ntasks: .*\(open\)\ntasks: .*\(done\)\ntasks: none\nstatus: closed\n$/,
  }

  it.each(readdirSync(join(PROJECT_ROOT, 'examples')))('%s runs to its end', async (name) => {
    const code = readFileSync(join(PROJECT_ROOT, 'examples', name), 'utf8')
    expect(code).toMatch(/^\/\*\* [A-Z].*\? \*\/\n/)
    const output = await runProgram(name.replace(/\.ts$/, ''), code)
    expect(expected, 'the table of outputs').toHaveProperty([name])
    expect(output).toMatch(expected[name] ?? /./)
  })

  it('custom-endpoints.ts loses no deposit where a filter takes a while', async () => {
    const code = readFileSync(join(PROJECT_ROOT, 'examples', 'custom-endpoints.ts'), 'utf8')
    const filter = `server.filters.write('accounts/*', (_key, account) =>
      new Promise((resolve) => setTimeout(resolve, 20, account)))`
    const slow = code.replace('await server.open()', (open) => `${filter}\n${open}`)
    expect(slow).toContain(filter)
    expect(await runProgram('slow-filter', slow)).toMatch(expected['custom-endpoints.ts'] ?? /./)
  })
})

describe('README.md', () => {
  const readme = pages.find(({ path }) => path === 'README.md')?.text
  const programs = codeBlocks(readme ?? '').filter(({ language }) =>
    /^(ts|typescript|js|javascript)$/.test(language),
  )

  it('is there', () => {
    expect(existsSync(join(PROJECT_ROOT, 'README.md'))).toBe(true)
  })

  it.for(programs.map(({ line, code }) => [line, code] as const))(
    'has a program at line %s that runs to its end',
    async ([line, code]) => {
      await runProgram(`readme-${line}`, code)
    },
  )
})

describe.each(pages)('$path', ({ path, text }) => {
  it('links only to what is there', () => {
    expect(brokenLinks(PROJECT_ROOT, path, text)).toEqual([])
  })

  it('names only npm scripts that exist', () => {
    const unknown = npmScripts(text).filter((name) => !Object.hasOwn(manifest.scripts, name))
    expect(unknown).toEqual([])
  })

  it('uses only commands and flags that exist', () => {
    for (const { command, flags } of commandUses(text)) {
      const found = COMMANDS.find(({ name }) => name === command)
      expect(found, `ooo ${command}`).toBeDefined()
      const known = found?.settings.map(({ flag }) => flag) ?? []
      expect(flags.filter((flag) => flag !== 'help' && !known.includes(flag))).toEqual([])
    }
  })
})

describe('the checks themselves', () => {
  const page = [
    '# The Title: one, two',
    'See [a](other.md), [b](#the-title-one-two), ![c](img.png), [d](https://example.org/x).',
    '`[not](a-link)` and [e](#nowhere)',
    '```sh',
    '$ npx ooo serve --port 1 \\',
    '    --nope',
    'npm run made-up # [not](one)',
    'OOO_PORT=1 ooo gte',
    '```',
    'Run `npm test`.',
    '[ref]: gone.md',
    '````ts',
    '```',
    '````',
  ].join('\n')

  it('find code, commands and scripts', () => {
    expect(codeBlocks(page).map(({ language, line }) => [language, line])).toEqual([
      ['sh', 4],
      ['ts', 12],
    ])
    expect(commandUses(page)).toEqual([
      { command: 'serve', flags: ['port', 'nope'] },
      { command: 'gte', flags: [] },
    ])
    expect(npmScripts(page)).toEqual(['made-up', 'test'])
  })

  it('find links that lead nowhere', () => {
    expect(headingAnchors(page)).toEqual(['the-title-one-two'])
    expect(linkTargets(page)).toHaveLength(6)
    expect(brokenLinks(PROJECT_ROOT, 'x.md', page)).toEqual([
      'x.md: other.md leads nowhere',
      'x.md: img.png leads nowhere',
      'x.md: #nowhere names no heading',
      'x.md: gone.md leads nowhere',
    ])
    expect(brokenLinks(PROJECT_ROOT, 'docs/x.md', '[a](../package.json) [b](../src)')).toEqual([])
  })

  it('notice a program that fails, and one that imports what is not there', async () => {
    await expect(runProgram('failing', 'throw new Error("no")')).rejects.toThrow()
    await expect(runProgram('foreign', "import 'ooo-cluster/none'")).rejects.toThrow()
  })
})

describe('secrets', () => {
  /** What every process of the machine would see, in a command that a page shows. */
  const SHOWN = [
    /--cluster-token[= ](?!-)/,
    /--from-literal/,
    /--env \w*(TOKEN|PASSWORD|URL)=\S/,
    /--[a-z-]+[= ]'?"?\w[\w+]*:\/\/[^\s/@]*:[^\s/@]+@/,
  ]
  const inCommands = (text: string): string[] =>
    codeBlocks(text)
      .filter(({ language }) => language === 'sh')
      .flatMap(({ code }) => code.split('\n'))
      .filter((line) => SHOWN.some((pattern) => pattern.test(line)))

  it.each(pages)('are on no command line of $path', ({ text }) => {
    expect(inCommands(text)).toEqual([])
  })

  it('are found where they are', () => {
    const block = (line: string): string => `\`\`\`sh\n${line}\n\`\`\`\n`
    for (const line of [
      'ooo serve --cluster-token secret',
      'docker run --env OOO_CLUSTER_TOKEN=$(openssl rand -hex 32) image',
      'kubectl create secret generic a --from-literal=token=x',
      'ooo serve --proxy http://me:secret@proxy:3128',
    ]) {
      expect(inCommands(block(line)), line).toEqual([line])
    }
    expect(
      inCommands(block('ooo serve --cluster-token-file /run/token --redis redis://a')),
    ).toEqual([])
  })
})
