/** Statements with parameters, and their answers. */
import type pg from 'pg'
import { postgresFailure } from './postgres-error.ts'

/** The rows of an answer. `int8` arrives as text, `text` and `json` as text, `int4` as a number. */
export interface Rows<R extends object> {
  readonly rows: R[]
  /** Rows returned or changed. */
  readonly count: number
}

export interface QueryOptions {
  /** Prepares the statement once per connection, under this name: one name, one text. */
  readonly name?: string
}

/** Where statements can be sent: the pool, a transaction, a session or a dedicated connection. */
export interface Queryable {
  /** One statement with its parameters `$1`…; rejects with a `StateError` of `postgresFailure`. */
  query<R extends object>(
    text: string,
    values?: readonly unknown[],
    options?: QueryOptions,
  ): Promise<Rows<R>>
}

/** Sends one statement over a driver's connection. */
export async function sendQuery<R extends object>(
  client: pg.ClientBase,
  target: string,
  text: string,
  values: readonly unknown[],
  { name }: QueryOptions,
): Promise<Rows<R>> {
  try {
    const config = { text, values: [...values], ...(name === undefined ? {} : { name }) }
    const result = await client.query<R>(config)
    return { rows: result.rows, count: result.rowCount ?? 0 }
  } catch (error) {
    throw postgresFailure(error, 'run a statement on', target)
  }
}
