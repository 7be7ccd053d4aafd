// Asks a running server whether it keeps the wire format:
//   node test/conformance/wire/run.mjs --url http://127.0.0.1:8800
//   node test/conformance/wire/run.mjs --url http://127.0.0.1:8800 --strict   also fails on [Q] rows
// It writes only below keys of its own and deletes them again.
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { runnerImport } from 'vite'

const { values } = parseArgs({
  options: { url: { type: 'string' }, strict: { type: 'boolean', default: false } },
})
if (values.url === undefined) {
  console.error('usage: run.mjs --url http://host:port [--strict]')
  process.exit(2)
}

const { module } = await runnerImport(join(import.meta.dirname, 'runner.ts'))
const runId = Math.random().toString(36).slice(2, 10)
let failures = 0
for (const { section, results } of await module.runAll({ url: values.url, runId })) {
  const count = (kind) => results.filter(({ verdict }) => verdict.kind === kind).length
  console.log(
    `section ${section}: ${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped`,
  )
  for (const { wireCase, verdict } of results) {
    const { name, tag } = wireCase
    if (verdict.kind === 'skipped') console.log(`  skipped: ${name}: ${verdict.reason}`)
    if (verdict.kind !== 'failed') continue
    const fails = tag === 'C' || values.strict
    if (fails) failures++
    console.log(`  ${fails ? 'FAILED' : 'differs'} [${tag}]: ${name}: ${verdict.error.message}`)
  }
}
process.exitCode = failures === 0 ? 0 : 1
