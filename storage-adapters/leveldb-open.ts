/** Opening a database: the folder, its lock, its files, the engine, and the evidence of lost batches. */

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  assertNotLocked,
  type Database,
  NUMBER_ROW,
  openDatabase,
  parseNumber,
  repairDatabase,
  whileLocked,
} from './leveldb-database.ts'
import { LevelEngine, type LevelEngineOptions } from './leveldb-engine.ts'
import { codeOf } from './leveldb-errors.ts'
import { makeFolder, syncFolder } from './leveldb-folder.ts'
import { type Findings, inspectFiles, mendFiles } from './leveldb-mend.ts'
import { dropRefused } from './leveldb-refused.ts'
import { Watermark } from './leveldb-watermark.ts'

export interface OpenedEngine {
  readonly engine: LevelEngine
  /** What was damaged, for people; undefined when all was well. */
  readonly damage: string | undefined
}

/** Opens or makes the database of a folder, after mending what is damaged. */
export async function openEngine(options: LevelEngineOptions): Promise<OpenedEngine> {
  const { directory } = options
  await makeFolder(directory)
  await assertNotLocked(directory)
  const watermark = await Watermark.open(directory)
  try {
    const damage: string[] = []
    const database = await openMended(options, watermark.marks.refused, damage)
    try {
      return await begin(options, database, watermark, damage)
    } catch (error) {
      await database.close()
      throw error
    }
  } catch (error) {
    await watermark.close()
    throw error
  }
}

async function openMended(
  options: LevelEngineOptions,
  refused: number,
  damage: string[],
): Promise<Database> {
  const { directory } = options
  await dropRefused(directory, refused)
  const findings = await inspectFiles(directory)
  if (findings.problems.length > 0) damage.push(...(await mend(directory)))
  try {
    return await openDatabase(options)
  } catch (error) {
    // Damage that only the engine sees: let its repair make what it can of the files.
    const reason = error instanceof Error ? error.cause : error
    if (codeOf(reason) !== 'LEVEL_CORRUPTION') throw error
    damage.push(...(await mend(directory, String(reason))))
    return openDatabase(options)
  }
}

/** Looks again under a lock of its own, and mends what is found then. */
async function mend(directory: string, refusal?: string): Promise<string[]> {
  const sentence = await whileLocked(directory, async () => {
    let findings: Findings = await inspectFiles(directory)
    if (refusal !== undefined) {
      const problems = [...findings.problems, `the engine refused it: ${refusal}`]
      findings = { ...findings, problems, rebuild: true }
    }
    if (findings.problems.length === 0) return undefined
    return mendFiles(directory, findings, () => repairDatabase(directory))
  })
  await rm(join(directory, 'mending'), { recursive: true, force: true })
  return sentence === undefined ? [] : [sentence]
}

async function begin(
  options: LevelEngineOptions,
  database: Database,
  watermark: Watermark,
  damage: string[],
): Promise<OpenedEngine> {
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
  const engine = new LevelEngine(options, database, watermark, number)
  return { engine, damage: damage.length === 0 ? undefined : damage.join('; ') }
}
