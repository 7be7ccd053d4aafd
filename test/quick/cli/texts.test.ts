import { describe, expect, it } from 'vitest'
import { changedLines } from '../../../cli/commands/watch.ts'
import { targetOf } from '../../../cli/requests/target.ts'
import { COMMANDS } from '../../../cli/run.ts'
import { DEV_SETTINGS, SERVE_SETTINGS } from '../../../cli/settings/config.ts'
import { settingsOf } from '../../../cli/settings/reading/resolve.ts'
import { explainStartFailure } from '../../../cli/start/failure.ts'
import { planNodes, welcome } from '../../../cli/supervise/dev-plan.ts'
import { createConsoleLogger } from '../../../cli/terminal/console-logger.ts'
import { editDistance, nearest } from '../../../cli/terminal/nearest.ts'
import { durationText, formatStatus } from '../../../cli/terminal/status-text.ts'
import { formatTable } from '../../../cli/terminal/table.ts'
import type { ClientEntry } from '../../../src/client/index.ts'
import { StateError } from '../../../src/core/errors.ts'
import { isLoopback } from '../../../src/core/loopback.ts'
import { ooo } from '../../support/run-command.ts'

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
}

/** Runs a command line in this process, for those that need no node. */
describe('help', () => {
  it('lists every command', async () => {
    for (const argv of [[], ['--help'], ['-h'], ['help']]) {
      const { code, stdout } = await ooo(...argv)
      expect(code).toBe(0)
      for (const { name, summary } of COMMANDS) {
        expect(stdout).toMatch(new RegExp(`^  ${name} +${summary}$`, 'm'))
      }
    }
  })

  it.each(COMMANDS.map(({ name }) => name))('tells every setting of %s', async (name) => {
    const { code, stdout } = await ooo(name, '--help')
    expect(code).toBe(0)
    expect(await ooo('help', name)).toEqual({ code, stdout, stderr: '' })
    const command = COMMANDS.find((candidate) => candidate.name === name)
    const words = stdout.replace(/\s+/g, ' ')
    for (const { flag, env, meaning } of command?.settings ?? []) {
      expect(stdout).toContain(`  --${flag}`)
      expect(words).toContain(meaning)
      expect(words).toContain(env ?? '')
    }
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(100)
  })

  it('names the defaults', async () => {
    const serve = (await ooo('serve', '--help')).stdout
    expect(serve).toContain('(default 127.0.0.1; OOO_HOST)')
    expect(serve).toContain('(default 8800; OOO_PORT)')
    const dev = (await ooo('dev', '--help')).stdout
    expect(dev).toContain('(default 3; OOO_NODES)')
    expect(dev.replace(/\s+/g, ' ')).toContain('(default settings,items/*; OOO_KEYS)')
  })

  it('prints the version', async () => {
    const { code, stdout } = await ooo('--version')
    expect(code).toBe(0)
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })
})

describe('wrong usage ends with exit code 2 and says what is allowed', () => {
  it.each([
    [['serv'], 'ooo: serv: unknown command; did you mean serve?'],
    [['xyzzy'], 'ooo: xyzzy: unknown command; allowed are serve, dev,'],
    [['help', 'gte'], 'ooo: gte: unknown command; did you mean get?'],
    [['serve', '--prot=1'], 'ooo: --prot: unknown flag; did you mean --port?'],
    [['serve', 'extra'], 'ooo: extra: not expected here; usage: ooo serve [options]'],
    [['get'], 'ooo: something is missing; usage: ooo get [options] [URL] KEY'],
    [['set', 'a'], 'ooo: something is missing; usage: ooo set [options] [URL] KEY VALUE'],
    [['get', 'a', 'b'], 'ooo: a: takes nothing after it, got 1'],
    [['set', 'a', '{'], 'ooo: invalid JSON'],
    [['get', 'a//b'], /^ooo: key is not valid\n$/],
    [['push', 'a', '1'], 'ooo: push: a must end in /* or be *'],
    [['get', 'http://127.0.0.1:1'], 'names no key'],
    [['get', 'ftp://127.0.0.1:1/a'], 'give a URL such as'],
    [['get', '--url', 'a:1', 'http://b:2/c'], 'both name a node'],
    [['status', 'settings'], 'settings: give a node such as'],
    [['voters', 'add', ''], 'ooo: "" is no name of a voter: '],
    [['voters', 'found', 'a', 'b c'], 'ooo: "b c" is no name of a voter: '],
    [['voters', 'ad', 'a'], 'ooo: "ad" "a": give list, add NAME'],
    [['nodes', 'forget', ''], 'ooo: "forget" "": give list or forget ID'],
    [['conflicts', 'restore'], 'ooo: "restore": give list, restore ID or discard ID'],
    [
      ['nodes', 'http://a:1', 'list', 'http://b:1'],
      'http://b:1 and http://a:1 both name a node; give one of them',
    ],
    [
      ['voters', 'http://a:1', '--url', 'b:1'],
      'b:1 and http://a:1 both name a node; give one of them',
    ],
    [['backup', 'http://a:1'], 'something is missing; usage: ooo backup [options] [URL] FILE'],
    [['status', 'http://a:1/b'], 'http://a:1/b: give a node such as'],
    [['dev', '--nodes', '0'], 'ooo: --nodes: "0" is not allowed; give a whole number from 1 to 50'],
  ])('%j', async (argv, message) => {
    const { code, stdout, stderr } = await ooo(...argv)
    expect(stderr).toMatch(
      typeof message === 'string' ? new RegExp(escapeRegExp(message)) : message,
    )
    expect(stderr.trim().split('\n')).toHaveLength(1)
    expect(stdout).toBe('')
    expect(code).toBe(2)
  })
})

