// Runs benchmarks against the built `dist` and prints Markdown:
//   node bench/run.mjs              all of them
//   node bench/run.mjs writes       the named ones
//   node bench/run.mjs --record     and writes bench/RESULTS.md

import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runnerImport } from 'vite'

const FOLDER = import.meta.dirname
const SUFFIX = '.bench.ts'
const wanted = process.argv.slice(2).filter((word) => !word.startsWith('--'))
const record = process.argv.includes('--record')

const load = async (file) => (await runnerImport(join(FOLDER, file))).module
const { renderMachine, renderResults } = await load('harness.ts')

const { prepareBuild } = await load('../test/support/built.ts')
await prepareBuild()

const known = readdirSync(FOLDER)
  .filter((file) => file.endsWith(SUFFIX))
  .map((file) => file.slice(0, -SUFFIX.length))
  .sort()
const unknown = wanted.filter((name) => !known.includes(name))
if (unknown.length > 0) {
  console.error(`no benchmark "${unknown.join('", "')}"; there are: ${known.join(', ')}`)
  process.exit(2)
}

const parts = [
  `# Benchmarks\n\nOne run, written by \`node bench/run.mjs --record\`.\n\n${renderMachine()}`,
]
for (const name of wanted.length > 0 ? wanted : known) {
  console.error(`bench: ${name} …`)
  const { bench } = await load(`${name}${SUFFIX}`)
  parts.push(renderResults(bench, await bench.run()))
}
const text = parts.join('\n')
console.log(text)
if (record) writeFileSync(join(FOLDER, 'RESULTS.md'), text)
