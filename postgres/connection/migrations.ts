/**
 * Versioned changes of the database's tables. Each runs in a transaction of its own, under a lock of
 * the whole database, so that several nodes may start at once: one does the work, the others wait.
 */
import { StateError } from '../../src/core/errors.ts'
import type { PostgresPool, Queryable } from './connection.ts'

/** One step; steps are never changed once released, only added to. */
export interface Migration {
  /** 1 for the first, then one more for each. */
  readonly version: number
  /** Run in order, without parameters. */
  readonly statements: readonly string[]
}

/** Guards the migrations of all components; any fixed number does. */
const LOCK = "pg_advisory_xact_lock(hashtextextended('ooo-cluster migrations', 0))"

/**
 * Brings the tables of one component (`storage`, `tables`, …) to the newest version. Resolves with
 * the number of steps taken.
 * @throws StateError `format_unsupported` when a newer release has changed them already; nothing is
 * changed then.
 */
export async function migrate(
  pool: PostgresPool,
  component: string,
  migrations: readonly Migration[],
): Promise<number> {
  const newest = migrations.length
  // Starting beside a finished database needs no lock and no right to create tables.
  if ((await versionNow(pool, component)) === newest) return 0
  let taken = 0
  while (await pool.transaction((transaction) => step(transaction, component, migrations))) {
    taken += 1
  }
  return taken
}

/** Takes the next step. False when there is none. */
async function step(
  transaction: Queryable,
  component: string,
  migrations: readonly Migration[],
): Promise<boolean> {
  await transaction.query("SELECT set_config('statement_timeout', '0', true)")
  await transaction.query(`SELECT ${LOCK}`)
  await transaction.query(
    `CREATE TABLE IF NOT EXISTS ooo_migrations (
       component text NOT NULL,
       version int NOT NULL,
       applied_at timestamptz NOT NULL DEFAULT now(),
       PRIMARY KEY (component, version)
     )`,
  )
  const version = await versionIn(transaction, component)
  const newest = migrations.length
  if (version > newest) {
    throw new StateError(
      'format_unsupported',
      `postgres: the tables of "${component}" have version ${version}, made by a newer release; this one knows versions up to ${newest}`,
    )
  }
  const next = migrations[version]
  if (next === undefined) return false
  if (next.version !== version + 1) {
    throw new StateError(
      'invalid_option',
      `postgres: migration ${version + 1} of "${component}" is numbered ${next.version}`,
    )
  }
  for (const statement of next.statements) await transaction.query(statement)
  await transaction.query('INSERT INTO ooo_migrations (component, version) VALUES ($1, $2)', [
    component,
    next.version,
  ])
  return true
}

/** The version of the component's tables; undefined when no migration ever ran in this database. */
async function versionNow(pool: PostgresPool, component: string): Promise<number | undefined> {
  const { rows } = await pool.query<{ present: boolean }>(
    "SELECT to_regclass('ooo_migrations') IS NOT NULL AS present",
  )
  return rows[0]?.present === true ? await versionIn(pool, component) : undefined
}

async function versionIn(queryable: Queryable, component: string): Promise<number> {
  const { rows } = await queryable.query<{ version: number }>(
    'SELECT coalesce(max(version), 0)::int AS version FROM ooo_migrations WHERE component = $1',
    [component],
  )
  return rows[0]?.version ?? 0
}
