// A process that holds a LevelDB folder until it is killed. It says "open" once it does. Argument:
// the folder. Runs the built adapter.

import { writeSync } from 'node:fs'
import { LevelStorage } from '../../dist/storage-adapters/leveldb/leveldb.js'

const [directory] = process.argv.slice(2)
await new LevelStorage({ directory }).open()
writeSync(1, 'open\n')
setInterval(() => undefined, 60_000)
