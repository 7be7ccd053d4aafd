// Runs benchmarks against the built `dist`; see NOTES.md:
//   npm run bench -- all              all of them, recorded
//   npm run bench -- fanout stuck     the named ones
// Options: --peers, --only N, --full, --seconds S, --no-record, --no-build

import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { runnerImport } from 'vite'

const FOLDER = import.meta.dirname
const RESULTS = join(FOLDER, 'results')
/** In the order of the page. */
const NAMES = [
  'fanout',
  'fanout-burst',
  'stuck',
  'floor',
  'workers',
  'replication',
  'catchup',
  'initial',
  'slow-link',
  'writes',
  'list',
  'memory',
  'startup',
]
/** Open files that ten thousand subscribers need, in each of two processes. */
const FILES = 12_000

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    peers: { type: 'boolean', default: false },
    full: { type: 'boolean', default: false },
    only: { type: 'string' },
    seconds: { type: 'string' },
    'no-record': { type: 'boolean', default: false },
    'no-build': { type: 'boolean', default: false },
  },
})

const load = async (file) => (await runnerImport(join(FOLDER, file))).module
const wanted = positionals.includes('all') ? NAMES : positionals
const unknown = wanted.filter((name) => !NAMES.includes(name))
if (wanted.length === 0 || unknown.length > 0) {
  console.error(`usage: npm run bench -- <name>… with all or: ${NAMES.join(', ')}`)
  process.exit(2)
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(130))
raiseFileLimit()
if (!values['no-build']) await (await load('../test/support/built.ts')).prepareBuild()
else if (!existsSync(join(FOLDER, '../dist'))) throw new Error('nothing is built yet')

const { describePlace, recordOf, writePage, writeRecord } = await load('kit/record.ts')
const { renderRun } = await load('kit/report.ts')
const numberOf = (text) => (text === undefined ? undefined : Number(text))
const failed = []
for (const name of wanted) {
  const say = (line) => console.error(`${name}: ${line}`)
  const { peers, full } = values
  const context = {
    peers,
    full,
    only: numberOf(values.only),
    seconds: numberOf(values.seconds),
    say,
  }
  try {
    const { bench } = await load(`${name}.bench.ts`)
    const place = describePlace()
    const begin = performance.now()
    const findings = await bench.run(context).catch(leftOut)
    const seconds = (performance.now() - begin) / 1000
    const run = recordOf(name, bench, findings, { ...place, seconds })
    console.log(renderRun(run))
    if (!values['no-record']) {
      mkdirSync(RESULTS, { recursive: true })
      writeRecord(RESULTS, run)
      writePage(join(FOLDER, 'RESULTS.md'), RESULTS, NAMES)
    }
  } catch (error) {
    // The others are still worth their time.
    failed.push(name)
    console.error(`${name}: failed: ${error?.stack ?? error}`)
  }
}
if (failed.length > 0) {
  console.error(`failed: ${failed.join(', ')}`)
  process.exit(1)
}
process.exit(0)

/** What cannot be measured here is a note instead of a table. */
function leftOut(error) {
  if (error?.name !== 'Skipped') throw error
  return { tables: [], notes: [error.message] }
}

/** Starts this program again with a higher limit of open files, where that is needed and allowed. */
function raiseFileLimit() {
  if (process.platform === 'win32' || process.env.OOO_BENCH_LIMIT === 'raised') return
  const limit = execFileSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }).trim()
  if (limit === 'unlimited' || Number(limit) >= FILES) return
  const command = `ulimit -n ${FILES} || echo "bench: open files are limited to ${limit}" >&2; exec "$0" "$@"`
  const args = ['-c', command, process.execPath, ...process.argv.slice(1)]
  const env = { ...process.env, OOO_BENCH_LIMIT: 'raised' }
  process.exit(spawnSync('sh', args, { stdio: 'inherit', env }).status ?? 1)
}
