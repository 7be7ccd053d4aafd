// Rounds of a cluster of real processes under faults, judged by what clients saw:
//   npm run faults -- --minutes 10                every kind in turns, until the minutes are over
//   npm run faults -- --minutes 10 --seed 7       other faults, in another order
//   npm run faults -- --minutes 10 --kind star,tree
//   npm run faults -- --list                      the kinds
//   npm run faults -- --round-seconds 60          longer rounds
//   npm run faults -- --keep DIR                  where the histories of failing rounds go
//   npm run faults -- --keep-all                  keeps those of good rounds, too
//   npm run faults -- --majority on|off|auto      whether conditional writes under elections ask for a majority
//   npm run faults -- --minutes 60 --record       writes the figures into test/faults/RESULTS.md
// Exit code 1 when a round failed or anything was found.
import { spawnSync } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { runnerImport } from 'vite'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: '1' },
    kind: { type: 'string' },
    'round-seconds': { type: 'string', default: '15' },
    keep: { type: 'string' },
    'keep-all': { type: 'boolean', default: false },
    majority: { type: 'string', default: 'auto' },
    record: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
  },
})
const prepared = spawnSync(
  process.execPath,
  [join(import.meta.dirname, '../../../tools/prepare.mjs')],
  {
    stdio: 'inherit',
  },
)
if (prepared.status !== 0) process.exit(2)
const load = async (name) => (await runnerImport(join(import.meta.dirname, name))).module
const { campaign, isGood, kindsNamed } = await load('campaign.ts')
const { whyNoChecker } = await load('checker.ts')
const { roundText, table } = await load('report.ts')

if (values.list) {
  const { KINDS } = await load('kinds.ts')
  for (const { name, about } of KINDS) console.log(`${name}: ${about}`)
  process.exit(0)
}
const obstacle = whyNoChecker()
if (obstacle !== undefined) refuse(obstacle)
if (!['auto', 'on', 'off'].includes(values.majority)) refuse('--majority takes auto, on or off')
const options = {
  minutes: number('minutes'),
  seed: number('seed'),
  kinds: named(),
  roundSeconds: number('round-seconds'),
  keep: values.keep ?? mkdtempSync(join(tmpdir(), 'ooo-faults-')),
  majority: values.majority,
  keepAll: values['keep-all'],
  onRound: (result) => console.log(roundText(result)),
}
// Nodes are ended on exit, and a signal by itself is none.
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
]) {
  process.once(signal, () => process.exit(code))
}
const results = await campaign(options).catch((error) => refuse(error.stack))
console.log(`\n${table(results)}`)
if (values.record) {
  const { recordResults } = await load('results.ts')
  console.log(`recorded in ${recordResults(options, results)}`)
}
const bad = results.filter((result) => !isGood(result))
console.log(`${results.length} rounds, ${bad.length} of them failed`)
if (bad.length > 0) console.log(`their histories are in ${options.keep}`)
process.exit(bad.length === 0 ? 0 : 1)

function named() {
  try {
    return kindsNamed(values.kind)
  } catch (error) {
    return refuse(error.message)
  }
}

function number(name) {
  const value = Number(values[name])
  if (Number.isFinite(value) && value >= 0) return value
  return refuse(`--${name} takes a number, not "${values[name]}"`)
}

function refuse(text) {
  console.error(text)
  process.exit(2)
}
