/**
 * Repairs the damaged files of a database that is not open, as far as that is possible. Nothing is lost in
 * silence: damaged files are first copied to the folder `damaged-files` below the database (one copy, of
 * the newest damage), and what was done is told in sentences.
 */

import { copyFile, mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { syncFolder } from './folder.ts'
import type { Findings } from './inspect.ts'
import { repairLog } from './log.ts'
import { firstRow, isSoundTable } from './table.ts'
import { type RepairedTable, repairTable } from './table-repair.ts'

/** Where copies of damaged files are kept, below the database's folder. */
export const DAMAGED_FOLDER = 'damaged-files'
/** Where the engine's repair puts what it has read. */
const ENGINE_LOST_FOLDER = 'lost'

/** Makes the list of files again from the files; the engine's own repair. */
export type Repair = () => Promise<void>

/** Repairs what `findings` tell; gives a sentence for people. The folder must not be in use. */
export async function repairFiles(
  directory: string,
  findings: Findings,
  repair: Repair,
): Promise<string> {
  const aside = join(directory, DAMAGED_FOLDER)
  await rm(aside, { recursive: true, force: true })
  await mkdir(aside)
  for (const name of findings.damagedFiles) await copyFile(join(directory, name), join(aside, name))
  const done: string[] = []
  let { rebuild } = findings
  for (const { name, size } of findings.damagedTables) {
    const repaired = repairTable(await readFile(join(directory, name)), size)
    await replaceFile(join(directory, name), repaired.bytes)
    done.push(outcomeOf(name, repaired))
    // The list of files says how long each is: that must be told again.
    if (size !== undefined && repaired.bytes.length !== size) rebuild = true
  }
  for (const name of findings.damagedLogs) done.push(await repairLogFile(directory, name))
  if (rebuild) {
    for (const name of findings.unused ?? []) await rm(join(directory, name), { force: true })
    await removeEmptyTables(directory)
    await repair()
    await rm(join(directory, ENGINE_LOST_FOLDER), { recursive: true, force: true })
  } else if (findings.current !== undefined) {
    await replaceFile(join(directory, 'CURRENT'), Buffer.from(`${findings.current}\n`))
  }
  await syncFolder(directory)
  const what = [...findings.problems, ...done].join('; ')
  return `storage: folder "${directory}" was damaged: ${what}; the damaged files are kept in "${aside}"`
}

function outcomeOf(name: string, repaired: RepairedTable): string {
  const { isWhole, wholeBlocks, damagedBlocks, rowsOfDamaged } = repaired
  if (isWhole) return `nothing of ${name} is lost`
  if (wholeBlocks + rowsOfDamaged === 0) return `nothing of ${name} could be read`
  return `of ${name} ${wholeBlocks} blocks were kept whole, and ${rowsOfDamaged} rows of ${damagedBlocks} damaged ones`
}

/** Sets flipped bits right, and leaves out what can not be read: the engine's repair looks at no checksums. */
async function repairLogFile(directory: string, name: string): Promise<string> {
  const { bytes, content } = repairLog(await readFile(join(directory, name)))
  if (bytes !== undefined) await replaceFile(join(directory, name), bytes)
  if (!content.damaged) return `nothing of ${name} is lost`
  return `of ${name} ${content.records.length} batches were kept`
}

/** The engine's repair ends the process at a file without rows. */
async function removeEmptyTables(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!/^\d+\.(?:ldb|sst)$/.test(name)) continue
    const bytes = await readFile(join(directory, name))
    if (isSoundTable(bytes) && firstRow(bytes) === undefined) await rm(join(directory, name))
  }
}

async function replaceFile(path: string, bytes: Buffer): Promise<void> {
  const next = `${path}.mended`
  await writeFile(next, bytes)
  const file = await open(next, 'r+')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(next, path)
}
