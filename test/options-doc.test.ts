/**
 * docs/options.md and docs/command-line.md list every option and flag with its default. They are made here from
 * the docblocks of the interfaces and from the table of settings:
 * `npx vitest run test/options-doc.test.ts --update`. The docblocks are held to the defaults that the code has.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { COMMANDS } from '../cli/run.ts'
import type { AnySetting } from '../cli/settings/reading/arguments.ts'
import { DEFAULT_LIMITS, resolveClusterOptions } from '../cluster/config/options.ts'
import { resolvePostgresOptions } from '../postgres/connection/options.ts'
import { resolveSharedSettings } from '../postgres/shared/options.ts'
import { resolveTableSettings } from '../postgres/tables/options.ts'
import { resolveClientOptions } from '../src/client/options.ts'
import { resolveServerOptions } from '../src/server/contract/options.ts'
import { MemoryStorage } from '../storage-adapters/memory/memory.ts'
import { resolveRowOptions } from '../storage-adapters/postgres/row-options.ts'
import { PROJECT_ROOT } from './support/built.ts'
import {
  markdownTable,
  type OptionRow,
  optionsOf,
  statedDelays,
  statedValue,
} from './support/option-tables.ts'

const read = (path: string): string => readFileSync(join(PROJECT_ROOT, path), 'utf8')

interface OptionTable {
  readonly heading: string
  readonly path: string
  readonly interface: string
  /** The defaults that the code has. */
  readonly defaults: () => object
  /** Each may be left out, though the interface is of all of them. */
  readonly isPartial?: boolean
  /** Options whose default is told in words: it is computed, or no plain value. */
  readonly inWords: readonly string[]
}

const url = 'postgres://127.0.0.1/none'
const server = (): object => resolveServerOptions({ storage: new MemoryStorage() })

const lease = (): object => defaultsIn('cluster/election/options.ts')