it('reads a node and a key from every form of operands', () => {
  const of = (...positionals: string[]) =>
    targetOf({ flags: new Map(), positionals, help: false }, { OOO_URL: 'n:1' })
  expect(of('a/b', 'v')).toEqual({ url: 'http://n:1', key: 'a/b', rest: ['v'] })
  expect(of('http://h:2', 'a/*', 'v')).toEqual({ url: 'http://h:2', key: 'a/*', rest: ['v'] })
  expect(of('http://h:2/', 'a/*')).toEqual({ url: 'http://h:2', key: 'a/*', rest: [] })
  expect(of('https://h/a/./*', 'v')).toEqual({ url: 'https://h', key: 'a/./*', rest: ['v'] })
})

describe('nearest', () => {
  it('counts edits, a swap of neighbours as one', () => {
    expect(editDistance('', 'abc')).toBe(3)
    expect(editDistance('kitten', 'sitting')).toBe(3)
    expect(editDistance('prot', 'port')).toBe(1)
    expect(editDistance('same', 'same')).toBe(0)
  })

  it('suggests only what is near', () => {
    expect(nearest('--cluster', ['--cluster-url', '--port'])).toBe('--cluster-url')
    expect(nearest('--q', ['--port', '--key'])).toBeUndefined()
  })
})

describe('log lines', () => {
  const at = (level: Parameters<typeof createConsoleLogger>[0]['level']) => {
    const lines: string[] = []
    const now = () => new Date(0)
    const logger = createConsoleLogger({ level, now, write: (line) => lines.push(line) })
    return { lines, logger }
  }

  it('are filtered by level', () => {
    const { lines, logger } = at('warn')
    logger.debug('a')
    logger.info('b')
    logger.warn('c')
    logger.error('d')
    expect(lines).toEqual([
      '1970-01-01T00:00:00.000Z warn c\n',
      '1970-01-01T00:00:00.000Z error d\n',
    ])
    const silent = at('silent')
    silent.logger.error('e')
    expect(silent.lines).toEqual([])
  })

  it('are one line each, whatever they are given', () => {
    const { lines, logger } = at('debug')
    logger.info('two\nlines \u2028', {
      n: 1n,
      text: 'a b',
      none: undefined,
      empty: '',
      e: '\u001b[2J',
    })
    expect(lines).toEqual([
      '1970-01-01T00:00:00.000Z info two\\u000alines \\u2028 n=1 text="a b" empty="" e=\\u001b[2J\n',
    ])
  })
})

