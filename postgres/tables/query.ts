/**
 * The statements that read a table. Everything a caller gives is a parameter; only the checked name
 * of the table and the fixed words below are part of a statement's text.
 */
import { directoryOf, hasGlob } from '../../src/core/keys/key.ts'
import { relationOf } from './schema.ts'

/** A statement with its parameters. */
export interface TableStatement {
  readonly text: string
  readonly values: unknown[]
}

export interface TableSelect {
  readonly table: string
  /** `entry`: key, stamps and value; `key`: the key alone. */
  readonly columns: 'entry' | 'key'
  /** A key or glob; undefined for every key. */
  readonly path?: string | undefined
  /** Bounds of `created` (or `updated`), both inclusive. */
  readonly from?: bigint | undefined
  readonly to?: bigint | undefined
  /** What the bounds are about. Default `created`. */
  readonly stamp?: 'created' | 'updated'
  /** Further conditions; each gets a function that makes a parameter of a value. */
  readonly where?: readonly ((bind: Bind) => string)[]
  /** `newest` (default): by created, then key, both descending; `oldest`: both ascending. */
  readonly order?: 'newest' | 'oldest'
  readonly limit: number
}

/** Adds a parameter and gives its place in the statement, such as `$3`. */
export type Bind = (value: unknown) => string

/** The statement that reads entries; tombstones are never among them. */
export function selectEntries(select: TableSelect): TableStatement {
  const values: unknown[] = []
  const bind: Bind = (value) => `$${values.push(value)}`
  const stamp = select.stamp ?? 'created'
  const conditions = ['value IS NOT NULL']
  if (select.path !== undefined) conditions.push(matches(select.path, bind))
  if (select.stamp === 'updated') conditions.push('updated > 0')
  if (select.from !== undefined) conditions.push(`${stamp} >= ${bind(String(select.from))}::bigint`)
  if (select.to !== undefined) conditions.push(`${stamp} <= ${bind(String(select.to))}::bigint`)
  for (const condition of select.where ?? []) conditions.push(condition(bind))
  const columns = select.columns === 'key' ? 'key' : 'key, created, updated, value'
  const direction = select.order === 'oldest' ? 'ASC' : 'DESC'
  return {
    text: [
      `SELECT ${columns} FROM ${relationOf(select.table)}`,
      `WHERE ${conditions.join(' AND ')}`,
      `ORDER BY created ${direction}, key ${direction} LIMIT ${bind(select.limit)}`,
    ].join(' '),
    values,
  }
}

/**
 * The condition that a key is covered by `path`, by the rules of `matchKey`. A plain key and the
 * list of one directory are looked up in an index; other globs scan the keys that begin like them.
 */
export function matches(path: string, bind: Bind): string {
  if (!hasGlob(path)) return `key = ${bind(path)}`
  const directory = directoryOf(path)
  if (path === `${directory}*` && !hasGlob(directory)) return `dir = ${bind(directory)}`
  const glob = `${bind(path)}::text`
  return `(key >= ooo_glob_low(${glob}) AND key < ooo_glob_high(${glob}) AND key ~ ooo_glob_regex(${glob}))`
}

/** The condition that a top-level field, as text, is `text`; the index narrows it by containment. */
export function fieldIs(field: string, text: string): (bind: Bind) => string {
  return (bind) => {
    const name = `${bind(field)}::text`
    const value = `${bind(text)}::text`
    return `(search @> jsonb_build_object(${name}, ${value}) OR search @> jsonb_build_object(${name}, ooo_jsonb(${value}))) AND search ->> ${name} = ${value}`
  }
}

/** The condition that the value contains `json`, by the rules of PostgreSQL's `@>`. */
export function contains(json: string): (bind: Bind) => string {
  return (bind) => `search @> ${bind(json)}::jsonb`
}

/** The condition that one of the segments at these places, counted from 1, is `segment`. */
export function segmentIs(places: readonly number[], segment: string): (bind: Bind) => string {
  return (bind) =>
    `EXISTS (SELECT 1 FROM unnest(${bind([...places])}::int[]) AS place WHERE split_part(key, '/', place) = ${bind(segment)})`
}

/** The condition that an entry comes after (`created`, `key`) in that order. */
export function comesAfter(
  created: bigint,
  key: string,
  order: 'newest' | 'oldest',
): (bind: Bind) => string {
  const sign = order === 'newest' ? '<' : '>'
  return (bind) =>
    `(created, key) ${sign} (${bind(String(created))}::bigint, ${bind(key)}::text COLLATE "C")`
}

/**
 * One page of changes after a seq with the state of the table, all from one snapshot: the first row
 * tells of the table, the others are changes, oldest first, as many as fit in `bytes` (at least one).
 */
export function selectChanges(
  table: string,
  after: number,
  limit: number,
  bytes: number,
): TableStatement {
  return {
    text: `WITH state AS MATERIALIZED (
  SELECT seq, epoch || ':' || ooo_timeline() AS epoch, floor, clock FROM ooo_tables WHERE name = $1
), page AS (
  SELECT *, count(*) OVER () AS total, sum(size) OVER (ORDER BY seq) - size AS before FROM (
    SELECT seq, key, created, updated, version, origin, value,
      coalesce(octet_length(value), 0) AS size
    FROM ${relationOf(table)} WHERE seq > $2::bigint ORDER BY seq LIMIT $3
  ) AS found
)
SELECT 'state' AS kind, seq, epoch AS key, floor AS created, 0::bigint AS updated,
  greatest(ooo_now(), clock) AS version, '' AS origin, NULL AS value, 0::bigint AS total FROM state
UNION ALL
SELECT 'change', seq, key, created, updated, version, origin, value, total
FROM page WHERE before < $4::bigint
ORDER BY kind DESC, seq`,
    values: [table, after, limit, bytes],
  }
}
