/** Records damaged on one node's disk come back from its peers, as real processes see it. */

import { describe, expect, it } from 'vitest'
import { recordRow } from '../../src/store/format/rows.ts'
import { LevelStorage } from '../../storage-adapters/leveldb/leveldb.ts'
import { type ProcessNode, waitUntilEqual } from '../support/process-cluster.ts'
import { CATCH_UP_MS, dataOf, settle, startTrio, useClusters } from '../support/trio.ts'
import { waitFor } from '../support/wait.ts'

const newCluster = useClusters()

/** Changes bytes of the stored records of a node that does not run, or takes the records away. */
async function damage(
  node: ProcessNode,
  keys: readonly string[],
  how: 'flip' | 'remove',
): Promise<void> {
  const storage = new LevelStorage({ directory: node.directory })
  await storage.open()
  for (const key of keys) {
    const row = recordRow(key)
    const value = await storage.get(row)
    if (value === undefined) throw new Error(`${node.name} has no record of ${key}`)
    const flipped = `${value.slice(0, -1)}${String.fromCharCode(value.charCodeAt(value.length - 1) ^ 1)}`
    await storage.batch([
      how === 'flip' ? { type: 'put', key: row, value: flipped } : { type: 'del', key: row },
    ])
  }
  await storage.close()
}

describe.each(['flip', 'remove'] as const)('damaged records (%s)', (how) => {
  it.each([
    ['everything in memory', 'all'],
    ['a bounded cache', '1MiB'],
  ])('of a follower come back from its leader, with %s', async (_name, cache) => {
    const { leader, a, all } = await startTrio(newCluster({ args: ['--cache', cache] }))
    for (let i = 0; i < 20; i += 1) await leader.post(`items/k-${i}`, { i })
    await leader.delete('items/k-3')
    await waitUntilEqual(all)
    await a.stop()
    await damage(a, ['items/k-3', 'items/k-5', 'items/k-6'], how)
    await a.start()
    await waitUntilEqual(all, undefined, CATCH_UP_MS)
    expect(await dataOf(a, 'items/k-5')).toEqual({ i: 5 })
    expect((await a.get('items/k-3')).status).toBe(404)
    expect(a.output).toContain('the storage is damaged')
  })

  it('of the leader come back from its followers, while its clients see an error and no lie', async () => {
    const { leader, a, b, all } = await startTrio(newCluster())
    for (let i = 0; i < 20; i += 1) await leader.post(`items/k-${i}`, { i })
    await waitUntilEqual(all)
    await a.stop()
    await b.stop()
    await leader.stop()
    await damage(leader, ['items/k-7'], how)
    await leader.start()
    const answer = await leader.get('items/k-7')
    expect(answer.status).toBe(500)
    expect(answer.body).toContain('items/k-7')
    await b.start()
    await waitFor(async () => (await leader.get('items/k-7')).status === 200, {
      deadlineMs: CATCH_UP_MS,
      what: 'the record to come back',
    })
    await a.start()
    await settle(all, 'all back')
    await waitUntilEqual(all, undefined, CATCH_UP_MS)
    expect(await dataOf(leader, 'items/k-7')).toEqual({ i: 7 })
  })
})