describe('start failures', () => {
  const config = { host: '127.0.0.1', port: 8800, data: './data/node', postgres: undefined }
  const coded = (code: string) => Object.assign(new Error(`listen ${code}`), { code })

  it.each([
    [
      new StateError('in_use', 'x', { cause: coded('EADDRINUSE') }),
      'port 8800 on 127.0.0.1 is taken by another process; choose another with --port',
    ],
    [coded('EADDRNOTAVAIL'), '127.0.0.1 is no address of this machine; choose another with --host'],
    [
      new StateError('in_use', 'x', { cause: coded('LEVEL_LOCKED') }),
      'the data folder ./data/node is used by another process; stop that, or choose another with --data',
    ],
    [
      new StateError('storage_failed', 'cannot open d', { cause: new Error('EACCES: d') }),
      'cannot open d: EACCES: d',
    ],
    [new StateError('storage_failed', 'd: EIO', { cause: new Error('EIO') }), 'd: EIO'],
  ])('%s', (error, text) => {
    expect(explainStartFailure(error, config)).toBe(text)
  })

  it.each([
    [
      new StateError('storage_failed', 'postgres: cannot connect to db:5432/ooo: ENOTFOUND db', {
        cause: coded('ENOTFOUND'),
      }),
      'postgres: cannot connect to db:5432/ooo: ENOTFOUND db: listen ENOTFOUND',
    ],
    [
      new StateError('in_use', 'storage: the rows of "a" are used by another node'),
      'storage: the rows of "a" are used by another node; stop that, or choose other rows with --postgres-namespace',
    ],
    [
      new StateError('in_use', 'x', { cause: coded('EADDRINUSE') }),
      'port 8800 on 127.0.0.1 is taken by another process; choose another with --port',
    ],
  ])('with a database: %s', (error, text) => {
    expect(explainStartFailure(error, { ...config, postgres: 'postgres://db/ooo' })).toBe(text)
  })

  it('knows what only this machine can reach', () => {
    for (const host of ['localhost', '127.0.0.1', '127.8.9.1', '::1'])
      expect(isLoopback(host)).toBe(true)
    for (const host of ['0.0.0.0', '::', '10.0.0.1', 'example.org', '127.evil.org']) {
      expect(isLoopback(host)).toBe(false)
    }
  })
})

describe('the plan of ooo dev', () => {
  const config = {
    nodes: 3,
    port: 9000,
    data: 'some data',
    keys: ['settings', 'items/*'],
    clusterToken: 's3cret',
    logLevel: 'warn' as const,
  }
  const nodes = planNodes(config)

  it('has one leader, which the others follow', () => {
    expect(nodes.map(({ role, url }) => [role, url])).toEqual([
      ['leader', 'http://127.0.0.1:9000'],
      ['follower', 'http://127.0.0.1:9001'],
      ['follower', 'http://127.0.0.1:9002'],
    ])
    expect(nodes.map(({ args }) => args.includes('--cluster-url'))).toEqual([false, true, true])
    expect(new Set(nodes.map(({ data }) => data)).size).toBe(3)
  })

  it('gives no secret on a command line, and only known flags', () => {
    const flags = settingsOf(SERVE_SETTINGS).map(({ flag }) => `--${flag}`)
    for (const { args } of nodes) {
      expect(args.join(' ')).not.toContain('s3cret')
      for (const arg of args.filter((text) => text.startsWith('--'))) expect(flags).toContain(arg)
    }
  })

  it('suggests commands that fit the nodes and keys', () => {
    const text = welcome(nodes, config.keys, 'node dist/cli/main.js')
    expect(text).toContain("  node dist/cli/main.js watch http://127.0.0.1:9002 'items/*'\n")
    expect(text).toContain("  curl -X POST 'http://127.0.0.1:9001/items/*' -d '")
    expect(text).toContain("  curl 'http://127.0.0.1:9000/items/*'\n")
    expect(welcome(nodes, ['settings'], 'ooo')).toContain("curl 'http://127.0.0.1:9000/settings'")
    expect(welcome(nodes, ['a/*/b/*'], 'ooo')).toContain('ooo status http://127.0.0.1:9000')
    const [single] = planNodes({ ...config, nodes: 1 })
    expect(single === undefined ? '' : welcome([single], ['a'], 'ooo')).toContain(
      "curl -X POST 'http://127.0.0.1:9000/a'",
    )
  })

  it('shares its flags with serve where they mean the same', () => {
    for (const name of ['keys', 'clusterToken', 'logLevel', 'data', 'port'] as const) {
      expect(DEV_SETTINGS[name].flag).toBe(SERVE_SETTINGS[name].flag)
    }
  })
})

