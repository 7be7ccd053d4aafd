/** A PostgreSQL server of its own for a test: a program on a free port with its data in a temporary folder. */
import { execFileSync } from 'node:child_process'
import { chownSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import pg from 'pg'
import { freePort } from './free-port.ts'
import {
  findProgram,
  ServerProgram,
  type UserIds,
  unprivilegedUser,
  versionFolders,
} from './server-program.ts'
import type { RunningService } from './services.ts'

export interface PostgresSettings {
  /** More settings of the server, such as `{ wal_writer_delay: '10s' }`. */
  readonly settings?: Readonly<Record<string, string>>
}

/** The `postgres` program, or undefined when it is not installed. */
export function findPostgres(): string | undefined {
  return findProgram('postgres', versionFolders('/usr/lib/postgresql'))
}

/** Starts a server with an empty database. */
export async function startPostgresProgram(
  program: string,
  { settings = {} }: PostgresSettings = {},
): Promise<RunningService> {
  const user = unprivilegedUser('postgres', 'nobody')
  const root = ownFolder(mkdtempSync(join(tmpdir(), 'ooo-postgres-')), user)
  const data = join(root, 'data')
  copyTemplate(program, data, user)
  const port = await freePort()
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  const all = { ...DEFAULTS, ...settings, port: String(port) }
  const server = new ServerProgram({
    command: program,
    args: [
      '-D',
      data,
      ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ],
    cwd: root,
    user,
    isReady: () => postgresAnswers(url),
  })
  await server.start()
  return {
    url,
    form: 'program',
    control: {
      start: () => server.start(),
      // A fast shutdown: sessions are ended, everything is written.
      stop: () => server.signal('SIGINT'),
      // An immediate shutdown: as after a power cut of the server, minus the lost disk cache.
      crash: () => server.signal('SIGQUIT'),
      kill: () => server.kill(),
      freeze: async () => server.freeze(),
      thaw: async () => server.thaw(),
    },
    end: async () => {
      await server.signal('SIGQUIT')
      rmSync(root, { recursive: true, force: true })
    },
  }
}

/** Small and quick. The disk is not waited for: only a power cut could tell, and no test cuts the power. */
const DEFAULTS: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  fsync: 'off',
  shared_buffers: '32MB',
  max_connections: '100',
  max_wal_size: '128MB',
}

/** Making a database takes a second or two: it is done once per machine, then copied. */
function copyTemplate(program: string, data: string, user: UserIds | undefined): void {
  const version = execFileSync(program, ['--version'], { encoding: 'utf8' }).replace(
    /[^\d.]+/g,
    '-',
  )
  const owner = user?.uid ?? process.getuid?.() ?? 0
  const template = join(tmpdir(), `ooo-postgres-template${version.replace(/-+$/, '')}-${owner}`)
  if (!existsSync(template)) {
    const fresh = ownFolder(mkdtempSync(`${template}.`), user)
    const initdb = findProgram('initdb', [
      dirname(program),
      ...versionFolders('/usr/lib/postgresql'),
    ])
    if (initdb === undefined) throw new Error('initdb is not installed beside postgres')
    const options = ['--no-sync', '--auth=trust', '--username=postgres', '--encoding=UTF8']
    execFileSync(initdb, ['-D', join(fresh, 'data'), '--locale=C', '--wal-segsize=1', ...options], {
      cwd: fresh,
      stdio: 'pipe',
      ...user,
    })
    try {
      renameSync(fresh, template)
    } catch {
      // Another test file was quicker.
      rmSync(fresh, { recursive: true, force: true })
    }
  }
  mkdirSync(dirname(data), { recursive: true })
  execFileSync('cp', ['-a', join(template, 'data'), join(dirname(data), basename(data))])
}

function ownFolder(folder: string, user: UserIds | undefined): string {
  if (user !== undefined) chownSync(folder, user.uid, user.gid)
  return folder
}

/** Whether the server at this URL answers a query. */
export async function postgresAnswers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 })
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.query('SELECT 1')
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => undefined)
  }
}
