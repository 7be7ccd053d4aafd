import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { openDatabase, writeRows } from '../../../storage-adapters/leveldb/files/database.ts'

it('a large batch is handed to LevelDB in turns of the event loop', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'turns-'))
  const options = { cacheBytes: 1 << 20, writeBufferBytes: 1 << 20 }
  const database = await openDatabase({ directory, ...options })
  let handed = 0
  let most = 0
  let timer = setImmediate(function count() {
    most = Math.max(most, handed)
    handed = 0
    timer = setImmediate(count)
  })
  const counted = {
    batch: () => {
      const batch = database.batch()
      const put = batch.put.bind(batch)
      batch.put = (key, value) => {
        handed++
        return put(key, value)
      }
      return batch
    },
  }
  const rows = Array.from({ length: 20_000 }, (_, i) => {
    return { type: 'put' as const, key: `k${i}`, value: 'v' }
  })
  await writeRows(counted as typeof database, rows, { sync: false })
  clearImmediate(timer)
  expect(await database.get('k19999')).toBe('v')
  expect(most).toBeGreaterThan(0)
  expect(most).toBeLessThanOrEqual(2000)
  await database.close()
  rmSync(directory, { recursive: true })
})
