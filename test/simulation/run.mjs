// Runs random histories of whole clusters on virtual time, network and disk:
//   npm run simulate -- --seeds 1000          that many seeds of every kind of history
//   npm run simulate -- --seeds 1000 --from 5000
//   npm run simulate -- --seed 349            one seed, to replay a failure
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { runnerImport } from 'vite'

const { values } = parseArgs({
  options: { seeds: { type: 'string' }, seed: { type: 'string' }, from: { type: 'string' } },
})
const first = number('seed') ?? number('from') ?? 1
const count = values.seed === undefined ? (number('seeds') ?? 1000) : 1

const { module } = await runnerImport(join(import.meta.dirname, 'scenario.ts'))
const started = performance.now()
let failures = 0
for (const { name, plans, faults } of module.HISTORIES) {
  for (let seed = first; seed < first + count; seed++) {
    try {
      await module.runScenario(seed, plans, faults)
    } catch (error) {
      failures++
      console.error(`${name}, seed ${seed}: ${error.message}`)
    }
  }
}
const seconds = ((performance.now() - started) / 1000).toFixed(1)
console.log(`${module.HISTORIES.length} kinds of histories × ${count} seeds in ${seconds} s`)
console.log(`${module.HISTORIES.length * count - failures} passed, ${failures} failed`)
process.exitCode = failures === 0 ? 0 : 1

function number(name) {
  const text = values[name]
  if (text === undefined) return undefined
  const value = Number(text)
  if (Number.isInteger(value) && value >= 0) return value
  console.error(`--${name} takes a whole number, not "${text}"`)
  process.exit(2)
}
