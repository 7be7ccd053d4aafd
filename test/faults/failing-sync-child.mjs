// A process whose disk fails to sync logs while the file given second exists, and folders while
// `<file>-folder` does. It tells on stdout, as JSON,
// what was refused and what readers saw of it, and kills itself after a last refusal. Arguments: folder,
// file. Runs the built adapter.

import { rmSync, writeFileSync, writeSync } from 'node:fs'
import { LevelStorage } from '../../dist/storage-adapters/leveldb/leveldb.js'

const [directory, failing] = process.argv.slice(2)
let nowMs = 0
const storage = new LevelStorage({ directory, nowMs: () => nowMs })
const seen = {}
const put = (rows, durability) =>
  storage
    .batch(
      Object.entries(rows).map(([key, value]) => ({ type: 'put', key, value })),
      { durability },
    )
    .then(
      () => 'written',
      (error) => error.code,
    )
const read = async () => (await storage.getMany(['a', 'b', 'c'])).map((value) => value ?? null)

await storage.open()
seen.before = await put({ a: '1' }, 'disk')
const scan = storage.iterate()[Symbol.asyncIterator]()
writeFileSync(failing, '')
seen.refused = await put({ a: '2', b: '2' }, 'disk')
seen.duringFault = await read()
nowMs += 10_000
seen.refusedAgain = await put({ a: '3', b: '3' }, 'disk')
seen.stillDuringFault = await read()
rmSync(failing)
nowMs += 10_000
seen.after = await put({ c: '4' }, 'disk')
seen.rows = await read()
seen.scan = (await scan.next()).value
await scan.return()
await storage.close()
await storage.open()
seen.openedAnew = await read()
writeFileSync(failing, '')
seen.refusedLast = await put({ a: '5', b: '5' }, 'disk')
await storage.close()
rmSync(failing)
await storage.open()
seen.openedAfterRefusal = await read()
seen.damage = storage.damage ?? null
writeFileSync(`${failing}-folder`, '')
seen.refusedByFolder = await put({ a: '7', b: '7' }, 'disk')
rmSync(`${failing}-folder`)
nowMs += 10_000
seen.afterFolder = await read()
writeFileSync(failing, '')
seen.refusedBeforeDeath = await put({ a: '6', b: '6' }, 'disk')
writeSync(1, JSON.stringify(seen))
process.kill(process.pid, 'SIGKILL')
