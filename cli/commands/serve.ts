/** `ooo serve`: the composition root, from a configuration to a running node. */
import { existsSync } from 'node:fs'
import { hostname } from 'node:os'
import { fileURLToPath } from 'node:url'
import { backupRoutes } from '../../backup/routes.ts'
import { type ClusterOptions, cluster } from '../../cluster/index.ts'
import { requireMember, showsToken } from '../../cluster/members/token.ts'
import { sharedTables } from '../../postgres/shared/tables.ts'
import { isStateError } from '../../src/core/errors.ts'
import { isLoopback } from '../../src/core/loopback.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import type { ServerPlugin } from '../../src/server/contract/plugin.ts'
import { createWsTransport } from '../../src/server/dial/ws-transport.ts'
import { createServer, type Server } from '../../src/server/server.ts'
import {
  type Command,
  type CommandContext,
  EXIT,
  exitCodeOfSignal,
  type StopSignal,
} from '../command/command.ts'
import { refuseHalfRestored } from '../offline/restore-folder.ts'
import {
  SERVE_SETTINGS,
  type ServeConfig,
  serveConfig,
  serveVariables,
} from '../settings/config.ts'
import { busOf } from '../settings/groups/bus.ts'
import { electionOf, warnOfNamelessVoter } from '../settings/groups/election.ts'
import { admissionOf, sizesOf } from '../settings/groups/limits.ts'
import { memoryOf } from '../settings/groups/memory.ts'
import { pagesOf } from '../settings/groups/page.ts'
import { warnOfMistyped } from '../settings/mistyped-variables.ts'
import { settingsOf } from '../settings/reading/resolve.ts'
import { explainStartFailure } from '../start/failure.ts'
import { openUnlessStopped } from '../start/open-node.ts'
import { type Outgoing, outgoingOf } from '../start/outgoing.ts'
import { storageOf } from '../start/serve-storage.ts'
import { notifySystemd, writesToJournal } from '../start/systemd.ts'
import { followSupervisor, reportReady, SUPERVISED } from '../supervise/supervised.ts'
import { createConsoleLogger } from '../terminal/console-logger.ts'

export const SERVE: Command = {
  name: 'serve',
  summary: 'runs one node',
  operands: '',
  operandCount: [0, 0],
  settings: settingsOf(SERVE_SETTINGS),
  notes: [
    'A flag is stronger than its variable, that than the file of --config, that than the default.',
    'SIGINT, SIGTERM and SIGHUP close the node cleanly; a second one ends it at once.',
  ],
  run: (args, context) => serve(serveConfig(args, context.env), context),
}

/** A client that asks twice a second or more never finds its kept connection closed. */
const CLOSE_NOTICE_MS = 500

/** Runs a node until a stop signal; resolves with the exit code once it is closed. */
export async function serve(config: ServeConfig, context: CommandContext): Promise<number> {
  const write = (line: string): void => context.stderr(line)
  const journal = writesToJournal(context.env)
  const logger = createConsoleLogger({ level: config.logLevel, write, journal })
  warnIfExposed(config, logger)
  warnOfMistyped(context.env, serveVariables(), logger)
  warnOfNamelessVoter(config, logger)
  const name = config.name ?? hostname()
  const stop = untilStopped(context)
  let server: Server | undefined
  try {
    if (!config.memory && config.postgres === undefined) refuseHalfRestored(config.data)
    const make = (): Promise<Server> => assemble(config, name, logger, context.env)
    server = await openUnlessStopped(make, stop, logger)
  } catch (error) {
    context.stderr(`ooo: ${explainStartFailure(error, config)}\n`)
    return isStateError(error, 'unprotected') ? EXIT.usage : EXIT.failed
  }
  if (server === undefined) return EXIT.done
  const url = server.address?.url ?? ''
  context.stdout(`ooo: ${JSON.stringify(name)} serving ${url} (${roleText(config)})\n`)
  reportReady(context.env, url)
  const notifyStopping = notifySystemd(context.env, logger)
  const because = await Promise.race([stop, server.storageLost])
  const isLost = typeof because !== 'string'
  logger.info('stopping', { because: isLost ? because.message : because })
  notifyStopping()
  await server.close()
  if (!isLost) return EXIT.done
  context.stderr(`ooo: ${because.message}; this node ends, and can be started again\n`)
  return EXIT.failed
}

