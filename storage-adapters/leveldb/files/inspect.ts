/**
 * Looks through the files of a database that is not open. The engine itself drops damaged log records
 * without a word, reads blocks without a look at their checksums, and takes a missing CURRENT for a new
 * database, deleting all others' files.
 */

import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { BlockRow } from './block.ts'
import { NUMBER_ROW, numberOfBatch, parseNumber } from './database.ts'
import { repairLog } from './log.ts'
import { type Manifest, readManifest } from './manifest.ts'
import { firstRow, isSoundTable, readTableEnds } from './table.ts'

/** What looking through the files found. */
export interface Findings {
  /** What is wrong, one phrase each; empty when all is well. */
  readonly problems: readonly string[]
  /** Files of the folder to copy aside. */
  readonly damagedFiles: readonly string[]
  /** Damaged sorted files, with the bytes each must have, when the list of files tells. */
  readonly damagedTables: readonly { readonly name: string; readonly size: number | undefined }[]
  /** Damaged logs, and lists of files where flipped bits can be set right. */
  readonly damagedLogs: readonly string[]
  /** The list of files that CURRENT must name. */
  readonly current: string | undefined
  /** True when the list of files can not be used as it is and must be made again. */
  readonly rebuild: boolean
  /** Files that are no longer in use; undefined when the list of files does not tell. */
  readonly unused: readonly string[] | undefined
}

interface List {
  readonly name: string
  readonly manifest: Manifest
  /** Flipped bits in it can be set right. */
  readonly isFlipped: boolean
}

interface InspectedTable {
  readonly name: string
  /** Bytes it must have; undefined when no list tells. */
  readonly size: number | undefined
  /** Bytes it has. */
  readonly length: number
  /** It is read in full. */
  readonly isChecked: boolean
}

/** Collects what is wrong. */
class Found {
  readonly problems: string[] = []
  readonly files = new Set<string>()
  readonly tables: { name: string; size: number | undefined }[] = []
  readonly logs: string[] = []
  current: string | undefined
  rebuild = false
  /** A list of files that misses some may be an old one: then no file counts as unused. */
  isListInDoubt = false

  damaged(name: string, problem: string): void {
    this.problems.push(problem)
    this.files.add(name)
  }

  damagedList(name: string, problem: string): void {
    this.damaged(name, problem)
    this.rebuild = true
    this.isListInDoubt = true
  }

  lostFile(problem: string): void {
    this.problems.push(problem)
    this.rebuild = true
    this.isListInDoubt = true
  }
}

/**
 * Reads lists of files, logs, and of each sorted file what finds its rows; of the newest sorted files, up
 * to `checkedBytes` together, everything. What is damaged in other blocks of rows shows when they are read.
 *
 * Numbers of batches that are left out, between the sorted files and the logs or within the logs, mean
 * that batches are.
 */
export async function inspectFiles(directory: string, checkedBytes: number): Promise<Findings> {
  const names = await readdir(directory)
  const tables = new Map(numbered(names, /^(\d+)\.(?:ldb|sst)$/))
  const logs = numbered(names, /^(\d+)\.log$/).sort(([a], [b]) => a - b)
  const found = new Found()
  const manifest = await inspectList(directory, names, found, tables.size + logs.length > 0)
  let newest = 0
  let budget = checkedBytes
  const inUse = [...(manifest?.tables ?? tables).keys()].sort((a, b) => b - a)
  for (const number of inUse) {
    const name = tables.get(number)
    if (name === undefined) found.lostFile(`sorted file ${number} is missing`)
    else {
      const length = (await stat(join(directory, name))).size
      const isChecked = length <= budget
      budget -= isChecked ? length : 0
      const table = { name, size: manifest?.tables.get(number), length, isChecked }
      newest = Math.max(newest, await inspectTable(directory, table, found))
    }
  }
  const needed = logs.filter(([number]) => number >= (manifest?.logNumber ?? 0))
  if (manifest !== undefined && manifest.logNumber > 0 && needed[0]?.[0] !== manifest.logNumber) {
    found.lostFile(`log ${manifest.logNumber} is missing`)
  }
  const logNames = needed.map(([, name]) => name)
  // Damaged sorted files do not tell what the newest batch in them is.
  const isNewestKnown = found.problems.length === 0
  await inspectLogs(directory, logNames, isNewestKnown ? newest : undefined, found)
  return findings(found, found.isListInDoubt ? undefined : manifest, tables, logs)
}

function findings(
  found: Found,
  manifest: Manifest | undefined,
  tables: ReadonlyMap<number, string>,
  logs: readonly (readonly [number, string])[],
): Findings {
  return {
    problems: found.problems,
    damagedFiles: [...found.files],
    damagedTables: found.tables,
    damagedLogs: found.logs,
    current: found.current,
    rebuild: found.rebuild,
    unused: manifest && [
      ...[...tables].flatMap(([number, name]) => (manifest.tables.has(number) ? [] : name)),
      ...logs.flatMap(([number, name]) => (number < manifest.logNumber ? name : [])),
    ],
  }
}

