/** Looks into and tampers with the database under `PostgresStorage`. */
import pg from 'pg'

/** Runs statements on a connection of its own. */
export async function onDatabase<T>(
  url: string,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** The rows of one statement. */
export async function ask<R extends object>(
  url: string,
  text: string,
  values: readonly unknown[] = [],
): Promise<R[]> {
  return await onDatabase(url, async (client) => (await client.query<R>(text, [...values])).rows)
}

/** Makes the server refuse every write to the rows of a namespace as if its disk were full. The answer ends that. */
export async function failWrites(url: string, namespace: string): Promise<() => Promise<void>> {
  const [row] = await ask<{ id: number }>(url, 'SELECT id FROM ooo_namespaces WHERE name = $1', [
    namespace,
  ])
  const name = `fail_${row?.id}`
  await onDatabase(url, async (client) => {
    await client.query(`CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF coalesce(NEW.namespace, OLD.namespace) = ${row?.id} THEN
          RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
        END IF;
        RETURN coalesce(NEW, OLD);
      END $$`)
    await client.query(
      `CREATE TRIGGER ${name} BEFORE INSERT OR UPDATE OR DELETE ON ooo_rows FOR EACH ROW EXECUTE FUNCTION ${name}()`,
    )
  })
  return () =>
    onDatabase(url, async (client) => {
      await client.query(`DROP TRIGGER ${name} ON ooo_rows`)
      await client.query(`DROP FUNCTION ${name}()`)
    })
}
