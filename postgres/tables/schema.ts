/**
 * What the table API keeps in the database: one registry row and one table of keys per named
 * table, and the functions that write them.
 *
 * Every write goes through a function, so that programs which only speak SQL write by the same rules:
 *
 *     SELECT ooo_set('orders', ARRAY['orders/1'], ARRAY['{"total":5}'], 'sql');
 *     SELECT ooo_delete('orders', 'orders/old/*', 'sql');
 *
 * Order of commits, written once: a writer first takes the registry row of its table and holds it to
 * the end of its transaction. So writers of one table follow each other, their seqs and stamps grow
 * in the order in which they become visible, and a reader that has seen seq n has seen everything
 * up to n. Stamps are nanoseconds: the wall clock, or one more than the greatest stamp of the table.
 */

import type { Migration } from '../connection/migrations.ts'
import { TABLE_CHECKS } from './checks.ts'

/** Longest name of a table, characters; its indexes' names still fit PostgreSQL's 63 bytes. */
export const MAX_TABLE_NAME = 48

/** Longest key that tables had at first, characters. */
const FIRST_MAX_KEY = 800

/** SQLSTATE of a stamp that is too far ahead. */
export const AHEAD_STATE = 'OO001'

/** How far a stamp given by a caller may be ahead of its table's clock: a minute, as on a node. */
const MAX_AHEAD_NS = 60_000_000_000n

/** Channel of the wake-up calls: `<table> <seq>`. */
export const TABLE_CHANNEL = 'ooo_tables'

/** The relation that holds a table's rows. */
export function relationOf(table: string): string {
  return `"ooo_t_${table}"`
}

const REGISTRY: readonly string[] = [
  `
CREATE TABLE ooo_tables (
  name text COLLATE "C" PRIMARY KEY,
  epoch text NOT NULL,
  seq bigint NOT NULL DEFAULT 0,
  clock bigint NOT NULL DEFAULT 0,
  floor bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10)
`,
  `
CREATE FUNCTION ooo_now() RETURNS bigint LANGUAGE sql VOLATILE AS $$
  SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000
$$
`,
  `
CREATE FUNCTION ooo_jsonb(value text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  RETURN value::jsonb;
EXCEPTION
  WHEN untranslatable_character OR invalid_text_representation OR numeric_value_out_of_range
    OR program_limit_exceeded OR statement_too_complex OR datatype_mismatch THEN
    RETURN NULL;
END
$$
`,
  `
CREATE FUNCTION ooo_glob_low(glob text) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS $$
  SELECT split_part(glob, '*', 1)
$$
`,
  `
CREATE FUNCTION ooo_glob_high(glob text) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS $$
  SELECT CASE WHEN split_part(glob, '*', 1) = '' THEN '~' ELSE
    left(split_part(glob, '*', 1), -1) || chr(ascii(right(split_part(glob, '*', 1), 1)) + 1) END
$$
`,
  `
CREATE FUNCTION ooo_glob_regex(glob text) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS $$
  SELECT '^' || replace(replace(glob, '.', '\\.'), '*', '[^/]*') || '$'
$$
`,
  `
CREATE FUNCTION ooo_timeline() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  RETURN left(pg_walfile_name(pg_current_wal_lsn()), 8);
EXCEPTION
  WHEN OTHERS THEN RETURN '';
END
$$
`,
]