const TABLES: readonly OptionTable[] = [
  {
    heading: '`createServer`',
    path: 'src/server/contract/options.ts',
    interface: 'ServerOptions',
    defaults: server,
    inWords: [
      'durability',
      'cacheBytes',
      'maxBodiesBytes',
      'maxAnswerBytes',
      'maxValueBytes',
      'maxJsonMembers',
      'maxUnreadBytes',
      'maxPoolBytes',
      'tls',
      'allowedMethods',
      'allowedHeaders',
      'logger',
      'time',
      'transport',
    ],
  },
  {
    heading: '`createServer`: connections',
    path: 'src/server/admission/options.ts',
    interface: 'AdmissionOptions',
    defaults: server,
    inWords: ['maxConnections', 'reservedConnections', 'maxSubscribers'],
  },
  {
    heading: '`tls` of `createServer`',
    path: 'src/server/contract/tls.ts',
    interface: 'TlsOptions',
    defaults: () => defaultsIn('src/server/contract/tls.ts'),
    inWords: ['caFile'],
  },
  {
    heading: '`cluster`',
    path: 'cluster/config/options.ts',
    interface: 'ClusterOptions',
    defaults: () => resolveClusterOptions({ keys: [] }),
    inWords: ['leader', 'advertise', 'name', 'ca', 'agentFor', 'logger', 'limits'],
  },
  {
    heading: '`limits` of `cluster`',
    path: 'cluster/config/options.ts',
    interface: 'ClusterLimits',
    isPartial: true,
    defaults: () => DEFAULT_LIMITS,
    inWords: [],
  },
  {
    heading: '`keys` of `cluster`',
    path: 'cluster/members/placement.ts',
    interface: 'ScopeOptions',
    defaults: () => ({}),
    inWords: ['clusterUrl', 'local'],
  },
  {
    heading: '`leader` of `cluster`: every lease',
    path: 'cluster/election/options.ts',
    interface: 'LeaseOptions',
    defaults: lease,
    inWords: [],
  },
  {
    heading: '`leader` of `cluster`: who votes',
    path: 'cluster/election/options.ts',
    interface: 'VoterOptions',
    defaults: lease,
    inWords: ['voters', 'voter'],
  },
  {
    heading: '`leader` of `cluster`: `redis`',
    path: 'cluster/election/options.ts',
    interface: 'RedisLeaderOptions',
    defaults: lease,
    inWords: ['ca'],
  },
  {
    heading: '`leader` of `cluster`: `kubernetes`',
    path: 'cluster/election/options.ts',
    interface: 'KubernetesLeaderOptions',
    defaults: lease,
    inWords: ['namespace', 'env'],
  },
  {
    heading: '`leader` of `cluster`: `custom`',
    path: 'cluster/election/options.ts',
    interface: 'CustomLeaderOptions',
    defaults: lease,
    inWords: [],
  },
  {
    heading: '`redisBus`',
    path: 'cluster/bus/redis.ts',
    interface: 'RedisBusOptions',
    defaults: () => defaultsIn('cluster/bus/redis.ts'),
    inWords: ['ca', 'random'],
  },
  {
    heading: '`backupRoutes`',
    path: 'backup/routes.ts',
    interface: 'BackupRoutesOptions',
    defaults: () => defaultsIn('backup/routes.ts'),
    inWords: ['authorize'],
  },
  {
    heading: '`LevelStorage`',
    path: 'storage-adapters/leveldb/leveldb.ts',
    interface: 'LevelStorageOptions',
    defaults: () => defaultsIn('storage-adapters/leveldb/leveldb.ts'),
    inWords: ['reserveBytes', 'nowMs'],
  },
  {
    heading: '`PostgresStorage`',
    path: 'storage-adapters/postgres/row-options.ts',
    interface: 'PostgresStorageOptions',
    defaults: () => resolveRowOptions({ url }),
    inWords: [],
  },
  {
    heading: '`PostgresTables`',
    path: 'postgres/tables/options.ts',
    interface: 'TableSettings',
    defaults: () => resolveTableSettings({ url }),
    inWords: [],
  },
  {
    heading: '`sharedTables`',
    path: 'postgres/shared/options.ts',
    interface: 'SharedSettings',
    defaults: () => resolveSharedSettings({ scopes: { 'a/*': 'a' } }),
    inWords: [],
  },
  {
    heading: 'Connections to PostgreSQL',
    path: 'postgres/connection/options.ts',
    interface: 'PostgresOptions',
    defaults: () => resolvePostgresOptions({ url }),
    inWords: ['time'],
  },
  {
    heading: '`createClient`',
    path: 'src/client/options.ts',
    interface: 'ClientOptions',
    defaults: () => resolveClientOptions({ url: 'http://127.0.0.1' }),
    inWords: ['WebSocket', 'exactNumbers', 'time'],
  },
]

/** Plain values that stand behind `options.name ??` or `name =` in a source that keeps its defaults to itself. */
function defaultsIn(path: string): Readonly<Record<string, unknown>> {
  const source = read(path)
  const constants = new Map(
    [...source.matchAll(/^const ([A-Z_]+) = (.+)$/gm)].map(([, name = '', code = '']) => [
      name,
      code,
    ]),
  )
  const found = source.matchAll(
    /\b(\w+) (?:\?\?|=) ([\d_A-Z][\d_* A-Z]*|true|\[\]|'[^']+')[ ,)\n]/g,
  )
  return Object.fromEntries(
    [...found].map(([, name = '', code = '']) => [name, evaluate(code.trim(), constants)]),
  )
}

function evaluate(code: string, constants: ReadonlyMap<string, string>): unknown {
  const known = constants.get(code)
  if (known !== undefined) return evaluate(known, constants)
  if (code === 'true') return true
  if (code === '[]') return []
  if (code.startsWith("'")) return code.slice(1, -1)
  const factors = code.split('*').map((factor) => factor.trim())
  if (factors.length === 1) return Number(code.replaceAll('_', ''))
  return factors.reduce((product, factor) => product * Number(evaluate(factor, constants)), 1)
}

function rowsOf(table: OptionTable): OptionRow[] {
  const rows = optionsOf(table.path, read(table.path), table.interface)
  if (table.isPartial !== true) return rows
  return rows.map((row) => (row.fallback === 'required' ? { ...row, fallback: undefined } : row))
}