/** The list of files; undefined when there is none, which is a problem only where there is data. */
async function inspectList(
  directory: string,
  names: readonly string[],
  found: Found,
  hasData: boolean,
): Promise<Manifest | undefined> {
  const lists = numbered(names, /^MANIFEST-(\d+)$/).sort(([a], [b]) => b - a)
  if (names.includes('CURRENT')) {
    const current = await readFile(join(directory, 'CURRENT'), 'latin1')
    const named = lists.find(([, name]) => current === `${name}\n`)
    if (named !== undefined) return inspectNamed(directory, named[1], found)
    found.damaged('CURRENT', 'CURRENT names no list of files')
  } else {
    if (!hasData) return undefined
    found.problems.push('CURRENT is missing')
  }
  // The newest list that names no file that is not there is the one.
  for (const [, name] of lists) {
    const list = await readList(directory, name)
    if (list === undefined || !isComplete(list.manifest, names)) continue
    found.current = name
    takeList(list, found)
    return list.manifest
  }
  for (const [, name] of lists) found.files.add(name)
  found.rebuild = true
  found.isListInDoubt = true
  return undefined
}

async function inspectNamed(
  directory: string,
  name: string,
  found: Found,
): Promise<Manifest | undefined> {
  const list = await readList(directory, name)
  if (list === undefined) found.damagedList(name, `${name} is damaged`)
  else takeList(list, found)
  return list?.manifest
}

async function readList(directory: string, name: string): Promise<List | undefined> {
  const bytes = await readFile(join(directory, name))
  const { bytes: repaired, content } = repairLog(bytes)
  // One edit of a list that is left out makes another list of it.
  const manifest = content.damaged ? undefined : readManifest(repaired ?? bytes)
  return manifest && { name, manifest, isFlipped: repaired !== undefined }
}

function takeList({ name, isFlipped }: List, found: Found): void {
  if (!isFlipped) return
  found.damaged(name, `${name} has records that do not match their checksums`)
  found.logs.push(name)
}

function isComplete({ tables, logNumber }: Manifest, names: readonly string[]): boolean {
  const numbers = new Set(numbered(names, /^(\d+)\.(?:ldb|sst|log)$/).map(([number]) => number))
  const isThere = (number: number): boolean => number === 0 || numbers.has(number)
  return [...tables.keys(), logNumber].every(isThere)
}

/** Gives the number of the newest batch in the file, 0 when it does not tell. */
async function inspectTable(
  directory: string,
  table: InspectedTable,
  found: Found,
): Promise<number> {
  const { name, size, length, isChecked } = table
  const path = join(directory, name)
  const { isSound, first } = isChecked ? await readTable(path) : await readTableEnds(path, length)
  if (size !== undefined && length !== size) {
    found.damaged(name, `${name} has ${length} bytes instead of ${size}`)
    found.tables.push({ name, size })
  } else if (!isSound) {
    found.damaged(name, `${name} does not match its checksums`)
    found.tables.push({ name, size })
  }
  return numberIn(first)
}

async function readTable(path: string): Promise<{ isSound: boolean; first: BlockRow | undefined }> {
  const bytes = await readFile(path)
  return { isSound: isSoundTable(bytes), first: firstRow(bytes) }
}

/** The number in the row of batch numbers, which is the first of a file that has it. */
function numberIn(row: BlockRow | undefined): number {
  // An engine's key ends with eight bytes of sequence number and kind; 1 is a value.
  if (row === undefined || row.key.length < 8 || row.key.at(-8) !== 1) return 0
  if (row.key.toString('utf8', 0, row.key.length - 8) !== NUMBER_ROW) return 0
  return parseNumber(row.value.toString())?.number ?? 0
}

async function inspectLogs(
  directory: string,
  names: readonly string[],
  newest: number | undefined,
  found: Found,
): Promise<void> {
  let last = newest
  for (const name of names) {
    const { content, bytes } = repairLog(await readFile(join(directory, name)))
    if (bytes !== undefined) {
      found.damaged(name, `${name} has records that do not match their checksums`)
      found.logs.push(name)
    }
    for (const record of content.records) {
      const batch = numberOfBatch(record)
      if (batch === undefined) continue
      if (last !== undefined && batch.previous > last) {
        found.problems.push(
          `batches ${last + 1} to ${batch.previous} are missing before ${name} goes on`,
        )
      }
      last = Math.max(last ?? 0, batch.number)
    }
  }
}

function numbered(names: readonly string[], pattern: RegExp): [number: number, name: string][] {
  return names.flatMap((name): [number, string][] => {
    const digits = pattern.exec(name)?.[1]
    return digits === undefined ? [] : [[Number(digits), name]]
  })
}
