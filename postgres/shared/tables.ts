/**
 * A server plugin by which nodes share keys through tables of one PostgreSQL database: a write on any
 * node, or by the table API, is seen by the subscribers of all. Each node holds its own copy and
 * goes on with it, writes included, while the database is away.
 */

import { standInOrigin } from '../../src/core/data/stand-in-origin.ts'
import { errorText, StateError } from '../../src/core/errors.ts'
import type { PluginHost, ServerPlugin } from '../../src/server/contract/plugin.ts'
import { PostgresPool } from '../connection/connection.ts'
import { MAX_TABLE_VALUE_BYTES } from '../tables/options.ts'
import { PostgresTables } from '../tables/tables.ts'
import {
  leaderOfTable,
  type ResolvedSharedSettings,
  resolveSharedSettings,
  type SharedTablesOptions,
  tableOf,
} from './options.ts'
import { loadCursor, settleScopes } from './progress.ts'
import type { SharedTableStatus } from './status.ts'
import { SharedTableLink } from './table-link.ts'

/** A server plugin that also tells how its tables stand. */
export interface SharedTablesPlugin extends ServerPlugin {
  /** One for each table; empty until the server has started. */
  status(): readonly SharedTableStatus[]
}

/**
 * Shares the keys of `options.scopes`. Writes on the node are durable there first and pending for the
 * table, which keeps the winner by (version, delete over set, origin). Conditional writes to shared
 * keys are refused with `not_leader`. `GET /-/tables` and `GET /?api=tables` answer with `status`.
 * @throws StateError `invalid_option` or `invalid_key`.
 */
export function sharedTables(options: SharedTablesOptions): SharedTablesPlugin {
  const settings = resolveSharedSettings(options)
  let host: PluginHost | undefined
  let running: RunningTables | undefined
  const status = (): readonly SharedTableStatus[] =>
    running?.links.map((link) => link.status()) ?? []
  return {
    name: 'shared-tables',
    setup(pluginHost) {
      host = pluginHost
      host.addLeaderOf((key) => {
        const table = tableOf(settings.scopes, key)
        return table === undefined ? undefined : leaderOfTable(table)
      })
      host.management('tables', status)
      host.route({
        ...{ path: '/-/tables', methods: ['GET', 'HEAD'], who: 'client' },
        description: 'tables of a database that keys are shared through',
        http: () => {
          const headers = { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' }
          return { status: 200, headers, body: JSON.stringify(status()) }
        },
      })
    },
    async start() {
      if (host === undefined) throw new StateError('not_open', 'postgres: start before setup')
      running = await startTables(options, settings, host)
    },
    async stop() {
      const stopped = running
      running = undefined
      await stopped?.stop()
    },
    status,
  }
}

interface RunningTables {
  readonly links: readonly SharedTableLink[]
  stop(): Promise<void>
}

async function startTables(
  options: SharedTablesOptions,
  settings: ResolvedSharedSettings,
  host: PluginHost,
): Promise<RunningTables> {
  const { replicationStore: store, time, logger, newId } = host
  const placementId = await settleScopes(store, settings.scopes, newId)
  // The links try again by themselves, so one attempt to connect is enough at a time.
  const ownPool = 'pool' in options ? undefined : new PostgresPool({ ...options, openTimeoutMs: 0 })
  const pool = 'pool' in options ? options.pool : (ownPool as PostgresPool)
  const tables = new PostgresTables({
    ...{ pool, origin: standInOrigin(store.id), retryTimeoutMs: 0 },
    maxValueBytes: Math.min(store.limits.maxValueBytes, MAX_TABLE_VALUE_BYTES),
  })
  const names = [...new Set(settings.scopes.map(({ table }) => table))]
  const { random } = pool.options
  const links = names.map((table) => {
    const cursor = loadCursor(store, table, placementId)
    return new SharedTableLink({
      ...{ table, tables, settings, store, cursor, placementId, time, random, logger },
    })
  })
  const unsubscribe = [
    store.onCommit(() => {
      for (const link of links) if (store.pendingCount(link.leader) > 0) link.outboxChanged()
    }),
    // What is damaged here is whole in the table.
    store.onDamage(() => {
      for (const link of links) link.startOver()
    }),
  ]
  if (store.damaged().length > 0) for (const link of links) link.startOver()
  for (const link of links) link.start()
  return {
    links,
    async stop() {
      for (const stopHearing of unsubscribe) stopHearing()
      // Closing the tables first ends the waits of statements that would be tried again.
      const closing = tables.close()
      await Promise.all(links.map((link) => link.stop()))
      await closing
      await ownPool?.close().catch((error) => {
        logger.warn('the connections to PostgreSQL did not close', { error: errorText(error) })
      })
    },
  }
}
