/** Writes what a run found into test/faults/RESULTS.md, the newest run first. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { PROJECT_ROOT } from '../../support/built.ts'
import type { CampaignOptions } from './campaign.ts'
import { table } from './report.ts'
import type { RoundResult } from './round.ts'

export const RESULTS_FILE: string = join(PROJECT_ROOT, 'test/faults/RESULTS.md')

const HEAD = `# Recorded runs of histories

Rounds of real processes under faults, judged by what clients saw: how it is done is in
[histories](histories/README.md). \`npm run faults -- --minutes 60 --record\` adds a run. Every count of a violation
should be 0.
`

/** Adds a run; gives the path of the file. */
export function recordResults(
  { minutes, seed, roundSeconds }: CampaignOptions,
  results: readonly RoundResult[],
  file: string = RESULTS_FILE,
): string {
  const old = existsSync(file) ? readFileSync(file, 'utf8') : HEAD
  const [head = HEAD, ...runs] = old.split(/^(?=## )/m)
  const commit = git('rev-parse', '--short', 'HEAD')
  const changed = git('status', '--porcelain') === '' ? '' : ', with changes'
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, ${gibibytes()} GiB`
  const run = [
    `## ${new Date().toISOString().slice(0, 16).replace('T', ' ')}, ${minutes} minutes`,
    '',
    `Commit ${commit}${changed}; seed ${seed}, faults of ${roundSeconds} s per round; Node ${process.version}, ${machine}.`,
    '',
    table(results),
    '',
    '',
  ].join('\n')
  writeFileSync(file, `${[head.trimEnd(), `${run}${runs.join('')}`.trimEnd()].join('\n\n')}\n`)
  return file
}

function gibibytes(): string {
  return (totalmem() / 2 ** 30).toFixed(0)
}

function git(...args: readonly string[]): string {
  return execFileSync('git', args, { cwd: PROJECT_ROOT, encoding: 'utf8' }).trim()
}
