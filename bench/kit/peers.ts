/** Other servers to compare with, when `--peers` asks for them and they can be had here. */
import { execFile } from 'node:child_process'
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findRedis, startRedisProgram } from '../../test/support/redis-program.ts'
import { findProgram } from '../../test/support/server-program.ts'
import { type BenchContext, Skipped, type Table } from './bench.ts'
import { startProgram, type Target } from './target.ts'

export interface Peers {
  readonly targets: readonly Target[]
  /** One sentence for each that is left out. */
  readonly notes: readonly string[]
  readonly versions: Readonly<Record<string, string>>
  /** Removes what was built for them, and ends what they need. */
  end(): Promise<void>
}

/** What was once measured of the Go server `ooo`, by others and not in these runs. */
export const RECORDED_EARLIER: Table = {
  title: 'For comparison: the Go server `ooo`, recorded earlier on a like machine, not in this run',
  columns: ['load', 'p50 ms', 'p99 ms'],
  rows: [
    ['1000 subscribers, 5 writes/s', '7.5', '14.7'],
    ['5000 subscribers, 5 writes/s', '33', '72'],
    ['1000 subscribers, 100 writes/s', '12.6', '49'],
    ['1000 subscribers, 200 writes/s: saturated, about 120,000 frames/s', '1800', '–'],
    ['with one reader that is stuck', 'frozen for 15 s', '–'],
  ],
}

const run = promisify(execFile)
const FOLDER = join(import.meta.dirname, '../peers')
const BUILD_DEADLINE_MS = 240_000
/** The line that every peer prints, with its port. */
export const READY: RegExp = /on (?:[\d.]+:)?(\d+)\n/
/** The newest commit of pivot that is known to fit the pinned ooo and ko. */
const PIVOT = 'github.com/benitogf/pivot@01313310b6d278b4afc590d342a2f3d3f78a11c9'

/** Builds the peers that can be had; none without `--peers`. */
export async function peerTargets({ peers, say }: BenchContext): Promise<Peers> {
  const targets: Target[] = []
  const notes: string[] = []
  const versions: Record<string, string> = {}
  const ends: (() => Promise<void>)[] = []
  for (const build of peers ? [ooo, gorilla, socketIo] : []) {
    try {
      const built = await build(ends)
      targets.push(built.target)
      Object.assign(versions, built.versions)
      say(`peer ready: ${built.target.name}`)
    } catch (error) {
      const note = `peer skipped: ${build.name}: ${reasonOf(error)}.`
      notes.push(note)
      say(note)
    }
  }
  const end = async (): Promise<void> => {
    for (const each of ends.splice(0).reverse()) await each()
  }
  return { targets, notes, versions, end }
}

/** The program of a node of a Go cluster. @throws Skipped when it cannot be built here. */
export async function pivotProgram(): Promise<{ program: string; end(): Promise<void> }> {
  const ends: (() => Promise<void>)[] = []
  try {
    const program = await buildGo('go-pivot', ends, [PIVOT])
    return { program, end: async () => ends[0]?.() }
  } catch (error) {
    await ends[0]?.()
    throw new Skipped(`peer skipped: pivot: ${reasonOf(error)}.`)
  }
}

interface Built {
  readonly target: Target
  readonly versions: Readonly<Record<string, string>>
}

type Ends = (() => Promise<void>)[]

async function ooo(ends: Ends): Promise<Built> {
  const program = await buildGo('go', ends)
  const name = 'ooo + ko (Go)'
  const start = (): ReturnType<typeof startProgram> => startProgram([program], READY)
  const target: Target = { name, dialect: 'ooo', hasLists: true, start }
  return { target, versions: await goVersions('go', program) }
}

async function gorilla(ends: Ends): Promise<Built> {
  const program = await buildGo('go-gorilla', ends)
  const name = 'Go + gorilla/websocket, minimal broadcaster'
  const start = (): ReturnType<typeof startProgram> => startProgram([program], READY)
  const target: Target = { name, dialect: 'ooo', hasLists: true, start }
  return { target, versions: await goVersions('go-gorilla', program) }
}

async function socketIo(ends: Ends): Promise<Built> {
  const redis = findRedis()
  if (redis === undefined) throw new Error('redis-server is not installed')
  const folder = await copyOf('socket-io', ends)
  const options = { cwd: folder, timeout: BUILD_DEADLINE_MS }
  await run('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts'], options)
  const service = await startRedisProgram(redis)
  ends.push(() => service.end())
  const command: [string, ...string[]] = [process.execPath, join(folder, 'server.mjs')]
  const { dependencies } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>
  }
  return {
    target: {
      name: 'Socket.IO + Redis adapter',
      dialect: 'socket.io',
      hasLists: false,
      start: () => startProgram(command, READY, [service.url]),
    },
    versions: dependencies,
  }
}

/** Builds a Go program of the folder of peers; gives its path. */
async function buildGo(name: string, ends: Ends, more: readonly string[] = []): Promise<string> {
  const go = findProgram('go', ['/usr/local/go/bin'])
  if (go === undefined) throw new Error('go is not installed')
  const folder = await copyOf(name, ends)
  const given = process.env.GOFLAGS ?? ''
  const env = { ...process.env, GOFLAGS: `${given} -mod=mod`.trim() }
  const options = { cwd: folder, env, timeout: BUILD_DEADLINE_MS }
  // Who builds with a module file of their own has chosen the versions in it.
  if (more.length > 0 && !given.includes('-modfile=')) await run(go, ['get', ...more], options)
  await run(go, ['build', '-o', 'peer', '.'], options)
  return join(folder, 'peer')
}

/** What a Go program was really built from, of the modules that its `go.mod` names. */
async function goVersions(name: string, program: string): Promise<Record<string, string>> {
  const text = await readFile(join(FOLDER, name, 'go.mod'), 'utf8')
  const required = [...text.matchAll(/github\.com\/(\S+) v\S+/g)]
  const go = findProgram('go', ['/usr/local/go/bin']) ?? 'go'
  const { stdout } = await run(go, ['version', '-m', program])
  const versions: Record<string, string> = { Go: /: (go\S+)/.exec(stdout)?.[1] ?? 'unknown' }
  for (const [, module = ''] of required) {
    const dep = stdout.split(`\tdep\tgithub.com/${module}\t`)[1] ?? ''
    const replaced = /^[^\n]*\n\t=>/.test(dep) ? ' (replaced)' : ''
    versions[module] = `${/^\S+/.exec(dep)?.[0] ?? 'unknown'}${replaced}`
  }
  return versions
}

/** A copy that tools may write into, removed in the end. */
async function copyOf(name: string, ends: Ends): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `ooo-bench-${name}-`))
  ends.push(() => rm(folder, { recursive: true, force: true }))
  await cp(join(FOLDER, name), folder, { recursive: true })
  return folder
}

/** The line of a tool's complaint that says most. */
function reasonOf(error: unknown): string {
  const { stderr = '', message = String(error) } = error as { stderr?: string; message?: string }
  if (/reading https?:\S+: (?:403|404|410)/.test(stderr)) return 'go could not load its modules'
  const lines = (stderr || message).trim().split('\n')
  const line = lines.find((each) => /403|not found|error|Forbidden/i.test(each)) ?? lines[0] ?? ''
  return line
    .trim()
    .replace(/[.:\s]+$/, '')
    .slice(0, 200)
}
