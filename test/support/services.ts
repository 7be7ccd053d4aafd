/**
 * The servers that tests need, real ones. Looked for in this order: a URL in the environment, a
 * container engine (not with `OOO_TEST_SERVICES=program`), the program on this machine, and (as root
 * on Debian) apt-get. Where none of them is to be had the tests are skipped, each saying what to
 * install; with `CI=true` they fail instead.
 */
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach } from 'vitest'
import { installWithApt } from './apt.ts'
import { type ContainerSpec, hasContainerEngine, startContainer } from './containers.ts'
import {
  findPostgres,
  type PostgresSettings,
  postgresAnswers,
  startPostgresProgram,
} from './postgres-program.ts'
import { findRedis, redisAnswers, startRedisProgram } from './redis-program.ts'
import { waitFor } from './wait.ts'

const START_TIMEOUT_MS = 300_000

/** Stops and starts a server; its address and data stay. */
export interface ServiceControl {
  /** Resolves once it answers. */
  start(): Promise<void>
  /** A clean shutdown. */
  stop(): Promise<void>
  /** Ends it at once without writing anything more. */
  crash(): Promise<void>
  /** SIGKILL. */
  kill(): Promise<void>
  /** Stops it where it is: its connections stay, and nothing is answered. */
  freeze(): Promise<void>
  /** Lets it go on. */
  thaw(): Promise<void>
}

export interface RunningService {
  readonly url: string
  readonly form: 'url' | 'container' | 'program'
  /** undefined for a server that is not the test's own. */
  readonly control: ServiceControl | undefined
  end(): Promise<void>
}

export interface ServiceNeeds {
  /** The test stops or kills the server. Default false. */
  readonly control?: boolean
}

export interface PostgresNeeds extends ServiceNeeds, PostgresSettings {}

/** The PostgreSQL server of a test file. */
export interface PostgresService {
  /** URL of an existing database; other tests may use it too. */
  readonly url: string
  readonly form: RunningService['form']
  /** Throws when the test did not ask for it. */
  readonly control: ServiceControl
  /** URL of a new, empty database, dropped at the end of the test file. */
  createDatabase(): Promise<string>
}

/**
 * Gives a test file (or a `describe`) a PostgreSQL server; call the result inside tests and hooks.
 * `OOO_TEST_POSTGRES_URL` names one whose user may create databases.
 */
export function usePostgres(needs: PostgresNeeds = {}): () => PostgresService {
  const service = useService({
    name: 'PostgreSQL',
    variable: 'OOO_TEST_POSTGRES_URL',
    // The settings of a server that is not the test's own can not be chosen.
    needs: needs.settings === undefined ? needs : { ...needs, control: true },
    container: postgresContainer(needs),
    program: async () => {
      const found = findPostgres() ?? (installWithApt('postgresql') ? findPostgres() : undefined)
      return found === undefined ? undefined : await startPostgresProgram(found, needs)
    },
    advice: 'install PostgreSQL (Debian: apt install postgresql), or set OOO_TEST_POSTGRES_URL',
  })
  const databases: string[] = []
  afterAll(async () => {
    const { form, url } = service.current() ?? {}
    if (form !== 'url' || url === undefined) return
    for (const name of databases) await dropDatabase(url, name)
  })
  return () => {
    const { url, form, control } = service.require()
    return {
      url,
      form,
      get control() {
        if (control === undefined) throw new Error('usePostgres: say { control: true }')
        return control
      },
      createDatabase: async () => {
        const name = `ooo_test_${randomBytes(6).toString('hex')}`
        await administer(url, `CREATE DATABASE ${name}`)
        databases.push(name)
        const own = new URL(url)
        own.pathname = `/${name}`
        return own.href
      },
    }
  }
}

/** Gives a test file (or a `describe`) a Redis server; `OOO_TEST_REDIS_URL` names one to use. */
export function useRedis(needs: ServiceNeeds = {}): () => RunningService {
  const service = useService({
    name: 'Redis',
    variable: 'OOO_TEST_REDIS_URL',
    needs,
    container: REDIS_CONTAINER,
    program: async () => {
      const found = findRedis() ?? (installWithApt('redis-server') ? findRedis() : undefined)
      return found === undefined ? undefined : await startRedisProgram(found)
    },
    advice: 'install Redis (Debian: apt install redis-server), or set OOO_TEST_REDIS_URL',
  })
  return () => service.require()
}

interface ServiceSpec {
  readonly name: string
  readonly variable: string
  readonly needs: ServiceNeeds
  readonly container: ContainerSpec
  /** Starts the program, or answers undefined where there is none. */
  program(): Promise<RunningService | undefined>
  readonly advice: string
}

function postgresContainer({ settings = {} }: PostgresSettings): ContainerSpec {
  const all = { fsync: 'off', ...settings }
  return {
    image: 'postgres:17-alpine',
    port: 5432,
    env: { POSTGRES_HOST_AUTH_METHOD: 'trust' },
    command: Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    // The image starts the server once to prepare it, and then for good.
    ready: [/database system is ready to accept connections/, 2],
    url: (host, port) => `postgres://postgres@${host}:${port}/postgres`,
    answers: postgresAnswers,
  }
}

const REDIS_CONTAINER: ContainerSpec = {
  image: 'redis:8-alpine',
  port: 6379,
  env: {},
  command: ['redis-server', '--save', '', '--appendonly', 'no'],
  ready: [/Ready to accept connections/, 1],
  url: (host, port) => `redis://${host}:${port}`,
  answers: redisAnswers,
}

/** Starts the service before the tests and ends it after them; skips them where there is none. */
function useService(spec: ServiceSpec): {
  current(): RunningService | undefined
  require(): RunningService
} {
  let running: RunningService | undefined
  let missing: string | undefined
  beforeAll(async () => {
    const found = await startService(spec)
    if (typeof found === 'string') missing = found
    else running = found
    if (missing !== undefined && process.env.CI === 'true') throw new Error(missing)
  }, START_TIMEOUT_MS)
  beforeEach((context) => {
    if (missing !== undefined) context.skip(missing)
  })
  afterAll(async () => {
    await running?.end()
  })
  const require = (): RunningService => {
    if (running !== undefined) return running
    throw new Error(`${spec.name}: called outside of a test`)
  }
  return { current: () => running, require }
}

/** The service, or why there is none. */
async function startService(spec: ServiceSpec): Promise<RunningService | string> {
  const url = process.env[spec.variable]
  if (url === undefined || url === '') return await startOwn(spec)
  if (spec.needs.control !== true) return { url, form: 'url', control: undefined, end: nothing }
  if (process.env.CI === 'true') return await startOwn(spec)
  return `${spec.name}: this test stops the server, which it does not do to the one of ${spec.variable}`
}

async function startOwn(spec: ServiceSpec): Promise<RunningService | string> {
  let why = ''
  if (process.env.OOO_TEST_SERVICES !== 'program' && (await hasContainerEngine())) {
    try {
      return await startContainer(spec.container)
    } catch (error) {
      // An engine without the image and without a registry in reach, for one.
      const reason = error instanceof Error ? error.message : error
      why = `no container of ${spec.container.image}: ${reason}; `
    }
  }
  return (await spec.program()) ?? `${spec.name}: ${why}${spec.advice}`
}

/** A session that has just ended still holds its database for a moment. */
async function dropDatabase(url: string, name: string): Promise<void> {
  const end = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${name}'`
  await waitFor(async () => {
    await administer(url, end)
    await administer(url, `DROP DATABASE IF EXISTS ${name}`)
    return true
  })
}

async function administer(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}

async function nothing(): Promise<void> {}
