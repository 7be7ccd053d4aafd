// Plants bugs, one at a time, and shows that the simulation notices each:
//   npm run simulate:mutants                     all of them
//   npm run simulate:mutants -- --only cursor    those whose name contains this
//   npm run simulate:mutants -- --seeds 100      seeds of every kind of history; default 400
import { fork } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { runnerImport } from 'vite'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '400' },
    only: { type: 'string', default: '' },
    processes: { type: 'string', default: '2' },
  },
})
const load = async (file) => (await runnerImport(join(import.meta.dirname, file))).module
const { MUTANTS } = await load('mutants.ts')
const { assertFits, catchMutant } = await load('catch-mutant.ts')
const seeds = Number(values.seeds)
/** A mutant that keeps its process busy for so long has stopped the engine, or the harness. */
const LIMIT_MS = 300_000

if (process.send !== undefined) work()
else await lead()

/** In a process of its own: plays the mutant that is named. */
function work() {
  process.once('message', async (name) => {
    const mutant = MUTANTS.find((one) => one.name === name)
    process.send(await catchMutant(mutant, seeds))
    process.disconnect()
  })
}

async function lead() {
  const wanted = MUTANTS.filter(({ name }) => name.includes(values.only))
  for (const mutant of wanted) assertFits(mutant)
  const started = performance.now()
  const verdicts = []
  const waiting = [...wanted]
  const lane = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const verdict = await playApart(next.name)
      verdicts.push(verdict)
      console.log(tell(verdict))
    }
  }
  await Promise.all(Array.from({ length: Number(values.processes) }, lane))
  const survivors = verdicts.filter(({ caught }) => caught === undefined)
  const seconds = ((performance.now() - started) / 1000).toFixed(0)
  console.log(`${verdicts.length} mutants in ${seconds} s, ${survivors.length} not noticed`)
  process.exitCode = survivors.length === 0 && verdicts.length > 0 ? 0 : 1
}

function playApart(name) {
  return new Promise((resolve) => {
    const child = fork(import.meta.filename, ['--seeds', values.seeds])
    const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS)
    let verdict = { mutant: name, caught: undefined, played: 0 }
    child.once('message', (message) => {
      verdict = message
    })
    child.once('exit', () => {
      clearTimeout(timer)
      resolve(verdict)
    })
    child.send(name)
  })
}

function tell({ mutant, caught, played }) {
  if (caught === undefined) return `SURVIVED  ${mutant} (${played} histories)`
  const found = `${caught.kind}, seed ${caught.seed}`
  return `caught    ${mutant.padEnd(70)} ${String(played).padStart(5)} histories  ${found}`
}
