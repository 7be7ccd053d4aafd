/**
 * Who holds a lock on a file, of whatever kind: the Go server locks its folder in a way that does not
 * conflict with LevelDB's own. Known on Linux only, from the table of proc(5); elsewhere nobody is found.
 */
import { readFile, stat } from 'node:fs/promises'

/** The id of a process that holds a lock on the file; undefined when none is known. */
export async function lockHolder(file: string): Promise<number | undefined> {
  let table: string
  let identity: string
  try {
    table = await readFile('/proc/locks', 'utf8')
    const { dev, ino } = await stat(file, { bigint: true })
    identity = `${deviceText(dev)}:${ino}`
  } catch {
    // No such table, or no lock file: then there is nothing to find out.
    return undefined
  }
  for (const line of table.split('\n')) {
    const [, , , , pid, place] = line.replace('->', '').trim().split(/\s+/)
    if (place === identity && Number(pid) !== process.pid) return Number(pid)
  }
  return undefined
}

/** A device number as the table spells it: major and minor in hex, at least two digits each. */
function deviceText(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n)
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffffff00n)
  return [major, minor].map((number) => number.toString(16).padStart(2, '0')).join(':')
}
