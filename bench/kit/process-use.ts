/** What a process has used, from `/proc`; NaN on systems that have none. */
import { readFileSync } from 'node:fs'

/** Ticks per second of the counters in `/proc`, the same on every Linux that Node runs on. */
const TICKS = 100

/** Seconds of processor time of a process and those it started, with all their threads, since they began. */
export function processorSeconds(pid: number): number {
  // The name, in parentheses, may hold spaces: fields are counted from behind it.
  const fields = read(`/proc/${pid}/stat`)?.split(') ')[1]?.split(' ')
  if (fields === undefined) return Number.NaN
  const own = (Number(fields[11]) + Number(fields[12])) / TICKS
  const children = read(`/proc/${pid}/task/${pid}/children`)?.match(/\d+/g) ?? []
  return children.reduce((sum, child) => sum + (processorSeconds(Number(child)) || 0), own)
}

/** Bytes of resident memory: in all, and without files that are mapped. */
export function residentBytes(pid: number): { readonly all: number; readonly own: number } {
  const status = read(`/proc/${pid}/status`) ?? ''
  const kib = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? Number.NaN)
  return { all: kib('VmRSS') * 1024, own: kib('RssAnon') * 1024 }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
