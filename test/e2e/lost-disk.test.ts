/** Nodes that come back under their address with an empty data folder. */

import { describe, expect, it } from 'vitest'
import { waitUntilEqual } from '../support/process-cluster.ts'
import { CATCH_UP_MS, holdersOf, listOf, settle, startTrio, useClusters } from '../support/trio.ts'
import { waitFor } from '../support/wait.ts'

const newCluster = useClusters()

describe('a lost disk of the leader', () => {
  it('is refilled by the followers, with what only one of them had', async () => {
    const { leader, a, b, all } = await startTrio(newCluster())
    for (let i = 0; i < 50; i += 1) await leader.post(`items/old-${i}`, { i })
    await waitUntilEqual(all)
    await leader.kill()
    await leader.wipe()
    await a.post('items/only-a', 1)
    await b.post('items/only-b', 2)
    await a.delete('items/old-7')
    await leader.start()
    await waitFor(
      async () => {
        const list = await listOf(leader)
        return 'items/only-a' in list && 'items/only-b' in list && !('items/old-7' in list)
      },
      { deadlineMs: CATCH_UP_MS, what: 'the leader to be refilled' },
    )
    await waitUntilEqual(all, undefined, CATCH_UP_MS)
    expect(Object.keys(await listOf(b))).toHaveLength(50 - 1 + 2)
    expect(await holdersOf(all, 'items/old-7')).toEqual([])
    await settle(all, 'after the refill')
  })

  it('does not bring back what was deleted before, from a follower that was away all the time', async () => {
    const { leader, a, b, all } = await startTrio(newCluster())
    for (const key of ['items/x', 'items/y', 'items/z']) await leader.post(key, 1)
    await waitUntilEqual(all)
    await b.kill()
    await leader.delete('items/x')
    await a.delete('items/y')
    await waitUntilEqual([leader, a])
    await leader.kill()
    await leader.wipe()
    await leader.start()
    await waitFor(async () => 'items/z' in (await listOf(leader)), { deadlineMs: CATCH_UP_MS })
    await b.start()
    await settle([b, a, leader], 'all back')
    await waitUntilEqual(all, undefined, CATCH_UP_MS)
    expect(await listOf(b)).toEqual({ 'items/z': 1 })
  })

  it('is also healed when the followers return one after the other with writes of their own', async () => {
    const { leader, a, b, all } = await startTrio(newCluster())
    await leader.post('items/old', 1)
    await waitUntilEqual(all)
    await leader.kill()
    await a.post('items/a', 'alone')
    await b.post('items/b', 'alone')
    await a.kill()
    await b.kill()
    await leader.wipe()
    await leader.start()
    await leader.post('items/new', 2)
    await a.start()
    await waitFor(async () => 'items/a' in (await listOf(leader)), { deadlineMs: CATCH_UP_MS })
    await b.start()
    await waitFor(async () => 'items/b' in (await listOf(a)), { deadlineMs: CATCH_UP_MS })
    await waitUntilEqual(all, undefined, CATCH_UP_MS)
    expect(await listOf(leader)).toEqual({
      'items/a': 'alone',
      'items/b': 'alone',
      'items/new': 2,
      'items/old': 1,
    })
  })
})

describe('a lost disk of a follower', () => {
  it('is refilled by the leader', async () => {
    const { leader, a, b, all } = await startTrio(newCluster())
    for (let i = 0; i < 50; i += 1) await b.post(`items/${i}`, { i })
    await waitUntilEqual(all)
    await a.kill()
    await a.wipe()
    await leader.post('items/meanwhile', true)
    await a.start()
    await waitFor(async () => Object.keys(await listOf(a)).length === 51, {
      deadlineMs: CATCH_UP_MS,
    })
    await waitUntilEqual(all)
    await settle([a, b, leader], 'after the refill')
  })
})
