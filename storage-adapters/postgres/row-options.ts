/** Options of `PostgresStorage`: meaning, unit, default and range of each. */

import { type PostgresOptions, resolvePostgresOptions } from '../../postgres/connection/options.ts'
import { StateError } from '../../src/core/errors.ts'

/** Those of the connection, such as `url`, are described there; `maxConnections` is 20 here, least 2. */
export interface PostgresStorageOptions extends PostgresOptions {
  /** Whose rows these are, 1 to 200 characters. Two nodes need two. Default `default`. */
  readonly namespace?: string
  /** Batches that may wait for their turn; one more is refused with `overloaded`. Default 10 000. 0 admits none but the running one. */
  readonly maxQueuedBatches?: number
  /** Characters in the batches that wait, keys and values; more is refused with `overloaded`, unless it would be the only batch. Default 64 Mi. */
  readonly maxQueuedBytes?: number
  /** Scans that may hold a connection at a time; one more is refused with `overloaded`. Default 16; least 1, below `maxConnections`. */
  readonly maxScans?: number
  /** Milliseconds after which a scan that is not read on is ended. Default 300 000. 0: never. */
  readonly scanIdleMs?: number
  /** Milliseconds for which `open` waits for another owner to leave before it rejects with `in_use`. Default 3 000. */
  readonly ownershipWaitMs?: number
  /** Milliseconds between two looks whether the rows are still owned, while nothing is written. Default 5 000. 0: none. */
  readonly ownerCheckMs?: number
  /**
   * Milliseconds for which a batch whose answer was lost waits for the server, to learn what became of
   * it. Default 30 000. When they are over the batch rejects; should it turn out to be stored
   * nevertheless, the storage refuses all work until it is opened again.
   */
  readonly recoveryWaitMs?: number
}

/** The complete options: those of the connections apart from those of the rows. */
export interface RowOptions extends Required<Omit<PostgresStorageOptions, keyof PostgresOptions>> {
  readonly connection: PostgresOptions
}

/** The contract wants 16 scans at once; the others are for reads. Connections are made when needed. */
const DEFAULT_CONNECTIONS = 20

/** @throws StateError `invalid_option` naming the option, its value and the range. */
export function resolveRowOptions(options: PostgresStorageOptions): RowOptions {
  const namespace = options.namespace ?? 'default'
  if (namespace === '' || namespace.length > 200 || namespace.includes('\u0000')) {
    throw new StateError(
      'invalid_option',
      `storage: namespace has ${namespace.length} characters; it must have 1 to 200, none of them U+0000`,
    )
  }
  const maxConnections = options.maxConnections ?? DEFAULT_CONNECTIONS
  const connection = { ...options, maxConnections }
  // What is wrong with the connection's options shows now, not when it is opened.
  resolvePostgresOptions(connection)
  return Object.freeze({
    connection,
    namespace,
    maxQueuedBatches: count('maxQueuedBatches', options.maxQueuedBatches ?? 10_000, 0),
    maxQueuedBytes: count('maxQueuedBytes', options.maxQueuedBytes ?? 64 * 1024 * 1024, 0),
    maxScans: count('maxScans', options.maxScans ?? 16, 1, maxConnections - 1),
    scanIdleMs: count('scanIdleMs', options.scanIdleMs ?? 300_000, 0),
    ownershipWaitMs: count('ownershipWaitMs', options.ownershipWaitMs ?? 3_000, 0),
    ownerCheckMs: count('ownerCheckMs', options.ownerCheckMs ?? 5_000, 0),
    recoveryWaitMs: count('recoveryWaitMs', options.recoveryWaitMs ?? 30_000, 0),
  })
}

function count(name: string, value: number, least: number, most = 2 ** 53 - 1): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value
  throw new StateError(
    'invalid_option',
    `storage: ${name} is ${value}; it must be a whole number from ${least} to ${most}`,
  )
}
