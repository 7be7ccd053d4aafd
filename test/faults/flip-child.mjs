// A process that opens copies of a folder, each with one flipped bit, without a check of blocks of rows
// before, as it is in a large folder. It tells of each copy on stdout what is missing, as a line of JSON.
// Arguments: a file with the plan, the number of the first copy, and "again" when that copy was opened
// before, by a process that the engine ended. Runs the built store.

import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { HybridClock } from '../../dist/src/core/data/clock.js'
import { ReplicationStore } from '../../dist/src/store/replication-store.js'
import { LevelStorage } from '../../dist/storage-adapters/leveldb/leveldb.js'

const [plan, first, again] = process.argv.slice(2)
const { sound, copy, files, entries, flips } = JSON.parse(readFileSync(plan, 'utf8'))
const time = {
  wallNs: () => BigInt(Date.now()) * 1_000_000n,
  monotonicNs: () => process.hrtime.bigint(),
  after(ms, work) {
    const timer = setTimeout(work, ms)
    return () => clearTimeout(timer)
  },
}
const DEADLINE_MS = 20_000

for (let i = Number(first); i < flips.length; i += 1) {
  if (i > Number(first) || again !== 'again') makeCopy(flips[i])
  // With a bounded cache damage may be found a moment after opening.
  const cacheBytes = i % 2 === 0 ? {} : { cacheBytes: 0 }
  const adapter = new LevelStorage({ directory: copy, checkedBytes: 0 })
  const newId = () => `reader${i}`
  const store = new ReplicationStore({
    adapter,
    clock: new HybridClock(time),
    newId,
    time,
    ...cacheBytes,
  })
  await store.open()
  const end = Date.now() + DEADLINE_MS
  let found = await look(store)
  const wrong = found.wrong
  while (found.missing.length > 0 && Date.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 10))
    found = await look(store)
  }
  const isTold = store.damageFindings.length > 0 || store.damaged().length > 0
  await store.close()
  writeSync(1, `${JSON.stringify({ i, missing: found.missing, wrong, isTold })}\n`)
}

function makeCopy({ file, bit }) {
  rmSync(copy, { recursive: true, force: true })
  mkdirSync(copy)
  for (const name of files) copyFileSync(join(sound, name), join(copy, name))
  const bytes = readFileSync(join(copy, file))
  bytes[bit >>> 3] ^= 1 << (bit & 7)
  writeFileSync(join(copy, file), bytes)
}

/** Entries that are not there, and those that are other than they were written. */
async function look(store) {
  const missing = []
  const wrong = []
  for (const [key, data] of entries) {
    const entry = await store.get(key).catch((error) => error.code)
    if (entry?.data === data) continue
    if (entry?.data !== undefined) wrong.push(key)
    missing.push(key)
  }
  // Refused, as long as what can not be read is not repaired.
  const listed = await store.keys('items/').catch(() => [])
  if (missing.length === 0 && listed.length !== entries.length) missing.push('of the list')
  return { missing, wrong }
}
