// A process that holds a LevelDB folder, or writes batches to it until it is killed. It says
// "open 0" once the folder is open, then the number of each batch after it was acknowledged.
// Arguments: folder, "hold" or "write", durability, number of the first batch. Runs the built adapter.

import { writeSync } from 'node:fs'
import { LevelStorage } from '../../dist/storage-adapters/leveldb.js'

const [directory, task, durability, first] = process.argv.slice(2)
const storage = new LevelStorage({ directory })
await storage.open()
writeSync(1, 'open 0\n')

if (task === 'hold') {
  setInterval(() => undefined, 60_000)
} else {
  for (let number = Number(first); ; number += 1) {
    const value = String(number)
    const operations = ['a', 'b', 'c', 'd', 'e'].flatMap((name) => [
      { type: 'put', key: `last/${name}`, value },
      { type: 'put', key: `batch/${value.padStart(9, '0')}/${name}`, value: value.repeat(200) },
    ])
    await storage.batch(operations, { durability })
    writeSync(1, `${value}\n`)
  }
}
