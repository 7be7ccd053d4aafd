import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  CLIENT_SETTINGS,
  configFrom,
  DEV_SETTINGS,
  devConfig,
  SERVE_SETTINGS,
  type ServeConfig,
  serveConfig,
  serveVariables,
} from '../../../cli/settings/config.ts'
import { type AnySetting, parseArguments } from '../../../cli/settings/reading/arguments.ts'
import { settingsOf } from '../../../cli/settings/reading/resolve.ts'
import { fieldOf } from '../../../cli/settings/reading/secret-file.ts'

type Env = Readonly<Record<string, string>>

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ooo config '))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function serveOf(args: readonly string[], env: Env = {}): ServeConfig {
  return serveConfig(parseArguments(args, settingsOf(SERVE_SETTINGS)), env)
}

function configFile(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

/** Two different allowed values for every setting, as texts and as what they must become. */
const SAMPLES: Record<keyof ServeConfig, readonly [text: string, value: unknown][]> = {
  host: [
    ['0.0.0.0', '0.0.0.0'],
    ['::1', '::1'],
    ['localhost', 'localhost'],
  ],
  open: [
    ['true', true],
    ['false', false],
    ['1', true],
  ],
  openCluster: [
    ['true', true],
    ['false', false],
    ['1', true],
  ],
  port: [
    ['0', 0],
    ['65535', 65535],
    ['8801', 8801],
  ],
  name: [
    ['a', 'a'],
    ['kitchen node', 'kitchen node'],
    ['c', 'c'],
  ],
  data: [
    ['/var/lib/ooo', '/var/lib/ooo'],
    ['./d 1', './d 1'],
    ['d2', 'd2'],
  ],
  postgres: [
    ['postgres://u:p@10.0.0.1:5432/ooo', 'postgres://u:p@10.0.0.1:5432/ooo'],
    ['postgresql:///ooo?host=/var/run/postgresql', 'postgresql:///ooo?host=/var/run/postgresql'],
    ['postgres://db/ooo?sslmode=require', 'postgres://db/ooo?sslmode=require'],
  ],
  postgresNamespace: [
    ['node-1', 'node-1'],
    ['kitchen node', 'kitchen node'],
    ['c', 'c'],
  ],
  postgresTables: [
    ['orders/*=orders', { 'orders/*': 'orders' }],
    ['a=t, b/*/c=U_2', { a: 't', 'b/*/c': 'U_2' }],
    ['*=x', { '*': 'x' }],
  ],
  postgresTablesUrl: [
    ['postgres://u:p@10.0.0.1:5432/ooo', 'postgres://u:p@10.0.0.1:5432/ooo'],
    ['postgresql:///ooo?host=/var/run/postgresql', 'postgresql:///ooo?host=/var/run/postgresql'],
    ['postgres://db/ooo', 'postgres://db/ooo'],
  ],
  memory: [
    ['true', true],
    ['false', false],
    ['1', true],
  ],
  durability: [
    ['process', 'process'],
    ['disk', 'disk'],
    ['process', 'process'],
  ],
  cache: [
    ['256MiB', 256 * 1024 * 1024],
    ['0', 0],
    ['2GiB', 2 * 1024 ** 3],
  ],
  static: [
    ['true', true],
    ['0', false],
    ['1', true],
  ],
  keys: [
    ['settings', ['settings']],
    ['items/*,settings', ['items/*', 'settings']],
    ['users/*/posts/*', ['users/*/posts/*']],
  ],
  clusterUrl: [
    ['10.0.0.1:8800', 'http://10.0.0.1:8800'],
    ['https://ooo.example/', 'https://ooo.example'],
    ['http://[::1]:9000', 'http://[::1]:9000'],
  ],
  pivot2: [
    ['10.0.0.7:8800', ['10.0.0.7:8800']],
    ['10.0.0.7:8800=items/*,rw b.example:1=ro', ['10.0.0.7:8800=items/*,rw', 'b.example:1=ro']],
    ['[fd00::2]:1=settings', ['[fd00::2]:1=settings']],
  ],
  nodesWritable: [
    ['true', true],
    ['0', false],
    ['1', true],
  ],
  nodesKey: [
    ['members/*', 'members/*'],
    ['*', '*'],
    ['a/nodes/*', 'a/nodes/*'],
  ],
  advertise: [
    ['10.0.0.2:8800', { host: '10.0.0.2', port: 8800 }],
    ['[fd00::2]:1', { host: 'fd00::2', port: 1 }],
    ['node.example:65535', { host: 'node.example', port: 65535 }],
  ],
  clusterToken: [
    ['s3cret', 's3cret'],
    ['0123', '0123'],
    ['1e3', '1e3'],
  ],
  maxClockDrift: [
    ['0', 0],
    ['500ms', 500],
    ['90s', 90_000],
    ['2m', 120_000],
  ],
  tombstoneRetention: [
    ['12h', 43_200_000],
    ['30d', 2_592_000_000],
    ['0', 0],
  ],
  tlsCert: [
    ['/etc/ooo/tlsCert.pem', '/etc/ooo/tlsCert.pem'],
    ['./a b.pem', './a b.pem'],
    ['c.pem', 'c.pem'],
  ],
  tlsKey: [
    ['/etc/ooo/tlsKey.pem', '/etc/ooo/tlsKey.pem'],
    ['./a b.pem', './a b.pem'],
    ['c.pem', 'c.pem'],
  ],
  tlsCa: [
    ['/etc/ooo/tlsCa.pem', '/etc/ooo/tlsCa.pem'],
    ['./a b.pem', './a b.pem'],
    ['c.pem', 'c.pem'],
  ],
  workers: [
    ['0', 0],
    ['2', 2],
    ['64', 64],
  ],
  maxConnections: [
    ['0', 0],
    ['100', 100],
    ['50000', 50_000],
  ],
  reservedConnections: [
    ['0', 0],
    ['64', 64],
    ['1024', 1024],
  ],
  maxSubscribers: [
    ['0', 0],
    ['10', 10],
    ['45000', 45_000],
  ],
  maxConnectionsPerAddress: [
    ['1', 1],
    ['0', 0],
    ['20', 20],
  ],
  trustedProxies: [
    ['10.0.0.1', ['10.0.0.1']],
    ['10.0.0.0/8,fd00::/8', ['10.0.0.0/8', 'fd00::/8']],
    ['::1', ['::1']],
  ],
  allowedOrigins: [
    ['https://app.example', ['https://app.example']],
    [
      'http://a.example:3000, https://*.b.example',
      ['http://a.example:3000', 'https://*.b.example'],
    ],
    ['*,null', ['*', 'null']],
  ],
  allowedHosts: [
    ['node.example', ['node.example']],
    ['a.example, b.example', ['a.example', 'b.example']],
    ['leader', ['leader']],
  ],
  upgradesPerSecond: [
    ['0', 0],
    ['500', 500],
    ['5', 5],
  ],
  upgradeBurst: [
    ['1', 1],
    ['500', 500],
    ['5', 5],
  ],
  backlog: [
    ['1', 1],
    ['511', 511],
    ['65535', 65_535],
  ],
  maxValueBytes: [
    ['1024', 1024],
    ['1048576', 1_048_576],
    ['67108864', 67_108_864],
  ],
  maxBodiesBytes: [
    ['1', 1],
    ['1000', 1000],
    ['1048576', 1_048_576],
  ],
  maxAnswerBytes: [
    ['1', 1],
    ['1000', 1000],
    ['1048576', 1_048_576],
  ],
  maxUnreadBytes: [
    ['1', 1],
    ['1000', 1000],
    ['1048576', 1_048_576],
  ],
  maxPoolBytes: [
    ['0', 0],
    ['1', 1],
    ['1048576', 1_048_576],
  ],
  maxJsonDepth: [
    ['1', 1],
    ['20', 20],
    ['1000', 1000],
  ],
  maxJsonMembers: [
    ['1', 1],
    ['100', 100],
    ['1000000000', 1_000_000_000],
  ],
  config: [],
  leader: [
    ['redis', 'redis'],
    ['kubernetes', 'kubernetes'],
    ['static', 'static'],
  ],
  leaseName: [
    ['ooo', 'ooo'],
    ['a.b-1', 'a.b-1'],
    ['x', 'x'],
  ],
  leaseSeconds: [
    ['1', 1],
    ['600', 600],
    ['15', 15],
  ],
  leaseNamespace: [
    ['apps', 'apps'],
    ['a', 'a'],
    ['b', 'b'],
  ],
  voters: [
    ['a,b,c', ['a', 'b', 'c']],
    ['ooo-0', ['ooo-0']],
    ['a, 10.0.0.1:8800', ['a', '10.0.0.1:8800']],
  ],
  leasePodLabel: [
    ['ooo-cluster/role=leader', { name: 'ooo-cluster/role', value: 'leader' }],
    ['leads=Yes_1.0', { name: 'leads', value: 'Yes_1.0' }],
    ['a.example.org/b=c', { name: 'a.example.org/b', value: 'c' }],
  ],
  leasePod: [
    ['ooo-0', 'ooo-0'],
    ['b', 'b'],
    ['c', 'c'],
  ],
  redis: [
    ['redis://:p@10.0.0.1:6379', 'redis://:p@10.0.0.1:6379'],
    ['rediss+sentinel://a,b:26380/main', 'rediss+sentinel://a,b:26380/main'],
    ['redis+cluster://a:1,b:2', 'redis+cluster://a:1,b:2'],
  ],
  redisCa: [
    ['/etc/ooo/redis-ca.pem', '/etc/ooo/redis-ca.pem'],
    ['ca.pem', 'ca.pem'],
    ['c', 'c'],
  ],
  proxy: [
    ['http://proxy.example:3128', 'http://proxy.example:3128'],
    ['https://u:p@10.0.0.1', 'https://u:p@10.0.0.1'],
    ['none', 'none'],
  ],
  logLevel: [
    ['debug', 'debug'],
    ['silent', 'silent'],
    ['error', 'error'],
  ],
}

/** A value that each setting must refuse. */
const REFUSED: Record<keyof ServeConfig, readonly string[]> = {
  host: [' '],
  port: ['-1', '65536', 'http', '1.5', '0x10', '1e3', ''],
  name: [' '],
  data: [' '],
  postgres: ['mysql://a/b', '10.0.0.1:5432', 'postgres://a:port/b', ' '],
  postgresNamespace: [' '],
  postgresTables: ['orders/*', 'orders/=orders', '=orders', 'a=1t', 'a=b=c', 'a=t,'],
  postgresTablesUrl: ['mysql://a/b', 'postgres://a:port/b', ' '],
  memory: ['yes', 'TRUE', '2'],
  durability: ['always', 'Disk'],
  cache: ['256MB', '1.5GiB', '-1', 'some', 'ALL', '', '9007199254740992', '999999999999999GiB'],
  static: ['on'],
  keys: ['/items', 'items/', 'a b', 'a//b', '**', 'settings,'],
  clusterUrl: [
    'ftp://a',
    'http://a/path',
    'http://u:p@a',
    'http://',
    'a b',
    'http://a?x=1',
    'a:99999',
  ],
  pivot2: [
    '10.0.0.7',
    '10.0.0.7:0',
    '10.0.0.7:8800=',
    '10.0.0.7:8800/x',
    'http://10.0.0.7:8800',
    ' ',
  ],
  nodesWritable: ['yes', '2'],
  nodesKey: ['nodes', 'nodes/', 'no des/*'],
  advertise: ['10.0.0.2', ':8800', '10.0.0.2:0', '10.0.0.2:65536', 'fd00::2:1', 'http://a:1'],
  clusterToken: [' ', 'a\nb', 'secret\n', ' secret', 'schlüssel', 'a\tb', 'x'.repeat(4097)],
  open: ['yes'],
  openCluster: ['yes'],
  maxClockDrift: ['60', '-1s', '1.5s', '60 s', '1w', '99999d'],
  tombstoneRetention: ['7', 'never', 'd'],
  tlsCert: [' '],
  tlsKey: [' '],
  tlsCa: [' '],
  leader: ['etcd', 'Redis', ' '],
  leaseName: ['A', 'a b', '-a', 'a_b', ' '],
  leaseSeconds: ['0', '601', '5s', '1.5'],
  leaseNamespace: [' '],
  voters: ['a,,b', 'a b', 'a,a', ','],
  leasePodLabel: ['leader', 'a=', '=a', 'a/b/c=d', '/a=b', 'a=b=c', `${'a'.repeat(64)}=b`, 'a=-b'],
  leasePod: [' '],
  redis: ['10.0.0.1:6379', 'http://a', 'redis:a', 'redis+other://a', ' '],
  redisCa: [' '],
  proxy: ['proxy.example:3128', 'socks5://a', 'NONE', ' ', 'http://'],
  workers: ['-1', '65', 'all'],
  maxConnections: ['-1', 'many', '1.5', '10000001'],
  reservedConnections: ['-1', 'all'],
  maxSubscribers: ['-1', 'all'],
  maxConnectionsPerAddress: ['-1', 'one'],
  trustedProxies: ['proxy.example', '10.0.0.0/33', '10.0.0.1,', '::/129', '10.0.0.1/8/8'],
  allowedOrigins: ['app.example', 'https://', 'https://a/b', 'https://*.*.example', 'http://a,'],
  allowedHosts: ['node.example:8800', 'http://a', '*.example', 'a,', ' '],
  upgradesPerSecond: ['-1', '2.5'],
  upgradeBurst: ['0', '-1'],
  backlog: ['0', '65536'],
  maxValueBytes: ['1023', '67108865', 'much'],
  maxBodiesBytes: ['0', '64M'],
  maxAnswerBytes: ['0', '-1'],
  maxUnreadBytes: ['0', 'x'],
  maxPoolBytes: ['-1', '1.5'],
  maxJsonDepth: ['0', '1001'],
  maxJsonMembers: ['0', 'many'],
  config: [],
  logLevel: ['verbose', 'INFO'],
}

/** What else must be given for the setting to make sense. */
function companions(name: keyof ServeConfig): string[] {
  if (name === 'tlsCert') return ['--tls-key=key.pem']
  if (name === 'tlsKey') return ['--tls-cert=cert.pem']
  if (name === 'postgresNamespace' || name === 'postgresTables') {
    return ['--postgres=postgres://db/ooo']
  }
  if (name === 'postgresTablesUrl') return ['--postgres-tables=orders/*=orders']
  if (name === 'leader') return ['--redis=redis://a', '--key=settings']
  if (name === 'leasePod') {
    return ['--leader=kubernetes', '--key=settings', '--lease-pod-label=a=b']
  }
  if (name === 'voters') return ['--leader=kubernetes', '--key=settings', '--name=n']
  if (name.startsWith('lease')) return ['--leader=kubernetes', '--key=settings']
  if (name === 'redisCa') return ['--redis=rediss://a', '--key=settings']
  return name === 'clusterUrl' || name === 'redis' ? ['--key=settings'] : []
}

const names = (Object.keys(SERVE_SETTINGS) as (keyof ServeConfig)[]).filter((n) => n !== 'config')

describe.each(names)('serve setting %s', (name) => {
  const setting: AnySetting = SERVE_SETTINGS[name]
  const [first, second, third] = SAMPLES[name]
  if (first === undefined || second === undefined || third === undefined) throw new Error(name)
  const yaml = (text: string): string => {
    const list = setting.kind.join !== undefined
    return `${fieldOf(setting)}: ${list ? JSON.stringify(text.split(name === 'pivot2' ? ' ' : ',')) : JSON.stringify(text)}\n`
  }

  it('has its default when nothing is given, or only empty variables', () => {
    expect(serveOf([])[name]).toEqual(setting.fallback)
    expect(serveOf([], { [setting.env ?? '']: '' })[name]).toEqual(setting.fallback)
  })

  it('is taken from the flag, in both spellings', () => {
    for (const [text, value] of SAMPLES[name]) {
      expect(serveOf([`--${setting.flag}=${text}`, ...companions(name)])[name]).toEqual(value)
      if (setting.kind.placeholder === undefined) continue
      expect(serveOf([`--${setting.flag}`, text, ...companions(name)])[name]).toEqual(value)
    }
  })

  it('is taken from the variable and from the file', () => {
    for (const [text, value] of SAMPLES[name]) {
      expect(serveOf(companions(name), { [setting.env ?? '']: text })[name]).toEqual(value)
      const path = configFile(`${name}.yaml`, yaml(text))
      expect(serveOf(['--config', path, ...companions(name)])[name]).toEqual(value)
    }
  })

  it('prefers flag over variable over file', () => {
    const path = configFile(`${name}-order.yaml`, yaml(third[0]))
    const env = { OOO_CONFIG: path, [setting.env ?? '']: second[0] }
    const flag = `--${setting.flag}=${first[0]}`
    expect(serveOf([flag, ...companions(name)], env)[name]).toEqual(first[1])
    expect(serveOf(companions(name), env)[name]).toEqual(second[1])
    expect(serveOf(companions(name), { OOO_CONFIG: path })[name]).toEqual(third[1])
  })

  it('refuses bad values, naming the source, the value and what is allowed', () => {
    for (const text of REFUSED[name]) {
      const shown = setting.secret ? 'this value' : JSON.stringify(text)
      const tail = `: ${shown} is not allowed; give ${setting.kind.allowed}`
      expect(() => serveOf([`--${setting.flag}=${text}`])).toThrow(`--${setting.flag}${tail}`)
      if (text === '') continue
      expect(() => serveOf([], { [setting.env ?? '']: text })).toThrow(`${setting.env}${tail}`)
      const path = configFile(`${name}-bad.yaml`, `${fieldOf(setting)}: ${JSON.stringify(text)}\n`)
      expect(() => serveOf(['--config', path])).toThrow(`${path}: ${fieldOf(setting)}${tail}`)
    }
  })
})

describe('flags', () => {
  it('refuses an unknown one and suggests the nearest', () => {
    expect(() => serveOf(['--prot', '1'])).toThrow('--prot: unknown flag; did you mean --port?')
    expect(() => serveOf(['--clusterurl=x'])).toThrow('did you mean --cluster-url?')
    expect(() => serveOf(['--xyzzy'])).toThrow(/--xyzzy: unknown flag; allowed are --host, --open/)
    expect(() => serveOf(['-p', '1'])).toThrow('-p: unknown flag')
  })

  it('refuses one without its value, or given twice', () => {
    expect(() => serveOf(['--port'])).toThrow('--port: needs a value; give a whole number')
    expect(() => serveOf(['--name', '--memory'])).toThrow('--name: needs a value')
    expect(() => serveOf(['--port', '1', '--port', '2'])).toThrow('--port: given more than once')
    expect(serveOf(['--name=--memory']).name).toBe('--memory')
  })

  it('joins repeated keys in order and drops doubles', () => {
    const { keys } = serveOf(['--key', 'settings', '--key', 'items/*,b', '--key', 'settings'])
    expect(keys).toEqual(['settings', 'items/*', 'b'])
  })

  it('takes a switch alone or with a value', () => {
    expect(serveOf(['--memory']).memory).toBe(true)
    expect(serveOf(['--memory=false', '--static']).static).toBe(true)
    expect(serveOf(['--static', '--memory'], { OOO_STATIC: 'false' }).static).toBe(true)
  })

  it('leaves the rest alone: operands, a dash, what follows --', () => {
    const parsed = parseArguments(['a', '-', '-1', '--url=x', '--', '--b'], [CLIENT_SETTINGS.url])
    expect(parsed.positionals).toEqual(['a', '-', '-1', '--b'])
  })
})

describe('config files', () => {
  it('reads YAML and JSON alike, without reading numbers into texts', () => {
    const yaml = configFile('a.yaml', 'name: 007\nport: 9000\nkeys:\n  - settings\n  - items/*\n')
    const json = configFile('a.json', '{"name":"007","port":9000,"keys":["settings","items/*"]}')
    for (const path of [yaml, json]) {
      const config = serveOf(['--config', path])
      expect(config).toMatchObject({ name: '007', port: 9000, keys: ['settings', 'items/*'] })
    }
  })

  it('takes an empty file and empty values for nothing', () => {
    expect(serveOf(['--config', configFile('empty.yaml', '')]).port).toBe(8800)
    expect(serveOf(['--config', configFile('blank.yaml', '# none\nport:\nhost: ""\n')]).host).toBe(
      '127.0.0.1',
    )
  })

  it.each([
    ['prot: 1\n', /: prot: unknown field; did you mean port\?/],
    ['key: settings\n', /: key: unknown field; did you mean keys\?/],
    ['config: other.yaml\n', /: config: unknown field/],
    ['port: {a: 1}\n', /: port: give a value or a list of values/],
    ['port: [1, 2]\n', /: port: takes one value, 2 are given/],
    ['- a\n', /must hold names with values/],
    ['port: 1\nport: 2\n', /Map keys must be unique/],
    ['keys: [*]\n', /\.yaml: /],
  ])('refuses %j', (text, message) => {
    expect(() => serveOf(['--config', configFile('bad.yaml', text)])).toThrow(message)
  })

  it('refuses one that is not there', () => {
    expect(() => serveOf(['--config', join(folder, 'none.yaml')])).toThrow(
      /--config: cannot read .*none\.yaml: ENOENT/,
    )
  })
})

describe('contradictions', () => {
  it('refuses data in a folder and in memory at once, naming both sources', () => {
    expect(() => serveOf(['--memory', '--data', 'd'])).toThrow(
      '--memory and --data exclude each other',
    )
    expect(() => serveOf(['--memory'], { OOO_DATA: 'd' })).toThrow('--memory and OOO_DATA exclude')
    expect(serveOf(['--memory=false', '--data', 'd']).data).toBe('d')
  })

  it('refuses a durability that memory cannot give', () => {
    expect(() => serveOf(['--memory', '--durability', 'disk'])).toThrow(
      '--durability: "disk" is not allowed with --memory; give memory',
    )
    expect(serveOf(['--memory', '--durability', 'memory']).durability).toBe('memory')
    expect(serveOf([], { OOO_DURABILITY: 'memory' }).durability).toBe('memory')
  })

  it('refuses to bound the cache of data that is nowhere else', () => {
    expect(() => serveOf(['--memory'], { OOO_CACHE: '64MiB' })).toThrow(
      '--memory and OOO_CACHE exclude each other',
    )
    expect(serveOf(['--memory', '--cache', 'all']).cache).toBe('all')
  })

  it('refuses a bus with nothing to carry, and an authority for no bus', () => {
    expect(() => serveOf([], { OOO_REDIS_URL: 'redis://a' })).toThrow(
      'OOO_REDIS_URL: there is nothing to carry without keys to replicate; give at least one --key',
    )
    expect(() => serveOf(['--key=settings', '--redis-ca=ca.pem'])).toThrow(
      '--redis-ca: there is no Redis; give --redis',
    )
    expect(serveOf(['--key=settings', '--redis=redis://a']).redis).toBe('redis://a')
  })

  it('refuses an election without what keeps the lease, and a lease without an election', () => {
    const key = '--key=settings'
    expect(() => serveOf([key, '--leader', 'redis'])).toThrow(
      '--leader: redis needs a server to keep the lease; give --redis',
    )
    const both = [key, '--leader=kubernetes', '--cluster-url=http://a:1']
    expect(() => serveOf(both)).toThrow('--cluster-url: the leader is elected by kubernetes')
    expect(() => serveOf([], { OOO_LEADER: 'kubernetes' })).toThrow('OOO_LEADER: what is led')
    expect(() => serveOf([key, '--lease-seconds=9'])).toThrow('--lease-seconds: there is no lease')
    const elsewhere = [key, '--leader=redis', '--redis=redis://a', '--lease-namespace=apps']
    expect(() => serveOf(elsewhere)).toThrow('--lease-namespace: only a lease in Kubernetes')
    const label = '--lease-pod-label=a=b'
    expect(() => serveOf([key, label])).toThrow('--lease-pod-label: there is no lease')
    const redis = [key, '--leader=redis', '--redis=redis://a', label]
    expect(() => serveOf(redis)).toThrow('--lease-pod-label: pods are labelled in Kubernetes only')
    const nothing = [key, '--leader=kubernetes', '--lease-pod=a']
    expect(() => serveOf(nothing)).toThrow(
      '--lease-pod: no pod is labelled; give --lease-pod-label',
    )
  })

  it('refuses a second place for the data, and rows of a database that is not named', () => {
    const url = 'postgres://db/ooo'
    expect(() => serveOf(['--postgres', url, '--data', 'd'])).toThrow(
      '--postgres and --data exclude each other',
    )
    expect(() => serveOf(['--memory'], { OOO_POSTGRES_URL: url })).toThrow(
      '--memory and OOO_POSTGRES_URL exclude each other',
    )
    expect(() => serveOf(['--postgres-tables', 'a=b'])).toThrow(
      '--postgres-tables: needs a database; give --postgres-tables-url',
    )
    expect(() => serveOf([], { OOO_POSTGRES_TABLES_URL: url })).toThrow(
      'OOO_POSTGRES_TABLES_URL: nothing is shared; give --postgres-tables',
    )
    expect(() => serveOf(['--postgres-namespace', 'a'])).toThrow(
      '--postgres-namespace: needs a database; give --postgres',
    )
    expect(serveOf(['--postgres', url, '--memory=false']).postgres).toBe(url)
  })

  it('never shows the password of a database', () => {
    expect(() => serveOf(['--postgres', 'postgres://u:s3cret@a:port/b'])).toThrow(
      /^--postgres: this value is not allowed; give a database such as/,
    )
  })

  it('refuses a follower without keys', () => {
    expect(() => serveOf(['--cluster-url', 'a:1'])).toThrow('give at least one --key')
  })

  it('explains the variable that Kubernetes makes of a Service', () => {
    expect(() => serveOf([], { OOO_PORT: 'tcp://10.0.0.1:8800' })).toThrow('enableServiceLinks')
  })

  it('never shows the cluster token', () => {
    expect(() => serveOf(['--cluster-token', ' '])).toThrow(/^--cluster-token: this value is not/)
  })
})

const secrets = names.filter((name) => (SERVE_SETTINGS[name] as AnySetting).secret === true)

it('every setting that can hold a secret is marked as one', () => {
  const expected = ['clusterToken', 'postgres', 'postgresTablesUrl', 'proxy', 'redis']
  expect([...secrets].sort()).toEqual(expected)
})

describe.each(secrets)('the file of the secret %s', (name) => {
  const { flag, env = '', ...setting }: AnySetting = SERVE_SETTINGS[name]
  const [[text, value] = ['', '']] = SAMPLES[name]

  it('gives its value, without the line break at its end', () => {
    const path = configFile(`${name}.secret`, `${text}\n`)
    const more = companions(name)
    expect(serveOf([`--${flag}-file`, path, ...more])[name]).toEqual(value)
    expect(serveOf(more, { [`${env}_FILE`]: path })[name]).toEqual(value)
    const config = configFile(
      `${name}-file.yaml`,
      `${fieldOf({ flag, env, ...setting })}-file: ${path}\n`,
    )
    expect(serveOf(['--config', config, ...more])[name]).toEqual(value)
  })

  it('is as strong as the place that names it, and excludes the value there', () => {
    const path = configFile(`${name}.other`, 'not this one')
    expect(
      serveOf([`--${flag}`, text, ...companions(name)], { [`${env}_FILE`]: path })[name],
    ).toEqual(value)
    expect(() => serveOf([`--${flag}`, text, `--${flag}-file`, path])).toThrow(
      `--${flag} and --${flag}-file exclude each other`,
    )
    expect(() => serveOf([], { [env]: text, [`${env}_FILE`]: path })).toThrow('exclude each other')
  })

  it('is named when it cannot be read or holds what is not allowed, which is not shown', () => {
    expect(() => serveOf([`--${flag}-file`, join(folder, 'none')])).toThrow(
      `--${flag}-file: cannot read ${join(folder, 'none')}`,
    )
    expect(() => serveOf([`--${flag}-file`, folder])).toThrow(`--${flag}-file: cannot read`)
    const wrong = configFile(`${name}.wrong`, 'wröng one\nand more\n')
    expect(() => serveOf([`--${flag}-file`, wrong])).toThrow(`--${flag}-file: this value is not`)
  })
})

describe('dev settings', () => {
  const devOf = (args: readonly string[], env: Env = {}) =>
    devConfig(parseArguments(args, settingsOf(DEV_SETTINGS)), env)

  it('has three nodes on 8800 and up by default', () => {
    expect(devOf([])).toEqual({
      nodes: 3,
      port: 8800,
      data: './data/dev',
      keys: ['settings', 'items/*'],
      clusterToken: undefined,
      logLevel: 'warn',
    })
  })

  it('refuses ports that do not exist', () => {
    expect(() => devOf(['--port', '65534'])).toThrow(
      '--port: 3 nodes from port 65534 on pass 65535',
    )
    expect(() => devOf(['--port', '0'])).toThrow('give a whole number from 1 to 65535')
    expect(() => devOf([], { OOO_NODES: '0' })).toThrow('OOO_NODES: "0" is not allowed')
  })
})

it('names every variable OOO_…, once', () => {
  const variables = serveVariables()
  expect(variables).toHaveLength(names.length + 1 + secrets.length)
  expect(new Set(variables).size).toBe(variables.length)
  for (const variable of variables) expect(variable).toMatch(/^OOO_[A-Z]+\d?(_[A-Z]+)*$/)
})

it('takes a node for clients from --url or OOO_URL', () => {
  expect(configFrom(CLIENT_SETTINGS, [], {}).url).toBe('http://127.0.0.1:8800')
  expect(configFrom(CLIENT_SETTINGS, [], { OOO_URL: 'a:1' }).url).toBe('http://a:1')
  expect(configFrom(CLIENT_SETTINGS, ['--url', 'b:2'], { OOO_URL: 'a:1' }).url).toBe('http://b:2')
})
