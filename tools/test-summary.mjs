/**
 * Prints one line, `N passed, N failed` (`, N skipped` where there are some), from the JSON that
 * vitest wrote to the file named. Fails when a test failed, when a test file did not load, or when
 * nothing ran at all.
 */
import { readFileSync } from 'node:fs'

const report = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8'))
// A file that failed without a failed test (it did not load, a hook threw) counts as one failure.
const brokenFiles = report.testResults.filter(
  ({ status, assertionResults }) =>
    status === 'failed' && !assertionResults.some((test) => test.status === 'failed'),
)
const passed = report.numPassedTests
const failed = report.numFailedTests + brokenFiles.length
const skipped = report.numPendingTests + report.numTodoTests
for (const { name, message } of brokenFiles) process.stdout.write(`broken: ${name}: ${message}\n`)
process.stdout.write(
  `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`,
)
process.exitCode = failed > 0 || passed === 0 ? 1 : 0
