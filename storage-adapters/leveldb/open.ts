/** Opening a database: the folder, its lock, its files, the engine, and the evidence of lost batches. */

import { LevelEngine, type LevelEngineOptions, type OpenedDatabase } from './engine.ts'
import { assertNotLocked, NUMBER_ROW, parseNumber } from './files/database.ts'
import { levelFailure } from './files/errors.ts'
import { makeFolder, syncFolder } from './files/folder.ts'
import { openRepaired } from './open-repaired.ts'
import { Reserve } from './reserve.ts'
import { StartMark } from './start-mark.ts'
import { Watermark } from './watermark.ts'

/** Opens or makes the database of a folder, after repairing what is damaged. Where there is no room, on its reserve. */
export async function openEngine(options: LevelEngineOptions): Promise<LevelEngine> {
  const reserve = new Reserve(options.directory, options.reserveBytes)
  try {
    return await openOnce(options, reserve)
  } catch (error) {
    const isFull = levelFailure('open', options.directory, error).code === 'storage_full'
    if (!isFull || !(await reserve.spend())) throw error
    return openOnce(options, reserve)
  }
}

async function openOnce(options: LevelEngineOptions, reserve: Reserve): Promise<LevelEngine> {
  const { directory } = options
  await makeFolder(directory)
  await assertNotLocked(directory)
  const watermark = await Watermark.open(directory)
  const starts = await StartMark.begin(directory)
  try {
    const checkedBytes = starts.mayHaveDied ? Number.POSITIVE_INFINITY : options.checkedBytes
    const { database, damage } = await openRepaired(options, watermark.marks.refused, checkedBytes)
    try {
      return await begin(options, { database, watermark, starts, damage, reserve })
    } catch (error) {
      await database.close()
      throw error
    }
  } catch (error) {
    await starts.end()
    await watermark.close()
    throw error
  }
}

async function begin(
  options: LevelEngineOptions,
  opened: Omit<OpenedDatabase, 'acknowledged'>,
): Promise<LevelEngine> {
  const { directory } = options
  const { database, watermark } = opened
  const damage = [...opened.damage]
  const number = parseNumber(await database.get(NUMBER_ROW))?.number ?? 0
  const { acknowledged } = watermark.marks
  if (acknowledged > number) {
    const lost = `batches ${number + 1} to ${acknowledged} were acknowledged and are missing`
    damage.push(`storage: folder "${directory}": ${lost}`)
  }
  // What the engine has just made must be listed before anything in it counts as durable.
  await syncFolder(directory)
  watermark.acknowledge(number)
  if (!opened.reserve.isSpent) await opened.reserve.provide()
  return new LevelEngine(options, { ...opened, acknowledged: number, damage })
}
