// Plays random histories of whole clusters on virtual time, network, disk and clocks:
//   npm run simulate -- --seeds 1000             that many seeds of every kind of history
//   npm run simulate -- --seeds 1000 --from 5000
//   npm run simulate -- --kind "power cuts"      only kinds whose name contains this
//   npm run simulate -- --seed 349 --kind ring   one seed, to play a failure again
//   npm run simulate -- --seed 349 --kind ring --shrink   the shortest history that still fails
//   npm run simulate -- --history file.json      a history as --shrink prints it
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { runnerImport } from 'vite'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    seed: { type: 'string' },
    from: { type: 'string' },
    kind: { type: 'string' },
    history: { type: 'string' },
    shrink: { type: 'boolean' },
  },
})
const first = number('seed') ?? number('from') ?? 1
const count = values.seed === undefined ? (number('seeds') ?? 1000) : 1
const { module: simulation } = await runnerImport(join(import.meta.dirname, 'simulation.ts'))
const kinds = simulation.kindsNamed(values.kind ?? '')
if (kinds.length === 0) refuse(`no kind of history is named like "${values.kind}"`)

const started = performance.now()
const happened = new Map()
let failures = 0
let played = 0
if (values.history === undefined) await playSeeds()
else await playHistory(JSON.parse(readFileSync(values.history, 'utf8')))
report()
process.exitCode = failures === 0 ? 0 : 1

async function playSeeds() {
  for (const kind of kinds) {
    for (let seed = first; seed < first + count; seed++) {
      await playHistory(simulation.generate(kind, seed))
      if (played % 20 === 0) progress(`${kind.name}, seed ${seed}: ${played} played`)
    }
  }
}

async function playHistory(history) {
  played++
  try {
    const { counts } = await simulation.play(history)
    for (const [what, times] of counts) happened.set(what, (happened.get(what) ?? 0) + times)
  } catch (error) {
    failures++
    progress('')
    console.error(`${history.kind}, seed ${history.seed}: ${error.message}`)
    if (values.shrink) await shrink(history)
  }
}

async function shrink(history) {
  const found = await simulation.shrink(history, simulation.failureOf)
  if (found === undefined) return
  console.log(`\n${simulation.tellHistory(found.history)}\n\n${found.error.message}`)
  console.log(`(after ${found.plays} plays; as a file for --history:)`)
  console.log(JSON.stringify(found.history))
}

function report() {
  progress('')
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  const told = [...happened].map(([what, times]) => `${what}: ${times}`)
  console.log(`${told.join(', ')}`)
  console.log(`${kinds.length} kinds of histories, ${played} played in ${seconds} s`)
  console.log(`${played - failures} passed, ${failures} failed`)
}

/** One line that is written over, where somebody watches. */
function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
}

function number(name) {
  const text = values[name]
  if (text === undefined) return undefined
  const value = Number(text)
  if (Number.isInteger(value) && value >= 0) return value
  return refuse(`--${name} takes a whole number, not "${text}"`)
}

function refuse(text) {
  console.error(text)
  process.exit(2)
}
