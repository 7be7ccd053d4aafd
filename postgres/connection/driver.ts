/**
 * The driver, loaded when it is first used: commands and nodes that touch no database do without its memory,
 * some 5 MB.
 */
import { createRequire } from 'node:module'
import type pg from 'pg'

const load = createRequire(import.meta.url)

/** The driver's own exports. The first call reads its files. */
export function driver(): typeof pg {
  return load('pg') as typeof pg
}
