/** Progress of a long command: a line that is drawn again on a terminal, plain lines elsewhere. */

export interface ProgressOptions {
  /** What is going on, as the start of the line: `backup`. */
  readonly label: string
  /** All there is to do, in the unit of `update`; undefined when not known. */
  readonly total?: number | undefined
  readonly isTerminal: boolean
  write(text: string): void
  /** Milliseconds of a clock that does not step back. Default: the process's own. */
  now?(): number
}

export interface Progress {
  /** Says how much is done, and what to show beside it. Cheap: draws only now and then. */
  update(done: number, detail: string): void
  /** Ends the line; on a terminal it is wiped, for the result says it all. */
  finish(): void
}

/** Between two drawings on a terminal, and between two plain lines, milliseconds. */
const DRAW_MS = 100
const LINE_MS = 5000
const BAR_WIDTH = 24

export function createProgress(options: ProgressOptions): Progress {
  const { label, total, isTerminal, write } = options
  const now = options.now ?? (() => performance.now())
  // What is done at once needs no progress: the first line comes after one interval.
  let last = now()
  let drawn = 0
  return {
    update(done, detail) {
      if (now() - last < (isTerminal ? DRAW_MS : LINE_MS)) return
      last = now()
      const text = `${label}: ${total === undefined ? '' : share(done, total, isTerminal)}${detail}`
      write(isTerminal ? `\r${text.padEnd(drawn)}` : `${text}\n`)
      drawn = text.length
    },
    finish() {
      if (isTerminal && drawn > 0) write(`\r${' '.repeat(drawn)}\r`)
      drawn = 0
    },
  }
}

function share(done: number, total: number, bar: boolean): string {
  const part = total === 0 ? 1 : Math.min(done / total, 1)
  const percent = `${Math.floor(part * 100)}%`.padStart(4)
  if (!bar) return `${percent.trim()}, `
  const filled = Math.round(part * BAR_WIDTH)
  return `[${'#'.repeat(filled)}${'.'.repeat(BAR_WIDTH - filled)}]${percent}  `
}

/** A count for people: `1,234,567`. */
export function formatCount(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',')
}

/** A number of bytes for people: `1.5 MB`. */
export function formatBytes(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit += 1
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}

/** A count with its noun: `1 record`, `2 records`, `3 entries`. */
export function plural(count: number, noun: string, nouns = `${noun}s`): string {
  return `${formatCount(count)} ${count === 1 ? noun : nouns}`
}