describe.each(TABLES)('the options of $heading', (table) => {
  it('have a default that their docblocks name', () => {
    const silent = rowsOf(table).filter(({ fallback }) => fallback === undefined)
    expect(silent.map(({ name }) => `${name}: say "Default …"`)).toEqual([])
  })

  it('have the defaults that their docblocks name', () => {
    const defaults = table.defaults() as Readonly<Record<string, unknown>>
    const stated = rowsOf(table).filter(
      ({ name, fallback }) => fallback !== 'required' && !table.inWords.includes(name),
    )
    const wrong = stated.flatMap(({ name, fallback = '' }) => {
      const problem = difference(fallback, defaults[name])
      return problem === undefined ? [] : [`${name}: ${problem}`]
    })
    expect(wrong).toEqual([])
  })
})

/** In what a default that is told differs from the one that there is. */
function difference(text: string, actual: unknown): string | undefined {
  const inCode = JSON.stringify(actual)
  if (typeof actual === 'function') return undefined
  if (typeof actual === 'object' && actual !== null && 'initialMs' in actual && 'maxMs' in actual) {
    const inText = JSON.stringify(statedDelays(text))
    if (inText === JSON.stringify([actual.initialMs, actual.maxMs])) return undefined
    return `the docblock says ${inText}, the code ${inCode}`
  }
  const stated = statedValue(text)
  if (stated === undefined) return `"${text}" states no value; list it among those told in words`
  const isNone = stated.value === undefined && (inCode === '[]' || inCode === '{}')
  if (isNone || Object.is(stated.value, actual)) return undefined
  return `the docblock says ${JSON.stringify(stated.value)}, the code ${inCode}`
}

/** What help says of the default of a setting. */
function settingDefault({ fallback, fallbackText }: AnySetting): string {
  if (fallbackText !== undefined) return fallbackText
  if (fallback === undefined || (Array.isArray(fallback) && fallback.length === 0)) return 'none'
  return fallback === false ? 'off' : `\`${String(fallback)}\``
}

const OPTIONS_HEAD = `# Options

Every option of the parts that programs use, with its default. The pages of the parts say what they are for; what is
refused beyond a limit is in [limits](limits.md), and the flags of \`ooo\` are in [command line](command-line.md). This page is made from
the sources by its test. An option that is misspelt or out of range is refused with the code [\`invalid_option\`](errors.md).
`

const FLAGS_HEAD = `# Command line

Every flag of every command, with its environment variable and its default. A flag is stronger than its variable, that
than the config file (\`--config\`), that than the default. \`ooo COMMAND --help\` says the same. This page is made from
the sources by its test.
`

function optionsPage(): string {
  const parts = TABLES.map((table) => {
    const rows = rowsOf(table).map(({ name, fallback = '', meaning }) => [
      `\`${name}\``,
      fallback,
      meaning,
    ])
    return `\n## ${table.heading}\n\n${markdownTable(['option', 'default', 'meaning'], rows)}\n`
  })
  return `${OPTIONS_HEAD}${parts.join('')}`
}

function flagsPage(): string {
  const parts = COMMANDS.filter(({ settings }) => settings.length > 0).map((command) => {
    const rows = command.settings.map((setting) => [
      `\`--${setting.flag}\``,
      setting.env === undefined ? '' : `\`${setting.env}\``,
      settingDefault(setting),
      setting.meaning,
    ])
    const head = ['flag', 'variable', 'default', 'meaning']
    return `\n## ooo ${command.name}\n\n${command.summary}\n\n${markdownTable(head, rows)}\n`
  })
  return `${FLAGS_HEAD}${parts.join('')}`
}

describe.each([
  ['docs/options.md', optionsPage],
  ['docs/command-line.md', flagsPage],
])('%s', (path, make) => {
  it('is what the sources say', async () => {
    const file = join(PROJECT_ROOT, path)
    expect(existsSync(file), 'a missing file would be written').toBe(true)
    await expect(make()).toMatchFileSnapshot(file)
  })
})
