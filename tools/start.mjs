/** `npm start`: prepares the checkout, then becomes `ooo dev`, in one process. */
import { join } from 'node:path'
import './prepare.mjs'

const PARENT_CHECK_MS = 250

if (process.exitCode === undefined) {
  const main = join(import.meta.dirname, '../dist/cli/main.js')
  process.argv.splice(1, 1, main, 'dev')
  stopWithParent()
  await import(main)
}

/**
 * npm runs scripts in a shell that dies of SIGTERM without passing it on. Being given another parent
 * is how this process hears of it; a signal that did arrive, as Ctrl-C does, is enough by itself.
 */
function stopWithParent() {
  const parent = process.ppid
  const timer = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(timer)
    process.kill(process.pid, 'SIGTERM')
  }, PARENT_CHECK_MS)
  timer.unref()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.once(signal, () => clearInterval(timer))
  }
}
