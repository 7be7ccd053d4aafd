/** Opening a database: the folder, its lock, its files, the engine, and the evidence of lost batches. */

import { assertNotLocked, type Database, NUMBER_ROW, parseNumber } from './leveldb-database.ts'
import { LevelEngine, type LevelEngineOptions } from './leveldb-engine.ts'
import { makeFolder, syncFolder } from './leveldb-folder.ts'
import { openMended } from './leveldb-mended.ts'
import { Watermark } from './leveldb-watermark.ts'

/** Opens or makes the database of a folder, after mending what is damaged. */
export async function openEngine(options: LevelEngineOptions): Promise<LevelEngine> {
  const { directory } = options
  await makeFolder(directory)
  await assertNotLocked(directory)
  const watermark = await Watermark.open(directory)
  try {
    const { database, damage } = await openMended(options, watermark.marks.refused, 'ends')
    try {
      return await begin(options, database, watermark, [...damage])
    } catch (error) {
      await database.close()
      throw error
    }
  } catch (error) {
    await watermark.close()
    throw error
  }
}

async function begin(
  options: LevelEngineOptions,
  database: Database,
  watermark: Watermark,
  damage: string[],
): Promise<LevelEngine> {
  const { directory } = options
  const number = parseNumber(await database.get(NUMBER_ROW))?.number ?? 0
  const { acknowledged } = watermark.marks
  if (acknowledged > number) {
    const lost = `batches ${number + 1} to ${acknowledged} were acknowledged and are missing`
    damage.push(`storage: folder "${directory}": ${lost}`)
  }
  // What the engine has just made must be listed before anything in it counts as durable.
  await syncFolder(directory)
  watermark.acknowledge(number)
  return new LevelEngine(options, { database, watermark, acknowledged: number, damage })
}
