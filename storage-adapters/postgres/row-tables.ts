/**
 * The tables under `PostgresStorage`, and the statements on them. `ooo_namespaces` says for each
 * namespace which opening owns it and which batch of rows was its last; `ooo_rows` holds the rows,
 * ordered bytewise.
 */

import type { Migration } from '../../postgres/connection/migrations.ts'
import type { Queryable } from '../../postgres/connection/query.ts'
import { StateError } from '../../src/core/errors.ts'
import type { Durability } from '../../src/core/ports/storage-adapter.ts'

export const ROW_MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    statements: [
      // Updated with every batch: free space in the page keeps the new versions beside the old.
      `CREATE TABLE ooo_namespaces (
         id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
         name text COLLATE "C" NOT NULL UNIQUE,
         owner text NOT NULL DEFAULT '',
         batch bigint NOT NULL DEFAULT 0
       ) WITH (fillfactor = 50)`,
      `CREATE TABLE ooo_rows (
         namespace int NOT NULL,
         key text COLLATE "C" NOT NULL,
         value text NOT NULL,
         PRIMARY KEY (namespace, key)
       )`,
    ],
  },
]

/** Longest key of a row, bytes: an entry of the index over them has at most 2,704, with its head and namespace. */
export const MAX_ROW_KEY_BYTES = 2600

/** What a batch comes to: the last operation of each key; undefined deletes. Bytes are estimated. */
export interface RowChanges {
  readonly rows: ReadonlyMap<string, string | undefined>
  readonly bytes: number
}

/** Who writes: the owner's token must be the one stored, and `number` follow the last batch's. */
export interface BatchMark {
  readonly namespace: number
  readonly owner: string
  readonly number: bigint
}

/** Characters of rows in one statement; more go into several statements of one transaction. */
const STATEMENT_BYTES = 8 * 1024 * 1024

const OWN =
  'UPDATE ooo_namespaces SET batch = $3 WHERE id = $1 AND owner = $2 AND batch = $3::bigint - 1'
// The level is read by the server when it commits, that is after this statement or transaction.
const LEVEL = "set_config('synchronous_commit', $4, true)"
const DELETE = 'DELETE FROM ooo_rows WHERE namespace = $1'
const INSERT = 'INSERT INTO ooo_rows (namespace, key, value) SELECT $1, new.key, new.value FROM'
const REPLACE = 'ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value'

const WHOLE_BATCH = `WITH owned AS (${OWN} RETURNING 1),
  removed AS (${DELETE} AND key = ANY ($5::text[]) AND EXISTS (SELECT FROM owned)),
  written AS (${INSERT} unnest($6::text[], $7::text[]) AS new(key, value)
    WHERE EXISTS (SELECT FROM owned) ${REPLACE})
  SELECT ${LEVEL}, (SELECT count(*) FROM owned)::int AS owned`

/**
 * Applies the changes and moves the mark, all or nothing. Resolves when the commit is answered.
 * @throws StateError `in_use` when another opening owns the rows, and those of the connection.
 */
export async function writeRows(
  connection: Queryable,
  mark: BatchMark,
  changes: RowChanges,
  level: Durability,
): Promise<void> {
  const commit = level === 'disk' ? 'on' : 'off'
  const head = [mark.namespace, mark.owner, String(mark.number), commit]
  const chunks = chunksOf(changes)
  const [only] = chunks
  if (chunks.length === 1 && only !== undefined) {
    const values = [...head, only.removed, only.keys, only.values]
    const sent = connection.query<{ owned: number }>(WHOLE_BATCH, values, { name: 'ooo-batch' })
    if ((await sent).rows[0]?.owned !== 1) throw notOwner()
    return
  }
  await connection.query('BEGIN')
  try {
    const owned = `WITH owned AS (${OWN} RETURNING 1)
      SELECT ${LEVEL}, (SELECT count(*) FROM owned)::int AS owned`
    const { rows } = await connection.query<{ owned: number }>(owned, head)
    if (rows[0]?.owned !== 1) throw notOwner()
    for (const chunk of chunks) await writeChunk(connection, mark.namespace, chunk)
  } catch (error) {
    // When even this fails the connection is gone, and the transaction with it.
    await connection.query('ROLLBACK').catch(() => undefined)
    throw error
  }
  await connection.query('COMMIT')
}

/** Values of some rows, in the order of the keys, from one snapshot; null where there is none. */
export const READ_ROWS = `SELECT row.value FROM unnest($2::text[]) WITH ORDINALITY AS wanted(key, position)
  LEFT JOIN ooo_rows row ON row.namespace = $1 AND row.key = wanted.key COLLATE "C"
  ORDER BY wanted.position`

/** The value of one row. */
export const READ_ROW = 'SELECT value FROM ooo_rows WHERE namespace = $1 AND key = $2'

interface Chunk {
  readonly removed: string[]
  readonly keys: string[]
  readonly values: string[]
}

async function writeChunk(connection: Queryable, namespace: number, chunk: Chunk): Promise<void> {
  await connection.query(`${DELETE} AND key = ANY ($2::text[])`, [namespace, chunk.removed])
  await connection.query(`${INSERT} unnest($2::text[], $3::text[]) AS new(key, value) ${REPLACE}`, [
    namespace,
    chunk.keys,
    chunk.values,
  ])
}

/** At least one, however few the rows. */
function chunksOf({ rows }: RowChanges): Chunk[] {
  let chunk: Chunk = { removed: [], keys: [], values: [] }
  const chunks = [chunk]
  let bytes = 0
  for (const [key, value] of rows) {
    if (bytes > STATEMENT_BYTES) {
      chunk = { removed: [], keys: [], values: [] }
      chunks.push(chunk)
      bytes = 0
    }
    bytes += key.length + (value?.length ?? 0)
    if (value === undefined) {
      chunk.removed.push(key)
    } else {
      chunk.keys.push(key)
      chunk.values.push(value)
    }
  }
  return chunks
}

function notOwner(): StateError {
  const text = 'storage: another node has taken over these rows'
  return new StateError('in_use', text, { isAway: true })
}
