/** The servers that benchmarks start, each a process of its own on a free port. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CliProcess } from '../../test/support/cli-process.ts'
import { Skipped } from './bench.ts'
import type { DialectName } from './dialect.ts'

/** A server that runs. */
export interface Running {
  readonly port: number
  readonly pid: number
  /** Its data, if it keeps any. */
  readonly folder: string
  /** Ends the process and removes the folder. */
  stop(): Promise<void>
}

/** A server that can be started. */
export interface Target {
  readonly name: string
  readonly dialect: DialectName
  /** Whether it has lists: a glob that can be subscribed to. */
  readonly hasLists: boolean
  start(): Promise<Running>
}

/** The built node, with the settings a user gets; `args` are added to its command line. */
export function node(name: string = 'ooo-cluster', args: readonly string[] = []): Target {
  return { name, dialect: 'ooo', hasLists: true, start: () => startNode(args) }
}

/** The limit to compare with: bare Node, ready bytes, one write per socket (`floor-server.mjs`). */
export const FLOOR: Target = {
  name: 'bare Node',
  dialect: 'ooo',
  hasLists: true,
  start: () =>
    startProgram([process.execPath, join(import.meta.dirname, 'floor-server.mjs')], /on (\d+)\n/),
}

export interface NodeOptions {
  /** Folder of its data, kept when it stops. Default: one of its own. */
  readonly folder?: string
  /** Milliseconds that opening may take. Default 20 s. */
  readonly deadlineMs?: number
}

/** Starts `ooo serve`. @throws Skipped when it does not know one of the arguments. */
export async function startNode(
  args: readonly string[] = [],
  options: NodeOptions = {},
): Promise<Running> {
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'ooo-bench-')))
  const isElsewhere = args.includes('--memory') || args.includes('--postgres')
  const place = isElsewhere ? [] : ['--data', join(folder, 'node')]
  const quiet = ['--log-level', 'error']
  const command = ['serve', '--port', '0', '--name', 'bench', ...place, ...quiet, ...args]
  return run(new CliProcess(command), / serving \w+:\/\/[^:]+:(\d+)/, folder, options)
}

/** Starts another program that prints a line with its port, matched by `ready`. */
export async function startProgram(
  command: readonly [program: string, ...args: string[]],
  ready: RegExp,
  args: readonly string[] = [],
): Promise<Running> {
  const folder = await mkdtemp(join(tmpdir(), 'ooo-bench-'))
  return run(new CliProcess(args, { command, cwd: folder }), ready, folder, {})
}

/** Programs that run: none outlives the benchmark, however that ends. */
const running = new Set<CliProcess>()
process.on('exit', () => {
  for (const program of running) program.signal('SIGKILL')
})

async function run(
  program: CliProcess,
  ready: RegExp,
  folder: string,
  options: NodeOptions,
): Promise<Running> {
  running.add(program)
  void program.ended.then(({ code, signal, stderr }) => {
    if (!running.delete(program)) return
    console.error(`a server ended by itself (${signal ?? code}): ${stderr.slice(-2000)}`)
  })
  const stop = async (): Promise<void> => {
    running.delete(program)
    await program.dispose()
    if (options.folder === undefined) await rm(folder, { recursive: true, force: true })
  }
  try {
    const [, port] = await program.output(ready, options.deadlineMs)
    return { port: Number(port), pid: program.pid, folder, stop }
  } catch (error) {
    await stop()
    const unknown = /--[\w-]+: unknown flag/.exec(program.stderr)?.[0]
    if (unknown !== undefined) throw new Skipped(`${unknown} of this build: left out.`)
    throw error
  }
}