const DEFINITION: readonly string[] = [
  `
CREATE FUNCTION ooo_create_table(p_table text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF p_table COLLATE "C" !~ '^[a-zA-Z][a-zA-Z0-9_]*$' OR length(p_table) > ${MAX_TABLE_NAME} THEN
    RAISE EXCEPTION 'ooo: table name "%" is not valid', left(p_table, 100) USING ERRCODE = '42602';
  END IF;
  PERFORM pg_advisory_xact_lock(hashtext('ooo_tables'));
  IF EXISTS (SELECT 1 FROM ooo_tables WHERE name = p_table) THEN RETURN; END IF;
  EXECUTE format($q$
    CREATE TABLE %1$I (
      key text COLLATE "C" CONSTRAINT %2$I PRIMARY KEY
        CONSTRAINT %3$I CHECK (length(key) <= ${FIRST_MAX_KEY} AND key !~ '//'
          AND key ~ '^[A-Za-z0-9]([A-Za-z0-9/_.-]*[A-Za-z0-9])?$'),
      created bigint NOT NULL,
      updated bigint NOT NULL,
      version bigint NOT NULL,
      origin text COLLATE "C" NOT NULL,
      seq bigint NOT NULL,
      value text,
      dir text COLLATE "C" NOT NULL
        GENERATED ALWAYS AS (regexp_replace(key, '[^/]*$', '')) STORED,
      search jsonb GENERATED ALWAYS AS (ooo_jsonb(value)) STORED
    )$q$,
    'ooo_t_' || p_table, 'ooo_t_' || p_table || '_pk', 'ooo_t_' || p_table || '_key');
  EXECUTE format('CREATE UNIQUE INDEX %I ON %I (seq)',
    'ooo_t_' || p_table || '_seq', 'ooo_t_' || p_table);
  EXECUTE format('CREATE INDEX %I ON %I (dir, created, key) WHERE value IS NOT NULL',
    'ooo_t_' || p_table || '_dir', 'ooo_t_' || p_table);
  EXECUTE format('CREATE INDEX %I ON %I (created, key) WHERE value IS NOT NULL',
    'ooo_t_' || p_table || '_crt', 'ooo_t_' || p_table);
  EXECUTE format('CREATE INDEX %I ON %I (updated) WHERE value IS NOT NULL AND updated > 0',
    'ooo_t_' || p_table || '_upd', 'ooo_t_' || p_table);
  EXECUTE format('CREATE INDEX %I ON %I (version) WHERE value IS NULL',
    'ooo_t_' || p_table || '_del', 'ooo_t_' || p_table);
  EXECUTE format('CREATE INDEX %I ON %I USING gin (search jsonb_path_ops) WHERE value IS NOT NULL',
    'ooo_t_' || p_table || '_jsn', 'ooo_t_' || p_table);
  INSERT INTO ooo_tables (name, epoch) VALUES (p_table, gen_random_uuid()::text);
END
$$
`,
  `
CREATE FUNCTION ooo_drop_table(p_table text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('ooo_tables'));
  DELETE FROM ooo_tables WHERE name = p_table;
  IF NOT FOUND THEN RETURN; END IF;
  EXECUTE format('DROP TABLE IF EXISTS %I', 'ooo_t_' || p_table);
  PERFORM pg_notify('${TABLE_CHANNEL}', p_table || ' 0');
END
$$
`,
  `
CREATE FUNCTION ooo_table_take(p_table text, p_changes bigint, OUT top_seq bigint, OUT top_stamp bigint)
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE ooo_tables SET seq = seq + p_changes, clock = greatest(clock + p_changes, ooo_now())
    WHERE name = p_table RETURNING seq, clock INTO top_seq, top_stamp;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'ooo: there is no table "%"', left(p_table, 100) USING ERRCODE = '42P01';
  END IF;
END
$$
`,
  `
CREATE FUNCTION ooo_table_advance(p_table text, p_changes bigint, p_clock bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE top bigint;
BEGIN
  UPDATE ooo_tables SET seq = seq + p_changes, clock = greatest(clock, p_clock)
    WHERE name = p_table RETURNING seq INTO top;
  PERFORM pg_notify('${TABLE_CHANNEL}', p_table || ' ' || top);
END
$$
`,
]

