/**
 * The configuration table: for every command its flags, environment variables, defaults and
 * meanings. Help texts are made from it, and nothing is configured by other means. A flag is
 * stronger than its environment variable, that than the config file, that than the default.
 */
import { StateError } from '../../src/core/errors.ts'
import type { LogLevel } from '../terminal/console-logger.ts'
import { readConfigFile } from './config-file.ts'
import { refuseContradictions } from './contradictions.ts'
import { BUS_SETTINGS } from './groups/bus.ts'
import { ELECTION_SETTINGS } from './groups/election.ts'
import { LIMITS_SETTINGS } from './groups/limits.ts'
import { MEMBERS_SETTINGS } from './groups/members.ts'
import { MEMORY_SETTINGS } from './groups/memory.ts'
import { PAGE_SETTINGS } from './groups/page.ts'
import { PROXY_SETTINGS } from './groups/proxy.ts'
import { TABLE_SCOPES } from './groups/table-scopes.ts'
import { type ParsedArguments, parseArguments } from './reading/arguments.ts'
import { type Given, resolveSettings, settingsOf } from './reading/resolve.ts'
import {
  CACHE_SIZE,
  CREDENTIAL,
  DURABILITY,
  DURATION,
  HOST_PORT,
  KEYS,
  LIST_GLOB,
  LOG_LEVEL,
  named,
  POSTGRES_URL,
  SERVER_URL,
  type SettingsTable,
  SWITCH,
  TEXT,
  wholeNumber,
} from './reading/setting.ts'
import type { ServeConfig } from './serve-config.ts'

export type { ServeConfig } from './serve-config.ts'

