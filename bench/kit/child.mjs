// One helper process of a benchmark: `node child.mjs <module.ts>`. The module exports `handlers`;
// the parent calls them by name over the IPC channel. Ends when its parent goes.

import { join } from 'node:path'
import { runnerImport } from 'vite'

process.on('disconnect', () => process.exit())
const [name = ''] = process.argv.slice(2)
const { handlers } = (await runnerImport(join(import.meta.dirname, name))).module

process.on('message', async ({ id, call, args }) => {
  try {
    process.send({ id, result: await handlers[call](args) })
  } catch (error) {
    process.send({ id, error: String(error?.stack ?? error) })
  }
})
process.send({ id: 0 })
