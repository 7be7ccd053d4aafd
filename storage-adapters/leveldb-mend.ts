/**
 * Looks through the files of a database before the engine opens it, and mends what is damaged so
 * far as that is possible. Left to itself the engine drops damaged log records without a word,
 * serves damaged blocks, and takes a missing CURRENT for a new database, deleting all others' files.
 *
 * Nothing is lost in silence: damaged files are first copied to the folder `damaged-files` below
 * the database (one copy, of the newest damage), and what was done is told in sentences.
 */

import { copyFile, mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { NUMBER_ROW, numberOfBatch, parseNumber } from './leveldb-database.ts'
import { blankBadParts, readLogFile } from './leveldb-log.ts'
import { type Manifest, readManifest } from './leveldb-manifest.ts'
import { firstValue, isSoundTable, salvageTable } from './leveldb-table.ts'

/** Where copies of damaged files are kept, below the database's folder. */
export const DAMAGED_FOLDER = 'damaged-files'
/** Where the engine's repair puts what it has read. */
const ENGINE_LOST_FOLDER = 'lost'

/** What looking through the files found. */
export interface Findings {
  /** What is wrong, one phrase each; empty when all is well. */
  readonly problems: readonly string[]
  /** Files of the folder to copy aside. */
  readonly damagedFiles: readonly string[]
  readonly damagedTables: readonly string[]
  readonly damagedLogs: readonly string[]
  /** True when the list of files can not be used as it is and must be made anew. */
  readonly rebuild: boolean
  /** Files that are no longer in use; undefined when the list of files does not tell. */
  readonly unused: readonly string[] | undefined
}

/** Makes the list of files anew from the files; the engine's own repair. */
export type Repair = () => Promise<void>

/**
 * Reads every file of the database once. Numbers of batches that are left out, between the sorted
 * files and the logs or within the logs, mean that batches are.
 */
export async function inspectFiles(directory: string): Promise<Findings> {
  const names = await readdir(directory)
  const tables = new Map(numbered(names, /^(\d+)\.(?:ldb|sst)$/))
  const logs = numbered(names, /^(\d+)\.log$/).sort(([a], [b]) => a - b)
  const found = new Found()
  const manifest = await inspectManifest(directory, names, found, tables.size + logs.length > 0)
  let newest = 0
  const inUse = manifest === undefined ? [...tables.keys()] : [...manifest.tables.keys()]
  for (const number of inUse) {
    const name = tables.get(number)
    if (name === undefined) found.lostFile(`sorted file ${number} is missing`)
    else {
      const size = manifest?.tables.get(number)
      newest = Math.max(newest, await inspectTable(directory, name, size, found))
    }
  }
  const needed = logs.filter(([number]) => number >= (manifest?.logNumber ?? 0))
  if (manifest !== undefined && manifest.logNumber > 0 && needed[0]?.[0] !== manifest.logNumber) {
    found.lostFile(`log ${manifest.logNumber} is missing`)
  }
  const logNames = needed.map(([, name]) => name)
  // Damaged sorted files do not tell what the newest batch in them is.
  await inspectLogs(directory, logNames, found.isEmpty ? newest : undefined, found)
  return found.findings(manifest, tables, logs)
}

/** Mends what `findings` tell; gives a sentence for people. The folder must not be in use. */
export async function mendFiles(
  directory: string,
  findings: Findings,
  repair: Repair,
): Promise<string> {
  const aside = join(directory, DAMAGED_FOLDER)
  await rm(aside, { recursive: true, force: true })
  await mkdir(aside)
  for (const name of findings.damagedFiles) await copyFile(join(directory, name), join(aside, name))
  const done: string[] = []
  for (const name of findings.damagedTables) done.push(await mendTable(join(directory, name)))
  for (const name of findings.damagedLogs) await mendLog(join(directory, name))
  if (findings.rebuild || findings.damagedTables.length > 0) {
    for (const name of findings.unused ?? []) await rm(join(directory, name), { force: true })
    await repair()
    await rm(join(directory, ENGINE_LOST_FOLDER), { recursive: true, force: true })
  }
  const what = [...findings.problems, ...done].join('; ')
  return `storage: folder "${directory}" was damaged: ${what}; the damaged files are kept in "${aside}"`
}

/** Collects what is wrong. */
class Found {
  readonly #problems: string[] = []
  readonly #files: string[] = []
  readonly #tables: string[] = []
  readonly #logs: string[] = []
  #rebuild = false
  #lost = false

  get isEmpty(): boolean {
    return this.#problems.length === 0
  }

  damaged(name: string, kind: 'table' | 'log' | 'list', problem: string): void {
    this.#problems.push(problem)
    if (!this.#files.includes(name)) this.#files.push(name)
    if (kind === 'table') this.#tables.push(name)
    else if (kind === 'log') this.#logs.push(name)
    else this.#rebuild = true
  }

  lostFile(problem: string): void {
    this.#problems.push(problem)
    this.#rebuild = true
    this.#lost = true
  }

  /** Batches are missing, though no file shows where. */
  lostBatches(problem: string): void {
    this.#problems.push(problem)
  }

  /** A list of files that misses some may be an old one: then no file counts as unused. */
  findings(
    manifest: Manifest | undefined,
    tables: ReadonlyMap<number, string>,
    logs: readonly (readonly [number, string])[],
  ): Findings {
    const known = manifest !== undefined && !this.#lost && !this.#rebuild
    return {
      problems: this.#problems,
      damagedFiles: this.#files,
      damagedTables: this.#tables,
      damagedLogs: this.#logs,
      rebuild: this.#rebuild,
      unused: known
        ? [
            ...[...tables].flatMap(([number, name]) => (manifest.tables.has(number) ? [] : name)),
            ...logs.flatMap(([number, name]) => (number < manifest.logNumber ? name : [])),
          ]
        : undefined,
    }
  }
}

/** The list of files; undefined when there is none, which is a problem only where there is data. */
async function inspectManifest(
  directory: string,
  names: readonly string[],
  found: Found,
  hasData: boolean,
): Promise<Manifest | undefined> {
  if (!names.includes('CURRENT')) {
    if (hasData) found.lostFile('CURRENT is missing')
    return undefined
  }
  const current = await readFile(join(directory, 'CURRENT'), 'latin1')
  const name = /^(MANIFEST-\d+)\n$/.exec(current)?.[1]
  if (name === undefined || !names.includes(name)) {
    found.damaged('CURRENT', 'list', 'CURRENT names no list of files')
    for (const other of names)
      if (other.startsWith('MANIFEST-')) found.damaged(other, 'list', `${other} is in doubt`)
    return undefined
  }
  const manifest = readManifest(await readFile(join(directory, name)))
  if (manifest === undefined) found.damaged(name, 'list', `${name} is damaged`)
  return manifest
}

/** Gives the number of the newest batch in the file, 0 when it does not tell. */
async function inspectTable(
  directory: string,
  name: string,
  size: number | undefined,
  found: Found,
): Promise<number> {
  const bytes = await readFile(join(directory, name))
  if (size !== undefined && bytes.length !== size) {
    found.damaged(name, 'table', `${name} has ${bytes.length} bytes instead of ${size}`)
  } else if (!isSoundTable(bytes)) {
    found.damaged(name, 'table', `${name} does not match its checksums`)
  }
  return parseNumber(firstValue(bytes, NUMBER_ROW))?.number ?? 0
}

async function inspectLogs(
  directory: string,
  names: readonly string[],
  newest: number | undefined,
  found: Found,
): Promise<void> {
  let last = newest
  for (const name of names) {
    const { records, damaged } = readLogFile(await readFile(join(directory, name)))
    if (damaged) found.damaged(name, 'log', `${name} has records that do not match their checksums`)
    for (const record of records) {
      const batch = numberOfBatch(record)
      if (batch === undefined) continue
      if (last !== undefined && batch.previous > last) {
        found.lostBatches(
          `batches ${last + 1} to ${batch.previous} are missing before ${name} goes on`,
        )
      }
      last = Math.max(last ?? 0, batch.number)
    }
  }
}

/** Replaces a sorted file by one of its readable blocks, or removes it when none is. */
async function mendTable(path: string): Promise<string> {
  const { bytes, keptBlocks, lostBlocks } = salvageTable(await readFile(path))
  if (bytes === undefined) {
    await rm(path)
    return `nothing of ${basename(path)} could be read`
  }
  await replaceFile(path, bytes)
  const lost = lostBlocks === undefined ? 'an unknown number of' : String(lostBlocks)
  return `${keptBlocks} blocks of ${basename(path)} were kept and ${lost} are lost`
}

/** The engine's repair reads logs without a look at checksums: what is damaged must not be there. */
async function mendLog(path: string): Promise<void> {
  const bytes = await readFile(path)
  await replaceFile(path, blankBadParts(bytes, readLogFile(bytes)))
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

function numbered(names: readonly string[], pattern: RegExp): [number: number, name: string][] {
  return names.flatMap((name): [number, string][] => {
    const digits = pattern.exec(name)?.[1]
    return digits === undefined ? [] : [[Number(digits), name]]
  })
}
