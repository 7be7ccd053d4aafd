/** What a benchmark file is, and what it gives. */
import type { HistogramData } from './histogram.ts'

/** One table; the first column is text, the others are numbers. */
export interface Table {
  readonly title?: string
  /** Names with their units. */
  readonly columns: readonly string[]
  readonly rows: readonly (readonly (string | number)[])[]
}

/** Histograms to be seen together, in one picture. */
export interface Chart {
  /** End of the picture's file name, in kebab case. */
  readonly name: string
  readonly title: string
  readonly series: readonly { readonly label: string; readonly histogram: HistogramData }[]
}

/** What a run came to. */
export interface Findings {
  readonly tables: readonly Table[]
  readonly charts?: readonly Chart[]
  /** Sentences below the tables: what was checked, what was left out and why. */
  readonly notes?: readonly string[]
  /** Versions of programs beside Node, by name. */
  readonly versions?: Readonly<Record<string, string>>
}

/** What the command line asks of a benchmark. */
export interface BenchContext {
  /** Other servers are measured too. */
  readonly peers: boolean
  /** The one size to measure instead of all (`--only 1000`). */
  readonly only: number | undefined
  /** Also the sizes that take minutes (`--full`). */
  readonly full: boolean
  /** Seconds that a measured load lasts, instead of the benchmark's own (`--seconds 2`). */
  readonly seconds: number | undefined
  /** Tells whoever waits what is being done. */
  say(line: string): void
}

/** A benchmark file exports one of these as `bench`. */
export interface Bench {
  /** The one question it answers. */
  readonly question: string
  /** What is held fixed: sizes, counts, what runs where. */
  readonly setting: string
  run(context: BenchContext): Promise<Findings>
}

/** Something to measure is not there: a program, a flag. The message is the line to show. */
export class Skipped extends Error {
  // Told apart by name: benchmarks and runner load this module each for itself.
  override readonly name: string = 'Skipped'
}

/** Sizes that are wanted: all, or the one asked for. */
export function wanted(sizes: readonly number[], { only }: Pick<BenchContext, 'only'>): number[] {
  return only === undefined ? [...sizes] : [only]
}

/** Milliseconds as text, of microseconds, with as many digits as say something. */
export function ms(microseconds: number): string {
  if (Number.isNaN(microseconds)) return '–'
  const value = microseconds / 1000
  return value.toFixed(value < 10 ? 2 : value < 1000 ? 1 : 0)
}