export const SERVE_SETTINGS: SettingsTable<ServeConfig> = {
  host: {
    flag: 'host',
    env: 'OOO_HOST',
    kind: named(TEXT, 'HOST'),
    fallback: '127.0.0.1',
    meaning: 'address to listen on; 0.0.0.0 for all',
  },
  open: {
    flag: 'open',
    env: 'OOO_OPEN',
    kind: SWITCH,
    fallback: false,
    meaning:
      'let everybody read and write who reaches this node; needed to listen beyond this machine',
  },
  port: {
    flag: 'port',
    env: 'OOO_PORT',
    kind: wholeNumber(0, 65535, 'PORT'),
    fallback: 8800,
    meaning: 'port to listen on; 0 takes any free one',
  },
  name: {
    flag: 'name',
    env: 'OOO_NAME',
    kind: named(TEXT, 'NAME'),
    fallback: undefined,
    fallbackText: "the machine's name; among the voters the node's id, which is lost with its disk",
    meaning: 'name of this node, for people and among the voters',
  },
  data: {
    flag: 'data',
    env: 'OOO_DATA',
    kind: named(TEXT, 'DIR'),
    fallback: './data/node',
    meaning: 'folder for the data, made when it is missing',
  },
  memory: {
    flag: 'memory',
    env: 'OOO_MEMORY',
    kind: SWITCH,
    fallback: false,
    meaning: 'keep the data in memory only; it is gone when the node stops',
  },
  postgres: {
    flag: 'postgres',
    env: 'OOO_POSTGRES_URL',
    kind: POSTGRES_URL,
    fallback: undefined,
    meaning:
      'PostgreSQL database to keep the data in; a password is better given in a file or by the variable',
    secret: true,
  },
  postgresNamespace: {
    flag: 'postgres-namespace',
    env: 'OOO_POSTGRES_NAMESPACE',
    kind: named(TEXT, 'NAME'),
    fallback: undefined,
    fallbackText: 'the name of the node',
    meaning: 'whose data in the database this is; each node needs its own',
  },
  postgresTables: {
    flag: 'postgres-tables',
    env: 'OOO_POSTGRES_TABLES',
    kind: TABLE_SCOPES,
    fallback: {},
    fallbackText: 'none',
    meaning: 'key or glob that nodes share live through this table of a PostgreSQL database',
  },
  postgresTablesUrl: {
    flag: 'postgres-tables-url',
    env: 'OOO_POSTGRES_TABLES_URL',
    kind: POSTGRES_URL,
    fallback: undefined,
    fallbackText: 'that of --postgres',
    meaning:
      'database of the shared tables; a password is better given in a file or by the variable',
    secret: true,
  },
  durability: {
    flag: 'durability',
    env: 'OOO_DURABILITY',
    kind: DURABILITY,
    fallback: undefined,
    fallbackText: 'process, or memory with --memory',
    meaning:
      'when a write counts as done: memory (at once), process (survives a killed process) or disk (survives a power cut)',
  },
  cache: {
    flag: 'cache',
    env: 'OOO_CACHE',
    kind: CACHE_SIZE,
    fallback: 'all',
    meaning: 'how much of the data is kept in memory: all, or at most a size such as 256MiB',
  },
  static: {
    flag: 'static',
    env: 'OOO_STATIC',
    kind: SWITCH,
    fallback: false,
    meaning: 'serve only the configured keys, refuse all others',
  },
  keys: {
    flag: 'key',
    field: 'keys',
    env: 'OOO_KEYS',
    kind: KEYS,
    fallback: [],
    meaning: 'key or glob to replicate; may be repeated, or several divided by commas',
  },
  clusterUrl: {
    flag: 'cluster-url',
    env: 'OOO_CLUSTER_URL',
    kind: SERVER_URL,
    fallback: undefined,
    meaning: 'leader to follow; without it this node leads',
  },
  nodesKey: {
    flag: 'nodes-key',
    env: 'OOO_NODES_KEY',
    kind: LIST_GLOB,
    fallback: 'nodes/*',
    meaning: 'list that shows the nodes of the cluster',
  },
  advertise: {
    flag: 'advertise',
    env: 'OOO_ADVERTISE',
    kind: HOST_PORT,
    fallback: undefined,
    meaning: 'where other nodes reach this one, when that is not where it listens',
  },
  clusterToken: {
    flag: 'cluster-token',
    env: 'OOO_CLUSTER_TOKEN',
    kind: CREDENTIAL,
    fallback: undefined,
    meaning:
      'secret that all nodes of the cluster share; better given in a file or by the variable',
    secret: true,
  },
  openCluster: {
    flag: 'open-cluster',
    env: 'OOO_OPEN_CLUSTER',
    kind: SWITCH,
    fallback: false,
    meaning:
      'let nodes of other machines join without a cluster token; they read and write everything',
  },
  maxClockDrift: {
    flag: 'max-clock-drift',
    env: 'OOO_MAX_CLOCK_DRIFT',
    kind: DURATION,
    fallback: 60_000,
    fallbackText: '60s',
    meaning: "how far ahead of this node's time the stamps of followers may be",
  },
  tombstoneRetention: {
    flag: 'tombstone-retention',
    env: 'OOO_TOMBSTONE_RETENTION',
    kind: DURATION,
    fallback: 604_800_000,
    fallbackText: '7d',
    meaning: 'how long deletions are remembered for followers that are away; 0 for ever',
  },
  tlsCert: {
    flag: 'tls-cert',
    env: 'OOO_TLS_CERT',
    kind: named(TEXT, 'FILE'),
    fallback: undefined,
    meaning: 'certificate, PEM: serve HTTPS and WSS; read again when it changes',
  },
  tlsKey: {
    flag: 'tls-key',
    env: 'OOO_TLS_KEY',
    kind: named(TEXT, 'FILE'),
    fallback: undefined,
    meaning: 'private key of the certificate, PEM',
  },
  tlsCa: {
    flag: 'tls-ca',
    env: 'OOO_TLS_CA',
    kind: named(TEXT, 'FILE'),
    fallback: undefined,
    meaning: 'authority to trust beside the known ones when dialling the leader, PEM',
  },
  workers: {
    flag: 'workers',
    env: 'OOO_WORKERS',
    kind: wholeNumber(0, 64, 'N'),
    fallback: 0,
    meaning: 'processes that send to subscribers, for machines with many cores; 0 uses one for all',
  },
  ...ELECTION_SETTINGS,
  ...BUS_SETTINGS,
  ...PROXY_SETTINGS,
  ...MEMBERS_SETTINGS,
  ...LIMITS_SETTINGS,
  ...MEMORY_SETTINGS,
  ...PAGE_SETTINGS,
  config: {
    flag: 'config',
    env: 'OOO_CONFIG',
    kind: named(TEXT, 'FILE'),
    fallback: undefined,
    meaning: 'YAML or JSON file with these settings, named as the flags (and keys: [...])',
  },
  logLevel: {
    flag: 'log-level',
    env: 'OOO_LOG_LEVEL',
    kind: LOG_LEVEL,
    fallback: 'info',
    meaning: 'least severe messages to log: debug, info, warn, error or silent',
  },
}

