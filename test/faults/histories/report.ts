/** What rounds found, as lines of a table. */
import { VIOLATIONS } from './checker.ts'
import type { RoundResult } from './round.ts'

/** Lines of evidence shown of one round; all of it is in the folder that is named. */
const MOST_EVIDENCE = 8

/** One line per kind, with the sums of its rounds. */
export function table(results: readonly RoundResult[]): string {
  const heads = [
    'kind',
    'rounds',
    'acknowledged',
    'unanswered',
    'equal after, at most',
    'failed',
    ...VIOLATIONS,
  ]
  const kinds = [...new Set(results.map(({ kind }) => kind))]
  const rows = kinds.map((kind) =>
    row(
      kind,
      results.filter((result) => result.kind === kind),
    ),
  )
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(heads), line(heads.map(() => '---')), ...rows.map(line)].join('\n')
}

function row(kind: string, results: readonly RoundResult[]): string[] {
  const sum = (value: (result: RoundResult) => number | undefined): string =>
    String(results.reduce((total, result) => total + (value(result) ?? 0), 0))
  const slowest = results.map(({ equalMs }) => equalMs ?? Number.POSITIVE_INFINITY)
  const most = Math.max(...slowest)
  return [
    kind,
    String(results.length),
    sum(({ verdict }) => verdict?.figures.acknowledged),
    sum(({ verdict }) => verdict?.figures.unanswered),
    Number.isFinite(most) ? `${(most / 1000).toFixed(1)} s` : 'never',
    String(results.filter(({ error }) => error !== undefined).length),
    ...VIOLATIONS.map((name) => sum(({ verdict }) => verdict?.counts[name])),
  ]
}

/** One round in words, with the evidence of what it found. */
export function roundText({
  kind,
  seed,
  verdict,
  equalMs,
  error,
  kept,
  notes,
}: RoundResult): string {
  const found = VIOLATIONS.filter((name) => (verdict?.counts[name] ?? 0) > 0)
  const violations = found.map((name) => `${name} ${verdict?.counts[name]}`).join(', ')
  const figures = Object.entries(verdict?.figures ?? {})
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${name} ${count}`)
  const equal = equalMs === undefined ? 'never equal' : `equal after ${equalMs} ms`
  const head = `${kind}, seed ${seed}: ${violations || (error === undefined ? 'good' : 'failed')}`
  const lines = [`${head}; ${[equal, ...figures, ...notes].join(', ')}`]
  for (const item of verdict?.evidence.slice(0, MOST_EVIDENCE) ?? []) {
    lines.push(
      `  ${item.kind} ${item.key}: ${item.text}`,
      ...item.lines.map((text) => `    ${text}`),
    )
  }
  if (error !== undefined) lines.push(`  ${error}`)
  if (kept !== undefined) lines.push(`  history, verdict and logs: ${kept}`)
  return lines.join('\n')
}
