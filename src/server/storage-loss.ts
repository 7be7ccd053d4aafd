/**
 * What a node does when another one has taken its storage: it shows nothing any more that may be stale. Requests
 * and handshakes are refused by the store and `upgrade.ts`; here ends what is open already.
 */
import { errorText, type StateError } from '../core/errors.ts'
import type { Logger } from '../core/ports/logger.ts'
import type { Hub } from '../fanout/hub.ts'
import type { Database } from '../store/database.ts'
import type { ReplicationStore } from '../store/replication-store.ts'
import type { Sockets } from './connections/sockets.ts'
import type { ServerPlugin } from './contract/plugin.ts'

export interface LosingNode {
  readonly store: ReplicationStore
  readonly sockets: Sockets
  readonly hub: Hub
  readonly database: Database
  readonly logger: Logger
  /** Stops the plugins: nodes that follow this one, or vote with it, must not count on it. */
  stopPlugins(): Promise<void>
}

/** Ends sockets, watches and plugins when the storage is lost. Resolves with the reason then, else never. */
export function endOnLoss(node: LosingNode): Promise<StateError> {
  const { store, sockets, hub, database, logger } = node
  return new Promise((resolve) => {
    store.onLost((reason) => {
      sockets.endAll(reason.meaning.closeCode, reason.clientText)
      hub.close()
      database.close(reason)
      node.stopPlugins().catch((error: unknown) => {
        logger.error('a plugin could not be stopped', { error: errorText(error) })
      })
      resolve(reason)
    })
  })
}

/** A plugin whose `stop` runs once, however often it is asked for. */
export function stoppableOnce(plugin: ServerPlugin): () => Promise<void> {
  let stopped: Promise<void> | undefined
  const stop = async (): Promise<void> => plugin.stop?.()
  return () => {
    stopped ??= stop()
    return stopped
  }
}