/** What `ooo dev` runs on. */
export interface DevConfig {
  readonly nodes: number
  /** Port of the leader; the followers take the ports after it. */
  readonly port: number
  readonly data: string
  readonly keys: readonly string[]
  readonly clusterToken: string | undefined
  readonly logLevel: LogLevel
}

export const DEV_SETTINGS: SettingsTable<DevConfig> = {
  nodes: {
    flag: 'nodes',
    env: 'OOO_NODES',
    kind: wholeNumber(1, 50),
    fallback: 3,
    meaning: 'number of nodes: one leader, the others follow it',
  },
  port: {
    ...SERVE_SETTINGS.port,
    kind: wholeNumber(1, 65535, 'PORT'),
    meaning: 'port of the leader; the followers take the ports after it',
  },
  data: {
    ...SERVE_SETTINGS.data,
    fallback: './data/dev',
    meaning: 'folder for the data, one folder per node below it',
  },
  keys: { ...SERVE_SETTINGS.keys, fallback: ['settings', 'items/*'] },
  clusterToken: SERVE_SETTINGS.clusterToken,
  logLevel: { ...SERVE_SETTINGS.logLevel, fallback: 'warn' },
}

/** What the commands that talk to a node run on. */
export interface ClientConfig {
  readonly url: string
}

export const CLIENT_SETTINGS: SettingsTable<ClientConfig> = {
  url: {
    flag: 'url',
    env: 'OOO_URL',
    kind: SERVER_URL,
    fallback: 'http://127.0.0.1:8800',
    meaning: 'node to talk to',
  },
}

/** Every environment variable that `ooo serve` understands. */
export function serveVariables(): string[] {
  return settingsOf(SERVE_SETTINGS).flatMap(({ env }) => (env === undefined ? [] : [env]))
}

/** Reads the configuration of `ooo serve`. @throws StateError `invalid_option`. */
export function serveConfig(args: ParsedArguments, env: Given['env']): ServeConfig {
  const given = { flags: args.flags, env }
  const path = resolveSettings({ config: SERVE_SETTINGS.config }, given).values.config
  const file = path === undefined ? {} : { file: { path, fields: readConfigFile(path) } }
  const resolved = resolveSettings(SERVE_SETTINGS, { ...given, ...file })
  refuseContradictions(resolved)
  return resolved.values
}

/** Reads the configuration of `ooo dev`. @throws StateError `invalid_option`. */
export function devConfig(args: ParsedArguments, env: Given['env']): DevConfig {
  const { values } = resolveSettings(DEV_SETTINGS, { flags: args.flags, env })
  if (values.port + values.nodes - 1 > 65535) {
    throw new StateError(
      'invalid_option',
      `--port: ${values.nodes} nodes from port ${values.port} on pass 65535; give a lower one`,
    )
  }
  return values
}

/** Reads a whole command line for one table; for tests and for commands without further rules. */
export function configFrom<T extends object>(
  table: SettingsTable<T>,
  args: readonly string[],
  env: Given['env'],
): T {
  return resolveSettings(table, { flags: parseArguments(args, settingsOf(table)).flags, env })
    .values
}
