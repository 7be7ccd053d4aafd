/** A field of a record that this release does not know is kept, and goes wherever the record goes. */
import { afterEach, describe, expect, it } from 'vitest'
import { readBackup } from '../../backup/read-backup.ts'
import { mergeBackup, restoreStorage } from '../../backup/restore-records.ts'
import { backupOfStore } from '../../backup/store-backup.ts'
import { writeBackup } from '../../backup/write-backup.ts'
import { HybridClock } from '../../src/core/data/clock.ts'
import type { StoredRecord } from '../../src/core/data/entry.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import { MemoryStorage } from '../../storage-adapters/memory/memory.ts'
import { EngineRig } from '../support/engine-rig.ts'
import { FAKE_START_NS, FakeTime } from '../support/fake-time.ts'
import { openStore } from '../support/store.ts'
import { waitFor } from '../support/wait.ts'

const FIELDS = { later: 'x', 'z-9': '!"#~' }
const at = { created: FAKE_START_NS - 1000n, updated: 0n, origin: 'x' }
const ENTRY: StoredRecord = { kind: 'entry', key: 'items/a', data: '1', ...at, fields: FIELDS }
const TOMBSTONE: StoredRecord = {
  kind: 'tombstone',
  key: 'items/b',
  deleted: at.created,
  origin: 'x',
  fields: FIELDS,
}
const RECORDS = [ENTRY, TOMBSTONE]

const rigs: EngineRig[] = []
afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.close()
})

const held = async (store: ReplicationStore): Promise<(StoredRecord | undefined)[]> =>
  Promise.all(RECORDS.map(async ({ key }) => (await store.keyState(key))?.record))

/** A leader, its follower and a follower of that, in step; the stores, from the top. */
async function chain(
  filled: 0 | 1 | 2,
  fill: (store: ReplicationStore) => Promise<void>,
): Promise<ReplicationStore[]> {
  const rig = new EngineRig()
  rigs.push(rig)
  const hosts = ['top', 'middle', 'edge'] as const
  const stores: ReplicationStore[] = []
  for (const [i, host] of hosts.entries()) {
    const above = hosts[i - 1]
    const node = await rig.add({
      host,
      ...(above === undefined ? {} : { follows: `http://${above}` }),
      ...(i === filled ? { fill } : {}),
    })
    stores.push(node.store)
  }
  const haveAll = async (): Promise<boolean> => {
    const all = await Promise.all(stores.map(held))
    return all.flat().every((record) => record !== undefined)
  }
  const what = 'the records everywhere'
  await waitFor(async () => (await haveAll()) || rig.time.advanceAsync(5).then(haveAll), { what })
  return stores
}

async function backUp(store: ReplicationStore, format: 'binary' | 'jsonl'): Promise<Uint8Array> {
  const time = new FakeTime()
  const backup = await backupOfStore(store, { clock: new HybridClock(time), time, scopes: [] })
  const chunks: Uint8Array[] = []
  for await (const chunk of writeBackup(backup.header, backup.records, { format }))
    chunks.push(chunk)
  return Buffer.concat(chunks)
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

describe('a field that is not known', () => {
  it.each([
    ['down from the leader', 0],
    ['up and down from a node between', 1],
    ['up from a follower of a follower', 2],
  ] as const)('goes from node to node, %s', async (_, filled) => {
    const stores = await chain(filled, async (store) => {
      await store.merge(RECORDS, { source: 'x' })
    })
    for (const store of stores) expect(await held(store)).toEqual(RECORDS)
  })

  it.each(['binary', 'jsonl'] as const)(
    'goes through a %s backup, and back into a cluster',
    async (format) => {
      const first = await openStore()
      await first.merge(RECORDS, { source: 'x' })
      const bytes = await backUp(first, format)
      await first.close()

      const adapter = new MemoryStorage()
      const options = { time: new FakeTime(), newId: () => 'new', cacheBytes: 1 << 20 }
      await restoreStorage(adapter, undefined, readBackup(once(bytes)), options)
      const restored = await openStore({ adapter })
      expect(await held(restored)).toEqual(RECORDS)
      const again = await backUp(restored, format)
      await restored.close()

      const stores = await chain(2, async (store) => {
        await mergeBackup(store, readBackup(once(again)))
      })
      for (const store of stores) expect(await held(store)).toEqual(RECORDS)
    },
  )
})
