/** Recorded runs as one page of Markdown. */
import type { Table } from './bench.ts'
import type { Recorded } from './record.ts'

/** The page of all recorded runs, in the order given. */
export function renderPage(runs: readonly Recorded[]): string {
  const head = [
    '# Benchmarks',
    '',
    'Made by `npm run bench` from what is recorded in `results/`: do not edit. How to read and repeat it, and',
    'what it does not show: [NOTES.md](NOTES.md). Each question tells the run that its answer is from.',
    '',
    ...runs.map(({ name, question }) => `- [${question}](#${anchor(question)}) (\`${name}\`)`),
    '',
  ]
  return [head.join('\n'), ...runs.map(renderRun)].join('\n')
}

/** One run: question, what was held fixed, tables, pictures, notes, and where it ran. */
export function renderRun(run: Recorded): string {
  const { name, question, setting, tables, charts, notes } = run
  return [
    `## ${question}`,
    '',
    setting,
    '',
    ...tables.flatMap(renderTable),
    ...charts.flatMap((chart) => [`![${chart.title}](results/${name}-${chart.name}.svg)`, '']),
    ...notes.flatMap((note) => [`- ${note}`]),
    ...(notes.length === 0 ? [] : ['']),
    `<sub>${renderPlace(run)}</sub>`,
    '',
  ].join('\n')
}

function renderTable({ title, columns, rows }: Table): string[] {
  const lines = [columns, ['---', ...columns.slice(1).map(() => '--:')], ...rows]
  return [
    ...(title === undefined ? [] : [`**${title}**`, '']),
    ...lines.map((cells) => `| ${cells.join(' | ')} |`),
    '',
  ]
}

function renderPlace({ place }: Recorded): string {
  const { machine, commit, date, load, seconds, versions } = place
  const programs = Object.entries(versions).map(([program, version]) => `${program} ${version}`)
  return [
    date,
    `commit ${commit}`,
    machine,
    `load before ${load.toFixed(1)}`,
    ...programs,
    `took ${Math.round(seconds)} s`,
  ].join(' · ')
}

/** The anchor that GitHub gives a heading. */
function anchor(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')
}
