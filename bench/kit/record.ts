/** Recorded runs: one JSON file per benchmark, from which pictures and page are made. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, totalmem } from 'node:os'
import { join } from 'node:path'
import type { Bench, Findings, Table } from './bench.ts'
import { Histogram, type HistogramData, type Percentiles } from './histogram.ts'
import { renderPage } from './report.ts'
import { type Bars, barsOf, renderSvg } from './svg.ts'

/** On what a run was made. */
export interface Place {
  readonly machine: string
  readonly commit: string
  /** Day, UTC. */
  readonly date: string
  /** Load of the machine over the minute before. */
  readonly load: number
  readonly seconds: number
  /** Of programs, by name. */
  readonly versions: Readonly<Record<string, string>>
}

/** One line of a picture. */
export interface Series {
  readonly label: string
  /** Microseconds. */
  readonly percentiles: Percentiles
  readonly bars: Bars
}

export interface Recorded {
  readonly name: string
  readonly question: string
  readonly setting: string
  readonly tables: readonly Table[]
  readonly charts: readonly {
    readonly name: string
    readonly title: string
    readonly series: readonly Series[]
  }[]
  readonly notes: readonly string[]
  readonly place: Place
}

/** Where and from what a run is about to be made. */
export function describePlace(): Omit<Place, 'seconds'> {
  const processors = cpus()
  const model = processors[0]?.model.trim() ?? 'unknown'
  const gib = Math.round(totalmem() / 2 ** 30)
  return {
    machine: `${processors.length} × ${model}, ${gib} GiB, ${process.platform} ${process.arch}`,
    commit: commit(),
    date: new Date().toISOString().slice(0, 10),
    load: loadavg()[0] ?? 0,
    versions: { Node: process.version },
  }
}

/** A finished run as it is recorded. */
export function recordOf(name: string, bench: Bench, findings: Findings, place: Place): Recorded {
  const { question, setting } = bench
  const charts = (findings.charts ?? []).map((chart) => ({
    ...chart,
    series: chart.series.map(({ label, histogram }) => seriesOf(label, histogram)),
  }))
  const versions = { ...place.versions, ...findings.versions }
  const { tables, notes = [] } = findings
  return { name, question, setting, tables, charts, notes, place: { ...place, versions } }
}

/** Writes a run into the folder of results: its JSON and its pictures, instead of those before. */
export function writeRecord(folder: string, run: Recorded): void {
  const files = readdirSync(folder)
  // Another question's name may begin with this one's.
  const others = files.flatMap((file) =>
    file.startsWith(`${run.name}-`) && file.endsWith('.json') ? [file.slice(0, -5)] : [],
  )
  for (const file of files) {
    if (!file.startsWith(`${run.name}-`) || !file.endsWith('.svg')) continue
    if (!others.some((name) => file.startsWith(`${name}-`))) rmSync(join(folder, file))
  }
  writeFileSync(join(folder, `${run.name}.json`), `${JSON.stringify(run)}\n`)
  for (const chart of run.charts) {
    writeFileSync(join(folder, `${run.name}-${chart.name}.svg`), renderSvg(chart))
  }
}

/** Makes the page of all runs that are recorded, in the order of `names`; others are left out. */
export function writePage(file: string, folder: string, names: readonly string[]): void {
  const recorded = names.filter((name) => readdirSync(folder).includes(`${name}.json`))
  const read = (name: string): Recorded =>
    JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')) as Recorded
  writeFileSync(file, renderPage(recorded.map(read)))
}

function seriesOf(label: string, data: HistogramData): Series {
  return { label, percentiles: Histogram.from(data).percentiles(), bars: barsOf(data) }
}

function commit(): string {
  try {
    const git = (...args: string[]): string =>
      execFileSync('git', args, { encoding: 'utf8', cwd: import.meta.dirname }).trim()
    const changed = git('status', '--porcelain', '--untracked-files=no', ':/', ':!/bench') !== ''
    return `${git('rev-parse', '--short', 'HEAD')}${changed ? ' with local changes' : ''}`
  } catch {
    return 'unknown (no git here)'
  }
}
