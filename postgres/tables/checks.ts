/**
 * The check of records in the database itself: constraints on each table, so that whatever writes a row, the
 * functions or plain SQL, writes one that every node takes. They hold for rows written from now on: what an
 * earlier release let in stays, and nodes judge it when they read it.
 */
import { LATEST_STAMP } from '../../src/core/data/clock.ts'
import { MAX_KEY_BYTES, MAX_KEY_SEGMENTS } from '../../src/core/keys/key.ts'
import { DEFAULT_MAX_VALUE_BYTES } from '../../src/core/records/check.ts'
import type { Migration } from '../connection/migrations.ts'

/** What the name of a violated constraint ends with, and what it says of the row. */
export const CHECKS: Readonly<
  Record<string, 'invalid_key' | 'invalid_option' | 'too_large' | undefined>
> = Object.freeze({
  key: 'invalid_key',
  org: 'invalid_option',
  stm: 'invalid_option',
  val: 'too_large',
})

const STAMPS = ['created', 'updated', 'version']
  .map((column) => `${column} BETWEEN 0 AND ${LATEST_STAMP}`)
  .join(' AND ')

const CONSTRAIN = `
CREATE FUNCTION ooo_constrain_table(p_table text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  relation text := 'ooo_t_' || p_table;
BEGIN
  EXECUTE format('ALTER TABLE %1$I DROP CONSTRAINT IF EXISTS %2$I, DROP CONSTRAINT IF EXISTS %3$I,'
    ' DROP CONSTRAINT IF EXISTS %4$I', relation, relation || '_key', relation || '_org', relation || '_stm');
  EXECUTE format($q$
    ALTER TABLE %1$I
      ADD CONSTRAINT %2$I CHECK (length(key) <= ${MAX_KEY_BYTES} AND key !~ '//'
        AND key ~ '^[A-Za-z0-9]([A-Za-z0-9/_.-]*[A-Za-z0-9])?$'
        AND length(key) - length(replace(key, '/', '')) < ${MAX_KEY_SEGMENTS}) NOT VALID,
      ADD CONSTRAINT %3$I CHECK (origin ~ '^[A-Za-z0-9_-]{1,64}$') NOT VALID,
      ADD CONSTRAINT %4$I CHECK (${STAMPS}) NOT VALID
    $q$, relation, relation || '_key', relation || '_org', relation || '_stm');
END
$$
`

const LIMIT = `
CREATE FUNCTION ooo_limit_values(p_table text, p_bytes bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  relation text := 'ooo_t_' || p_table;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('ooo_tables'));
  EXECUTE format('ALTER TABLE %I DROP CONSTRAINT IF EXISTS %I', relation, relation || '_val');
  EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I CHECK (value IS NULL OR octet_length(value) <= %s) NOT VALID',
    relation, relation || '_val', p_bytes);
  UPDATE ooo_tables SET max_value_bytes = p_bytes WHERE name = p_table;
END
$$
`

const RAISE = `
CREATE FUNCTION ooo_raise_value_limit(p_table text, p_bytes bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM ooo_limit_values(name, p_bytes) FROM ooo_tables
    WHERE name = p_table AND max_value_bytes < p_bytes;
END
$$
`

const CREATE = `
CREATE FUNCTION ooo_create_table(p_table text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('ooo_tables'));
  IF EXISTS (SELECT 1 FROM ooo_tables WHERE name = p_table) THEN RETURN; END IF;
  PERFORM ooo_make_table(p_table);
  PERFORM ooo_constrain_table(p_table);
  PERFORM ooo_limit_values(p_table, ${DEFAULT_MAX_VALUE_BYTES});
END
$$
`

export const TABLE_CHECKS: Migration = {
  version: 2,
  statements: [
    `ALTER TABLE ooo_tables ADD COLUMN max_value_bytes bigint NOT NULL DEFAULT ${DEFAULT_MAX_VALUE_BYTES}`,
    CONSTRAIN,
    LIMIT,
    RAISE,
    'ALTER FUNCTION ooo_create_table(text) RENAME TO ooo_make_table',
    CREATE,
    'SELECT ooo_constrain_table(name), ooo_limit_values(name, max_value_bytes) FROM ooo_tables',
  ],
}