const WRITES: readonly string[] = [
  `
CREATE FUNCTION ooo_set(p_table text, p_keys text[], p_values text[], p_origin text)
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
  n bigint := cardinality(p_keys);
  took record;
BEGIN
  IF n = 0 THEN RETURN ARRAY[]::bigint[]; END IF;
  IF n <> cardinality(p_values) THEN
    RAISE EXCEPTION 'ooo: % keys but % values', n, cardinality(p_values) USING ERRCODE = '22023';
  END IF;
  SELECT * INTO took FROM ooo_table_take(p_table, n);
  EXECUTE format($q$
    INSERT INTO %I AS r (key, created, updated, version, origin, seq, value)
      SELECT k, $4 - $5 + i, 0, $4 - $5 + i, $3, $6 - $5 + i, coalesce(v, 'null')::json::text
      FROM unnest($1, $2) WITH ORDINALITY AS x (k, v, i)
    ON CONFLICT (key) DO UPDATE SET
      created = CASE WHEN r.value IS NULL THEN excluded.created ELSE r.created END,
      updated = CASE WHEN r.value IS NULL THEN 0 ELSE excluded.version END,
      version = excluded.version, origin = excluded.origin,
      seq = excluded.seq, value = excluded.value
    $q$, 'ooo_t_' || p_table)
    USING p_keys, p_values, p_origin, took.top_stamp, n, took.top_seq;
  PERFORM pg_notify('${TABLE_CHANNEL}', p_table || ' ' || took.top_seq);
  RETURN ARRAY(SELECT took.top_stamp - n + i FROM generate_series(1, n) AS i ORDER BY i);
END
$$
`,
  `
CREATE FUNCTION ooo_put(p_table text, p_keys text[], p_created bigint[], p_updated bigint[],
  p_values text[], p_origin text, p_only_absent boolean)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  n bigint := cardinality(p_keys);
  took record;
  done bigint;
  newest bigint;
BEGIN
  IF n = 0 THEN RETURN 0; END IF;
  SELECT * INTO took FROM ooo_table_take(p_table, 0);
  SELECT max(greatest(c, u)) INTO newest FROM unnest(p_created, p_updated) AS x (c, u);
  IF newest > took.top_stamp + ${MAX_AHEAD_NS} THEN
    RAISE EXCEPTION 'ooo: stamp % is % ms ahead of table "%", 60000 allowed',
      newest, (newest - took.top_stamp) / 1000000, p_table USING ERRCODE = '${AHEAD_STATE}';
  END IF;
  EXECUTE format($q$
    INSERT INTO %I AS r (key, created, updated, version, origin, seq, value)
      SELECT k, c, u, greatest(c, u), $5, $6 + i, v::json::text
      FROM unnest($1, $2, $3, $4) WITH ORDINALITY AS x (k, c, u, v, i)
    ON CONFLICT (key) DO UPDATE SET
      created = excluded.created, updated = excluded.updated, version = excluded.version,
      origin = excluded.origin, seq = excluded.seq, value = excluded.value
    WHERE NOT $7 OR (r.value IS NULL AND r.version < excluded.version)
    $q$, 'ooo_t_' || p_table)
    USING p_keys, p_created, p_updated, p_values, p_origin, took.top_seq, p_only_absent;
  GET DIAGNOSTICS done = ROW_COUNT;
  IF done > 0 THEN
    PERFORM ooo_table_advance(p_table, n, newest);
  END IF;
  RETURN done;
END
$$
`,
  `
CREATE FUNCTION ooo_delete(p_table text, p_glob text, p_origin text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  took record;
  done bigint;
BEGIN
  SELECT * INTO took FROM ooo_table_take(p_table, 0);
  EXECUTE format($q$
    WITH hit AS (
      SELECT key AS hit_key, row_number() OVER (ORDER BY key) AS i FROM %1$I
      WHERE value IS NOT NULL AND ($1 IS NULL OR ($1 NOT LIKE '%%*%%' AND key = $1)
        OR ($1 LIKE '%%*%%' AND key >= ooo_glob_low($1) AND key < ooo_glob_high($1)
          AND key ~ ooo_glob_regex($1)))
    )
    UPDATE %1$I AS r SET created = 0, updated = 0, version = $2 + 1, origin = $3, seq = $4 + i,
      value = NULL
    FROM hit WHERE r.key = hit_key
    $q$, 'ooo_t_' || p_table)
    USING p_glob, took.top_stamp, p_origin, took.top_seq;
  GET DIAGNOSTICS done = ROW_COUNT;
  IF done > 0 THEN PERFORM ooo_table_advance(p_table, done, took.top_stamp + 1); END IF;
  RETURN done;
END
$$
`,
]

const REPLICATION: readonly string[] = [
  `
CREATE FUNCTION ooo_merge(p_table text, p_keys text[], p_created bigint[], p_updated bigint[],
  p_versions bigint[], p_origins text[], p_values text[])
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  n bigint := cardinality(p_keys);
  took record;
  done bigint;
BEGIN
  IF n = 0 THEN RETURN 0; END IF;
  SELECT * INTO took FROM ooo_table_take(p_table, 0);
  EXECUTE format($q$
    INSERT INTO %I AS r (key, created, updated, version, origin, seq, value)
      SELECT k, c, u, s, o, $7 + i, v::json::text
      FROM unnest($1, $2, $3, $4, $5, $6) WITH ORDINALITY AS x (k, c, u, s, o, v, i)
    ON CONFLICT (key) DO UPDATE SET
      created = excluded.created, updated = excluded.updated, version = excluded.version,
      origin = excluded.origin, seq = excluded.seq, value = excluded.value
    WHERE (excluded.version, excluded.value IS NULL, excluded.origin)
      > (r.version, r.value IS NULL, r.origin)
    $q$, 'ooo_t_' || p_table)
    USING p_keys, p_created, p_updated, p_versions, p_origins, p_values, took.top_seq;
  GET DIAGNOSTICS done = ROW_COUNT;
  IF done > 0 THEN
    PERFORM ooo_table_advance(p_table, n, (SELECT max(s) FROM unnest(p_versions) AS s));
  END IF;
  RETURN done;
END
$$
`,
  `
CREATE FUNCTION ooo_table_compact(p_table text, p_before bigint, p_limit bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  gone bigint;
  top bigint;
BEGIN
  PERFORM ooo_table_take(p_table, 0);
  EXECUTE format($q$
    WITH old AS (
      SELECT key AS old_key FROM %1$I WHERE value IS NULL AND version < $1 ORDER BY version LIMIT $2
    ), deleted AS (DELETE FROM %1$I USING old WHERE key = old_key RETURNING seq)
    SELECT count(*), max(seq) FROM deleted
    $q$, 'ooo_t_' || p_table) INTO gone, top USING p_before, p_limit;
  UPDATE ooo_tables SET floor = greatest(floor, coalesce(top, 0)) WHERE name = p_table;
  RETURN gone;
END
$$
`,
]

/** The steps that bring a database's part of the table API to this release. */
export const TABLE_MIGRATIONS: readonly Migration[] = [
  { version: 1, statements: [...REGISTRY, ...DEFINITION, ...WRITES, ...REPLICATION] },
  TABLE_CHECKS,
]
