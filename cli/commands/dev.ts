/** `ooo dev`: a whole cluster on this machine, one process per node. */
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createSystemTime } from '../../src/server/process/system-time.ts'
import {
  type Command,
  type CommandContext,
  EXIT,
  exitCodeOfSignal,
  type StopSignal,
} from '../command/command.ts'
import { DEV_SETTINGS, type DevConfig, devConfig, SERVE_SETTINGS } from '../settings/config.ts'
import { settingsOf } from '../settings/reading/resolve.ts'
import { DEV_HOST, type PlannedNode, planNodes, welcome } from '../supervise/dev-plan.ts'
import { nextFreeRange, takenPorts } from '../supervise/ports.ts'
import { SUPERVISED } from '../supervise/supervised.ts'
import { Supervisor } from '../supervise/supervisor.ts'

export const DEV: Command = {
  name: 'dev',
  summary: 'runs a cluster on this machine, to try things out',
  operands: '',
  operandCount: [0, 0],
  settings: settingsOf(DEV_SETTINGS),
  notes: [
    'The first node leads, the others follow it. A node that crashes is started again. Ctrl-C stops all; the data stays.',
  ],
  run: (args, context) => dev(devConfig(args, context.env), context),
}

/** Runs the nodes until a stop signal; resolves with the exit code once all are gone. */
export async function dev(config: DevConfig, context: CommandContext): Promise<number> {
  const refusal = await portRefusal(config)
  if (refusal !== undefined) {
    context.stderr(`ooo: ${refusal}\n`)
    return EXIT.failed
  }
  const nodes = planNodes(config)
  const children: Supervisor[] = []
  const stopped = untilStopped(context, children)
  const outcome = await Promise.race([stopped, startAll(nodes, children, config, context)])
  if (outcome === 'ready') {
    context.stdout(welcome(nodes, config.keys, ownCommand()))
    await stopped
  }
  const ends = await Promise.all(children.map((child) => child.stop()))
  const failed = ends.some((end) => end.failed)
  context.stderr(failed ? 'ooo: not all nodes could start\n' : 'ooo: all nodes are stopped\n')
  return failed ? EXIT.failed : EXIT.done
}

/** Starts the leader, then the followers, so that these find it at once. */
async function startAll(
  nodes: readonly PlannedNode[],
  children: Supervisor[],
  config: DevConfig,
  context: CommandContext,
): Promise<'ready' | 'failed'> {
  const [leader, ...followers] = nodes
  for (const group of [leader === undefined ? [] : [leader], followers]) {
    const started = group.map((node) => start(node, config, context))
    children.push(...started)
    const ready = await Promise.all(started.map((child) => child.ready))
    if (ready.includes(false)) return 'failed'
  }
  return 'ready'
}

async function portRefusal({ port, nodes }: DevConfig): Promise<string | undefined> {
  const taken = await takenPorts(DEV_HOST, port, nodes)
  if (taken.length === 0) return undefined
  const which = taken.length === 1 ? `port ${taken[0]} is` : `ports ${taken.join(', ')} are`
  const free = await nextFreeRange(DEV_HOST, Math.max(...taken), nodes)
  const advice = free === undefined ? '--port' : `--port ${free}`
  return `${which} taken on ${DEV_HOST} by another process; ${nodes} nodes need the ports ${port} to ${port + nodes - 1}. Choose others with ${advice}`
}

function start(node: PlannedNode, config: DevConfig, context: CommandContext): Supervisor {
  const entry = fileURLToPath(new URL('../main.js', import.meta.url))
  return new Supervisor({
    program: process.execPath,
    args: [entry, ...node.args],
    env: childEnvironment(context.env, config.clusterToken),
    time: createSystemTime(),
    random: Math.random,
    onLine: (line) => context.stdout(`${node.name} | ${line}\n`),
    onNews: (text) => context.stderr(`${node.name} ! ${text}\n`),
  })
}

/** The user's environment without what configures a node: the children get that by flags. */
function childEnvironment(
  env: CommandContext['env'],
  clusterToken: string | undefined,
): Record<string, string | undefined> {
  const variables = new Set(settingsOf(SERVE_SETTINGS).map((setting) => setting.env))
  const kept = Object.entries(env).filter(([name]) => !variables.has(name))
  const token = clusterToken === undefined ? {} : { OOO_CLUSTER_TOKEN: clusterToken }
  return { ...Object.fromEntries(kept), ...token, [SUPERVISED]: '1' }
}

/** Resolves at the first stop signal; the second one kills what is left and ends this process. */
function untilStopped(
  context: CommandContext,
  children: readonly Supervisor[],
): Promise<'stopped'> {
  return new Promise((resolve) => {
    let first: StopSignal | undefined
    context.onSignal((signal) => {
      if (first !== undefined) {
        for (const child of children) child.kill()
        context.exitNow(exitCodeOfSignal(signal))
      }
      first = signal
      resolve('stopped')
    })
  })
}

/** How to run this program from the current folder. */
function ownCommand(): string {
  const entry = fileURLToPath(new URL('../main.js', import.meta.url))
  const path = relative(process.cwd(), entry)
  return `node ${/^[\w./-]+$/.test(path) ? path : `'${path}'`}`
}
