/** Three ways to count the lines of a file; the strictest counts code alone. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parseSync } from 'vite'
import { loadSources } from '../../test/support/architecture.ts'

export interface LineCount {
  readonly files: number
  /** Ends of lines, as `wc -l` counts. */
  readonly all: number
  /** Lines that hold more than white space. */
  readonly filled: number
  /** Lines that hold more than white space and comments. */
  readonly code: number
}

/** Counts one TypeScript file. */
export function countLines(path: string, text: string): LineCount {
  const { comments } = parseSync(path, text)
  let bare = text
  for (const { start, end } of comments) {
    const blank = text.slice(start, end).replace(/[^\n]/g, ' ')
    bare = bare.slice(0, start) + blank + bare.slice(end)
  }
  return {
    files: 1,
    all: text.split('\n').length - 1,
    filled: filledLines(text),
    code: filledLines(bare),
  }
}

function filledLines(text: string): number {
  return text.split('\n').filter((line) => line.trim() !== '').length
}

export function sumLines(counts: readonly LineCount[]): LineCount {
  const sum = (of: (count: LineCount) => number): number =>
    counts.reduce((total, count) => total + of(count), 0)
  return {
    files: sum(({ files }) => files),
    all: sum(({ all }) => all),
    filled: sum(({ filled }) => filled),
    code: sum(({ code }) => code),
  }
}

/** The lines of each part that is there, and of all together under `all`. */
export function linesByPart(root: string, parts: readonly string[]): Map<string, LineCount> {
  const counts = parts
    .filter((part) => existsSync(join(root, part)))
    .map((part) => {
      const files = loadSources(root, [part]).filter(({ path }) => !path.endsWith('.test.ts'))
      return [part, sumLines(files.map(({ path, text }) => countLines(path, text)))] as const
    })
  return new Map([...counts, ['all', sumLines(counts.map(([, count]) => count))]])
}
