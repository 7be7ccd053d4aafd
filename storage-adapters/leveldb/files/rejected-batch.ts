/**
 * Taking a refused batch out of the logs. LevelDB may have written its record, whole, before the
 * write failed; opened again, it would apply it. Nothing is written behind such a record, so the
 * log can be cut off where it starts, which needs no space.
 */

import { readFile, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { numberOfBatch } from './database.ts'
import { logFiles } from './folder.ts'
import { readLogFile } from './log.ts'

/** Cuts off the batch with that number, if a log of the closed database ends with it. */
export async function truncateRejectedBatch(directory: string, refused: number): Promise<void> {
  if (refused === 0) return
  for (const { name } of await logFiles(directory)) {
    const path = join(directory, name)
    const { records, starts } = readLogFile(await readFile(path))
    const last = records.at(-1)
    const start = starts.at(-1)
    if (last === undefined || numberOfBatch(last)?.number !== refused) continue
    // Not synced, which the disk may just fail to do: the number stays noted and is looked for again.
    await truncate(path, start)
  }
}
