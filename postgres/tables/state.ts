/** What is asked of the server about itself and about a table as a whole. */
import { StateError } from '../../src/core/errors.ts'
import type { PostgresPool } from '../connection/connection.ts'
import type { TableStats } from './row.ts'
import type { TableRunner } from './runner.ts'
import { relationOf } from './schema.ts'

/** Generated columns and `gen_random_uuid` without an extension. */
const LEAST_SERVER = 130_000
/** Tables without an estimate are counted up to here. */
const COUNT_LIMIT = 100_000

/** @throws StateError `format_unsupported` or `invalid_option` when tables can not be kept there. */
export async function requireTableServer(pool: PostgresPool): Promise<void> {
  const { rows } = await pool.query<{ version: number; encoding: string }>(
    "SELECT current_setting('server_version_num')::int AS version, current_setting('server_encoding') AS encoding",
  )
  const { version = 0, encoding = '' } = rows[0] ?? {}
  if (version < LEAST_SERVER) {
    throw new StateError(
      'format_unsupported',
      `postgres: ${pool.target} runs version ${Math.floor(version / 10_000)}; tables need at least 13`,
    )
  }
  if (encoding !== 'UTF8') {
    throw new StateError(
      'invalid_option',
      `postgres: the encoding of ${pool.target} is ${encoding}; tables need UTF8`,
    )
  }
}

/** @throws StateError `not_found`. */
export async function tableStats(runner: TableRunner, table: string): Promise<TableStats> {
  const relation = relationOf(table)
  const { rows } = await runner.read<Record<'estimate' | 'bytes' | 'head' | 'floor', string>>({
    text: `SELECT seq AS head, floor, pg_total_relation_size($2::regclass) AS bytes,
  CASE WHEN reltuples >= 0 AND reltuples > ${COUNT_LIMIT} THEN reltuples::bigint
    ELSE (SELECT count(*) FROM (SELECT 1 FROM ${relation} LIMIT ${COUNT_LIMIT}) AS rows) END AS estimate
FROM ooo_tables, pg_class WHERE name = $1 AND pg_class.oid = $2::regclass`,
    values: [table, relation],
  })
  const row = rows[0]
  if (row === undefined) throw new StateError('not_found', `postgres: there is no table "${table}"`)
  return {
    rows: Number(row.estimate),
    bytes: Number(row.bytes),
    head: Number(row.head),
    floor: Number(row.floor),
  }
}
