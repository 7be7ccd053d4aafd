/**
 * Owning a namespace of rows. The owner holds a session lock of the database on one connection, and
 * writes on that same connection: while it can write, nobody else holds the lock. The server frees
 * the lock after it has ended the session's last statement, so whoever has the lock also knows that
 * nothing of an earlier session is under way any more, and the stored mark tells what it came to.
 */
import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import type { PostgresPool } from '../../postgres/connection/connection.ts'
import type { DedicatedConnection } from '../../postgres/connection/dedicated.ts'
import { atMost, pause } from '../../postgres/connection/pause.ts'
import type { Queryable } from '../../postgres/connection/query.ts'
import { StateError } from '../../src/core/errors.ts'

/** Milliseconds between two looks whether a lock has become free. */
const LOCK_POLL_MS = 50

/** Milliseconds for which a server that is silent is waited for when the namespace is given back. */
const UNLOCK_TIMEOUT_MS = 2_000

const LOCK_KEY =
  "hashtextextended('ooo-cluster rows ' || coalesce(current_schema(), '') || '/' || $1, 0)"

/** A namespace held by this process. */
export interface RowClaim {
  readonly connection: DedicatedConnection
  readonly namespace: number
  /** Number of the last batch that is stored. */
  readonly stored: bigint
  /** Process of the server behind the connection. */
  readonly backend: number
}

/** Who claims, and what is left of the claim before. */
export interface Claimant {
  readonly pool: PostgresPool
  readonly name: string
  /** One opening of the rows; never used for another. See `newToken`. */
  readonly token: string
  readonly signal: AbortSignal
}

/** A token for one opening: unique, and behind a space who opened, for whoever finds the rows taken. */
export function newToken(): string {
  return `${randomUUID()} process ${process.pid} on ${hostname()}`
}

/**
 * Takes the namespace for a new opening, making it when there is none.
 * @throws StateError `in_use` when another process holds it for `waitMs` milliseconds on.
 */
export async function claimRows(claimant: Claimant, waitMs: number): Promise<RowClaim> {
  const { pool, name, token } = claimant
  return await onConnection(pool, async (connection) => {
    await connection.query(
      'INSERT INTO ooo_namespaces (name) VALUES ($1) ON CONFLICT (name) DO NOTHING',
      [name],
    )
    if (!(await lockWithin(claimant, connection, waitMs))) {
      throw inUse(claimant, await ownerOf(connection, name))
    }
    await connection.query('UPDATE ooo_namespaces SET owner = $2 WHERE name = $1', [name, token])
    return await claimOf(connection, claimant)
  })
}

/**
 * Takes the namespace again after the connection was lost.
 * @throws StateError `in_use` when another opening has taken it; `storage_failed` while the server
 * has not yet noticed the end of the lost connection, and for reasons of the connection.
 */
export async function reclaimRows(claimant: Claimant, backend: number): Promise<RowClaim> {
  const { pool, name, token } = claimant
  return await onConnection(pool, async (connection) => {
    if (!(await tryLock(connection, name))) {
      const owner = await ownerOf(connection, name)
      if (owner !== token) throw inUse(claimant, owner)
      await endSession(connection, name, backend)
      if (!(await lockWithin(claimant, connection, LOCK_POLL_MS * 4))) {
        throw new StateError(
          'storage_failed',
          `storage: the lost connection still holds the rows of "${name}" on ${pool.target}`,
          { clientText: 'storage: the lost connection still holds the rows', isAway: true },
        )
      }
    }
    return await claimOf(connection, claimant)
  })
}

/** Gives the namespace back and ends the connection. Never rejects. */
export async function releaseRows({ pool }: Claimant, { connection }: RowClaim): Promise<void> {
  // Ending the session frees the lock too, but a moment after this process knows of it.
  const unlocked = connection.query('SELECT pg_advisory_unlock_all()')
  await atMost(pool.options.time, UNLOCK_TIMEOUT_MS, unlocked)
  await connection.close()
}

/** Why these rows are not the claimant's any more; undefined while they are. @throws StateError of the connection. */
export async function lossOf(
  claimant: Claimant,
  { connection }: RowClaim,
): Promise<StateError | undefined> {
  const owner = await ownerOf(connection, claimant.name)
  return owner === claimant.token ? undefined : inUse(claimant, owner)
}

async function onConnection<T>(
  pool: PostgresPool,
  work: (connection: DedicatedConnection) => Promise<T>,
): Promise<T> {
  const connection = await pool.dedicated()
  try {
    return await work(connection)
  } catch (error) {
    await connection.close()
    throw error
  }
}

async function claimOf(connection: DedicatedConnection, claimant: Claimant): Promise<RowClaim> {
  const { name, token } = claimant
  const { rows } = await connection.query<{
    id: number
    owner: string
    batch: string
    backend: number
  }>('SELECT id, owner, batch, pg_backend_pid() AS backend FROM ooo_namespaces WHERE name = $1', [
    name,
  ])
  const [row] = rows
  if (row?.owner !== token) throw inUse(claimant, row?.owner)
  return { connection, namespace: row.id, stored: BigInt(row.batch), backend: row.backend }
}

async function lockWithin(
  { pool, name, signal }: Claimant,
  connection: Queryable,
  waitMs: number,
): Promise<boolean> {
  const { time } = pool.options
  const start = time.nowMs()
  while (!(await tryLock(connection, name))) {
    if (signal.aborted || time.nowMs() - start + LOCK_POLL_MS > waitMs) return false
    await pause(time, LOCK_POLL_MS, signal)
  }
  return true
}

async function tryLock(connection: Queryable, name: string): Promise<boolean> {
  const { rows } = await connection.query<{ locked: boolean }>(
    `SELECT pg_try_advisory_lock(${LOCK_KEY}) AS locked`,
    [name],
  )
  return rows[0]?.locked === true
}

async function ownerOf(connection: Queryable, name: string): Promise<string | undefined> {
  const { rows } = await connection.query<{ owner: string }>(
    'SELECT owner FROM ooo_namespaces WHERE name = $1',
    [name],
  )
  return rows[0]?.owner
}

/** Ends this process's own lost session, when it is what still holds the lock. */
async function endSession(connection: Queryable, name: string, backend: number): Promise<void> {
  await connection.query(
    `SELECT pg_terminate_backend(pid) FROM pg_locks
     WHERE locktype = 'advisory' AND granted AND pid = $2
       AND (classid::bigint << 32 | objid::bigint) = ${LOCK_KEY}`,
    [name, backend],
  )
}

/** @param owner the token that is stored. A release before this one told no more than a unique id. */
function inUse({ pool, name }: Claimant, owner: string | undefined): StateError {
  const [, holder] = /^\S+ (process \d+ on [\x20-\x7e]{1,255})$/.exec(owner ?? '') ?? []
  const who = holder === undefined ? 'another node' : `another node, ${holder}`
  return new StateError(
    'in_use',
    `storage: the rows of "${name}" on ${pool.target} are used by ${who}`,
    {
      clientText: 'storage: the rows of this node are used by another node',
      isAway: true,
    },
  )
}
