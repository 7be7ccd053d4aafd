import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { LogPosition } from '../../../src/core/wire/protocol.ts'
import { LevelStorage } from '../../../storage-adapters/leveldb/leveldb.ts'
import { openDatabase } from '../../support/database.ts'

it('a reader that is slow under load, and goes on after each restart, ends with the state on disk', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'ooo-watch-'))
  const seen = new Map<string, string>()
  let position: LogPosition | undefined
  let events = 0
  let coalesced = 0
  try {
    for (let life = 0; life < 4; life++) {
      const adapter = new LevelStorage({ directory })
      const { database, store } = await openDatabase({
        storeOptions: { adapter, tailRows: 50, cacheBytes: 20_000 },
      })
      const after = position ?? { epoch: store.epoch, seq: 0 }
      const watch = database.watch({ after, maxBufferedBytes: 5000 })
      const writes = (async () => {
        for (let n = 0; n < 100; n++) {
          await Promise.all(
            [0, 1, 2, 3, 4].map((k) =>
              database.set(`l/${(n * 7 + k) % 60}`, `"${life}.${n}.${k}"`),
            ),
          )
          if (n % 25 === 24) await database.delete('l/1*')
        }
      })()
      // Up to a point only in the first lives, so that the next one has something to catch up with.
      const until = life < 3 ? 100 + life * 400 : Number.POSITIVE_INFINITY
      let isWritten = false
      const done = writes.then(() => {
        isWritten = true
      })
      while (watch.position.seq < until && !(isWritten && watch.position.seq >= store.head)) {
        const { value } = await watch.next()
        if (value === undefined) break
        events++
        if (value.coalesced) coalesced++
        for (const { key, after: record } of value.changes) {
          if (record.kind === 'entry') seen.set(key, record.data)
          else seen.delete(key)
        }
        for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
      }
      position = watch.position
      await done
      if (life === 3) {
        while (watch.position.seq < store.head) {
          const { value } = await watch.next()
          for (const { key, after: record } of value?.changes ?? []) {
            if (record.kind === 'entry') seen.set(key, record.data)
            else seen.delete(key)
          }
        }
        const entries = await database.list('l/*')
        const expected = entries.map(({ key, data }) => [key, data]).sort()
        expect([...seen].sort()).toEqual(expected)
      }
      database.close()
      await store.close()
    }
    expect(coalesced).toBeGreaterThan(0)
    expect(events).toBeGreaterThan(coalesced)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}, 300_000)
