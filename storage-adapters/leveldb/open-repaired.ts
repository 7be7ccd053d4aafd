/** Opening a database after looking through its files, and repairing what is damaged. */

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type Database,
  type DatabaseOptions,
  openDatabase,
  repairDatabase,
  whileLocked,
} from './files/database.ts'
import { codeOf } from './files/errors.ts'
import { type Findings, inspectFiles } from './files/inspect.ts'
import { truncateRejectedBatch } from './files/rejected-batch.ts'
import { repairFiles } from './files/repair.ts'

export interface RepairedDatabase {
  readonly database: Database
  /** What was damaged, in sentences for people. */
  readonly damage: readonly string[]
}

/**
 * Opens the database of a folder, which must not be in use. All files are read in full when what a look at
 * `checkedBytes` of them shows is damaged, and when the engine refuses to open.
 * @param refused number of the batch that must not come back
 */
export async function openRepaired(
  options: DatabaseOptions,
  refused: number,
  checkedBytes: number,
): Promise<RepairedDatabase> {
  const { directory } = options
  await truncateRejectedBatch(directory, refused)
  const damage: string[] = []
  const { problems } = await inspectFiles(directory, checkedBytes)
  if (problems.length > 0) damage.push(...(await repairFolder(directory, refused)))
  try {
    return { database: await openDatabase(options), damage }
  } catch (error) {
    const reason = error instanceof Error ? error.cause : error
    if (codeOf(reason) !== 'LEVEL_CORRUPTION') throw error
    const findings = await repairFolder(directory, refused)
    // Damage that only the engine sees: let its repair make what it can of the files.
    damage.push(...findings)
    if (findings.length === 0)
      damage.push(...(await repairFolder(directory, refused, String(reason))))
    return { database: await openDatabase(options), damage }
  }
}

/** Looks again under a lock of its own, and repairs what is found then. */
async function repairFolder(
  directory: string,
  refused: number,
  refusal?: string,
): Promise<string[]> {
  const sentence = await whileLocked(directory, async () => {
    let findings: Findings = await inspectFiles(directory, Number.POSITIVE_INFINITY)
    if (refusal !== undefined) {
      const problems = [...findings.problems, `the engine refused it: ${refusal}`]
      findings = { ...findings, problems, rebuild: true }
    }
    if (findings.problems.length === 0) return undefined
    const repairs = await repairFiles(directory, findings, () => repairDatabase(directory))
    // It can be read only now.
    await truncateRejectedBatch(directory, refused)
    return repairs
  })
  await rm(join(directory, 'mending'), { recursive: true, force: true })
  return sentence === undefined ? [] : [sentence]
}