describe('ooo watch', () => {
  const entry = (path: string, created: bigint, updated: bigint): ClientEntry => ({
    created,
    updated,
    index: path,
    path,
    data: { n: 12345678901234567890n },
  })
  const map = (...entries: ClientEntry[]) => new Map(entries.map((e) => [e.path, e]))

  it('prints deletions, then what is new or changed, oldest change first', () => {
    const before = map(entry('a', 1n, 0n), entry('b', 2n, 0n), entry('c', 3n, 0n))
    const after = map(entry('d', 4n, 0n), entry('c', 3n, 9n), entry('a', 1n, 0n))
    expect(changedLines(before, after)).toEqual([
      '{"deleted":"b"}',
      '{"created":4,"updated":0,"index":"d","path":"d","data":{"n":12345678901234567890}}',
      '{"created":3,"updated":9,"index":"c","path":"c","data":{"n":12345678901234567890}}',
    ])
    expect(changedLines(after, after)).toEqual([])
  })
})

describe('ooo status', () => {
  const nowMs = 1_000_000_000

  it('shows role, scopes, links and followers as tables', () => {
    const traffic = { messagesIn: 1, bytesIn: 1500, messagesOut: 1, bytesOut: 20 }
    const text = formatStatus(
      {
        id: 'n1',
        name: 'node-1',
        role: 'mixed',
        epoch: 'e1',
        head: 12,
        clockOffsetMs: -2500,
        scopes: [
          { path: 'a/*', role: 'follower', leader: 'http://a:1', state: 'live', epoch: 'e' },
        ],
        links: [
          {
            url: 'http://a:1',
            state: 'live',
            cursor: 7,
            lagRows: 3,
            lagMs: 340,
            outbox: 2,
            outboxAgeMs: 90_000,
            lastAgreementMs: nowMs - 5_000,
            repairs: 0,
            traffic,
          },
        ],
        followers: [
          {
            id: 'n2',
            name: 'node-2',
            address: '10.0.0.2',
            cursor: 11,
            lagRows: 0,
            lagMs: 0,
            lastContactMs: nowMs - 12,
            traffic,
          },
        ],
        registered: [{ id: 'n2' }, { id: 'n3', name: 'gone', cursor: null, lastContactMs: 1 }],
        refusals: {
          counts: { unauthorized: 2 },
          latest: [{ atMs: nowMs - 60_000, peer: '10.9.9.9', code: 'unauthorized', reason: 'no' }],
        },
      },
      nowMs,
    )
    expect(text).toBe(
      [
        'name    role   id  epoch  head  clock',
        'node-1  mixed  n1  e1     12    -2 s',
        '',
        'scope  role      leader      state  epoch',
        'a/*    follower  http://a:1  live   e',
        '',
        'follows     state  cursor  behind     outbox   agreed   repairs  in      out       last error',
        'http://a:1  live   7       3, 340 ms  2, 90 s  5 s ago  0        1.5 kB  20 bytes  -',
        '',
        'follower  address   id  cursor  behind  heard      in      out',
        'node-2    10.0.0.2  n2  11      0       12 ms ago  1.5 kB  20 bytes',
        '',
        'away  id  cursor  heard',
        'gone  n3  -       11 d ago',
        '',
        'refused: unauthorized 2',
        '  1 min ago, 10.9.9.9: unauthorized: no',
        '',
      ].join('\n'),
    )
  })

  it('shows how far a comparison has come', () => {
    const comparison = { done: 1, sets: 3, received: 1200 }
    const text = formatStatus({ links: [{ url: 'u', state: 'comparing', comparison }] })
    expect(text).toContain('comparing 1/3, 1,200 records')
  })

  it('bears with what is missing or strange', () => {
    for (const status of [{}, null, [], 'x', { links: {}, followers: [null, 1], refusals: 7 }]) {
      expect(formatStatus(status)).toMatch(/^name {2}role/)
    }
  })

  it('tells durations in the unit that fits', () => {
    const told = [0, 999, 1000, 1999, 2000, 119_999, 120_000, 86_400_000, 200_000_000]
    expect(told.map(durationText)).toEqual([
      '0 ms',
      '999 ms',
      '1 s',
      '1999 ms',
      '2 s',
      '119 s',
      '2 min',
      '1 d',
      '2 d',
    ])
  })
})

it('tables line up and end their lines cleanly', () => {
  expect(
    formatTable(
      ['a', 'bb'],
      [
        ['ccc', ''],
        ['', 'd'],
      ],
    ),
  ).toBe('a    bb\nccc\n     d\n')
})
