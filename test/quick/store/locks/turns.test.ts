/** One operation on many keys leaves turns of the event loop to others, and is still one step for all who look. */
import { expect, it } from 'vitest'
import type { ReplicationStore } from '../../../../src/store/replication-store.ts'
import { openStore } from '../../../support/store.ts'
import { countTurns } from '../../../support/turns.ts'

const KEYS = 20_000

async function filled(): Promise<ReplicationStore> {
  const store = await openStore()
  for (let i = 0; i < KEYS; i += 1000) {
    await store.batch(
      Array.from(
        { length: 1000 },
        (_, j) => ({ op: 'set', key: `g/${i + j}`, json: '1' }) as const,
      ),
    )
  }
  return store
}

it('a delete of a glob takes many turns, and readers see all of its keys or none', async () => {
  const store = await filled()
  const counts = new Set<number>()
  const commits: number[] = []
  store.onCommit(({ changes }) => commits.push(changes.length))
  const done = store.delete('g/*')
  const later = store.set('g/later', '2')
  const turns = await countTurns(done, async () => {
    counts.add((await store.keys()).length)
  })
  expect(turns).toBeGreaterThan(40)
  expect([...counts].filter((count) => count !== KEYS && count > 1)).toEqual([])
  expect(counts).toContain(KEYS)
  expect(await done).toMatchObject({ deleted: KEYS })
  await later
  expect(await store.keys()).toEqual(['g/later'])
  expect(commits).toEqual([KEYS, 1])
  await store.close()
})

it('so does one of a batch', async () => {
  const store = await filled()
  const done = store.batch([
    { op: 'delete', key: 'g/*' },
    { op: 'set', key: 'g/new', json: '2' },
  ])
  expect(await countTurns(done)).toBeGreaterThan(40)
  expect(await store.keys()).toEqual(['g/new'])
  await store.close()
})
