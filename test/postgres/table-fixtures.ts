/** Table APIs that are closed after each test. */
import { afterEach } from 'vitest'
import { PostgresTables, type TableSettings } from '../../postgres/index.ts'

const opened: PostgresTables[] = []

afterEach(async () => {
  await Promise.all(opened.splice(0).map((tables) => tables.close()))
})

export async function openTables(
  url: string,
  settings: TableSettings = {},
): Promise<PostgresTables> {
  const tables = new PostgresTables({ url, ...settings })
  opened.push(tables)
  await tables.open()
  return tables
}