async function assemble(
  config: ServeConfig,
  name: string,
  logger: Logger,
  env: CommandContext['env'],
): Promise<Server> {
  const { tlsCert, tlsKey } = config
  const uiDir = fileURLToPath(new URL('../../ui', import.meta.url))
  const outgoing = await outgoingOf(config, env)
  const ways = { ...outgoing, ...(await busOf(config)), ...(await electionOf(config, env)) }
  const server = createServer({
    storage: storageOf(config, name, logger),
    host: config.host,
    port: config.port,
    name,
    static: config.static,
    workers: config.workers,
    open: config.open,
    plugins: [
      backupPlugin(config),
      ...pluginsOf(config, name, logger, ways),
      ...sharingOf(config, name),
    ],
    logger,
    closeNoticeMs: CLOSE_NOTICE_MS,
    ...admissionOf(config),
    ...pagesOf(config),
    ...sizesOf(config),
    ...memoryOf(config),
    ...(config.durability === undefined ? {} : { durability: config.durability }),
    ...(config.cache === 'all' ? {} : { cacheBytes: config.cache }),
    ...(existsSync(uiDir) ? { uiDir } : {}),
    ...(tlsCert === undefined || tlsKey === undefined
      ? {}
      : { tls: { certFile: tlsCert, keyFile: tlsKey } }),
    transport: createWsTransport(outgoing),
  })
  // Open to those who may read and write at all, which is another question.
  const opened = config.keys.length > 0 ? [...config.keys, config.nodesKey] : []
  for (const path of opened) server.filters.open(path)
  return server
}

/** Who may join the cluster may also read and write everything: the same secret guards both. */
function backupPlugin({ keys, clusterToken: token, openCluster }: ServeConfig): ServerPlugin {
  return backupRoutes({
    scopes: keys,
    authorize: (request) => requireMember(request, { token, openCluster }),
    ...(token === undefined ? {} : { credential: (request) => showsToken(request, token) }),
  })
}

/** A node without keys replicates nothing, so it is no part of a cluster. */
function pluginsOf(
  config: ServeConfig,
  name: string,
  logger: Logger,
  ways: Outgoing & Pick<ClusterOptions, 'bus' | 'leader'>,
): ServerPlugin[] {
  if (config.keys.length === 0) return []
  const plugin = cluster({
    keys: config.keys.map((path) => ({ path })),
    nodesKey: config.nodesKey,
    nodesWritable: config.nodesWritable,
    pivot2: config.pivot2,
    name,
    logger,
    openCluster: config.openCluster,
    maxClockDriftMs: config.maxClockDrift,
    tombstoneRetentionMs: config.tombstoneRetention,
    ...(config.clusterUrl === undefined ? {} : { clusterUrl: config.clusterUrl }),
    ...(config.advertise === undefined ? {} : { advertise: config.advertise }),
    ...(config.clusterToken === undefined ? {} : { token: config.clusterToken }),
    ...ways,
  })
  return [plugin]
}

/** Behind the cluster, which decides for the keys that both cover. */
function sharingOf(config: ServeConfig, name: string): ServerPlugin[] {
  const { postgresTables: scopes, postgresTablesUrl: url = config.postgres } = config
  if (url === undefined || Object.keys(scopes).length === 0) return []
  return [sharedTables({ url, scopes, applicationName: `ooo ${name}` })]
}

function roleText({ keys, clusterUrl, leader }: ServeConfig): string {
  if (keys.length === 0) return 'single node'
  const replicated = keys.join(', ')
  if (leader !== 'static') return `leader or follower, by a lease in ${leader}, of ${replicated}`
  return clusterUrl === undefined
    ? `leader of ${replicated}`
    : `follower of ${clusterUrl} for ${replicated}`
}

/** The token does not guard the data, which is not what everybody expects of it. */
function warnIfExposed({ host, open, clusterToken }: ServeConfig, logger: Logger): void {
  if (!open || isLoopback(host)) return
  const text = 'open: whoever reaches this address can read and write'
  const guarded = '; the cluster token guards joining, backup, restore and conflicts only'
  logger.warn(clusterToken === undefined ? text : `${text}${guarded}`, { host })
}

/** Resolves, with what it was, at the first reason to stop. */
function untilStopped(context: CommandContext): Promise<string> {
  return new Promise((resolve) => {
    let first: StopSignal | undefined
    const supervised = context.env[SUPERVISED] !== undefined
    context.onSignal((signal) => {
      // A terminal's Ctrl-C reaches the supervisor too, which then asks with SIGTERM; and being
      // asked twice, by it and by the process group, is no reason to drop everything.
      if (supervised && signal === 'SIGINT') return
      if (first !== undefined && !supervised) {
        context.exitNow(exitCodeOfSignal(signal))
      }
      first = signal
      resolve(signal)
    })
    followSupervisor(context.env, () => resolve('supervisor gone'))
  })
}
