// Runs benchmarks against the built `dist` and prints Markdown:
//   node bench/run.mjs              all of them
//   node bench/run.mjs writes       the named ones
//   node bench/run.mjs --record     and writes bench/RESULTS.md; with names, only their parts of it

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runnerImport } from 'vite'

const FOLDER = import.meta.dirname
const SUFFIX = '.bench.ts'
const wanted = process.argv.slice(2).filter((word) => !word.startsWith('--'))
const record = process.argv.includes('--record')

const load = async (file) => (await runnerImport(join(FOLDER, file))).module
const { renderMachine, renderResults, renderRun, replaceParts } = await load('harness.ts')

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

const isWhole = wanted.length === 0
const head = `# Benchmarks\n\nOne run, written by \`node bench/run.mjs --record\`, but for parts that say otherwise.\n\n${renderMachine()}`
const parts = []
for (const name of isWhole ? known : wanted) {
  console.error(`bench: ${name} …`)
  const run = isWhole ? undefined : renderRun()
  const { bench } = await load(`${name}${SUFFIX}`)
  parts.push(renderResults(bench, await bench.run(), run))
}
console.log([head, ...parts].join('\n'))
if (record) {
  const file = join(FOLDER, 'RESULTS.md')
  const text = isWhole
    ? [head, ...parts].join('\n')
    : replaceParts(readFileSync(file, 'utf8'), parts)
  writeFileSync(file, text)
}
