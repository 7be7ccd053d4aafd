/** Runs a measurement and says what came out, on what machine, from what code. */

import { execFileSync } from 'node:child_process'
import { cpus, loadavg, totalmem } from 'node:os'

/** One line of a result. */
export interface Measurement {
  readonly what: string
  readonly samples: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly max: number
  /** Operations per second over the whole measurement. */
  readonly perSecond: number
}

/** What is told in other columns than times of operations. */
export interface Table {
  /** Names with their units; the first column is text, the others are numbers. */
  readonly columns: readonly string[]
  readonly rows: readonly (readonly (string | number)[])[]
}

/** A benchmark file exports one of these as `bench`. */
export interface Bench {
  /** The one question it answers. */
  readonly question: string
  /** What is held fixed: sizes, counts, what runs where. */
  readonly setting: string
  run(): Promise<Measurement[] | Table>
}

export interface MeasureOptions {
  readonly what: string
  /** Measured operations. */
  readonly samples: number
  /** Operations before them that are not measured. Default 0. */
  readonly warmUp?: number
  /** Operations under way at once. Default 1. */
  readonly concurrency?: number
  /** One operation; its time counts from the call to the answer. `number` is different each time. */
  run(number: number): Promise<void>
}

/** Runs the operations, as many at once as asked for, and times each. A failed one fails the measurement. */
export async function measure(options: MeasureOptions): Promise<Measurement> {
  const warmUp = options.warmUp ?? 0
  await runMany(0, warmUp, options)
  const begin = performance.now()
  const times = await runMany(warmUp, options.samples, options)
  const seconds = (performance.now() - begin) / 1000
  times.sort((a, b) => a - b)
  return {
    what: options.what,
    samples: times.length,
    p50: quantile(times, 0.5),
    p99: quantile(times, 0.99),
    max: times.at(-1) ?? Number.NaN,
    perSecond: times.length / seconds,
  }
}

/** Markdown of one benchmark's results; `run` says when and on what, if not as the page does. */
export function renderResults(
  bench: Bench,
  results: readonly Measurement[] | Table,
  run?: string,
): string {
  const { columns, rows } = 'columns' in results ? results : tableOf(results)
  const lines = [columns, ['---', ...columns.slice(1).map(() => '--:')], ...rows]
  return [
    `## ${bench.question}`,
    '',
    bench.setting,
    ...(run === undefined ? [] : ['', run]),
    '',
    ...lines.map((cells) => `| ${cells.join(' | ')} |`),
    '',
  ].join('\n')
}

/** Times of operations as a table. */
function tableOf(lines: readonly Measurement[]): Table {
  return {
    columns: ['what', 'samples', 'p50 ms', 'p99 ms', 'max ms', 'per second'],
    rows: lines.map(({ what, samples, p50, p99, max, perSecond }) => [
      what,
      samples,
      ms(p50),
      ms(p99),
      ms(max),
      Math.round(perSecond),
    ]),
  }
}

/** The page with these parts in the place of those that answer the same questions, or at its end. */
export function replaceParts(page: string, parts: readonly string[]): string {
  const kept = page.split(/\n(?=## )/)
  for (const part of parts) {
    const question = part.slice(0, part.indexOf('\n'))
    const at = kept.findIndex((old) => old.startsWith(`${question}\n`))
    if (at === -1) kept.push(part)
    else kept[at] = part
  }
  return kept.map((part) => `${part.trimEnd()}\n`).join('\n')
}

/** When and from what a part of the page comes that was measured by itself. */
export function renderRun(): string {
  const load = (loadavg()[0] ?? 0).toFixed(1)
  const date = new Date().toISOString().slice(0, 10)
  return `A run of its own: load of the machine before it ${load}, Node ${process.version}, commit ${commit()}, ${date}.`
}

/** Where and from what the numbers come, as Markdown. */
export function renderMachine(): string {
  const processors = cpus()
  const memory = Math.round(totalmem() / 2 ** 30)
  return [
    `- machine: ${processors.length} × ${processors[0]?.model.trim() ?? 'unknown'}, ${memory} GiB, ${process.platform} ${process.arch}`,
    `- load of the machine before the run (1 minute): ${(loadavg()[0] ?? 0).toFixed(1)}`,
    `- Node ${process.version}`,
    `- commit ${commit()}`,
    `- date: ${new Date().toISOString().slice(0, 10)}`,
    '',
  ].join('\n')
}

async function runMany(first: number, count: number, options: MeasureOptions): Promise<number[]> {
  const times: number[] = []
  let next = first
  const worker = async (): Promise<void> => {
    while (next < first + count) {
      const number = next
      next += 1
      const begin = performance.now()
      await options.run(number)
      times.push(performance.now() - begin)
    }
  }
  await Promise.all(Array.from({ length: options.concurrency ?? 1 }, worker))
  return times
}

/** The smallest value that at least that share of the values does not exceed. */
function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN
}

/** Milliseconds as text, with as many digits as say something. */
export function ms(value: number): string {
  return value.toFixed(value < 10 ? 2 : 1)
}

function commit(): string {
  try {
    const run = (...args: string[]): string =>
      execFileSync('git', args, { encoding: 'utf8' }).trim()
    const changed = run('status', '--porcelain', '--untracked-files=no') !== ''
    return `${run('rev-parse', '--short', 'HEAD')}${changed ? ' with local changes' : ''}`
  } catch {
    return 'unknown (no git here)'
  }
}
