/** Nodes that are killed, frozen, or lose their disks: what the others do meanwhile, and the return. */

import { Agent } from 'node:http'
import { createServer } from 'node:net'
import { describe, expect, it } from 'vitest'
import { type ProcessNode, waitUntilEqual } from '../support/process-cluster.ts'
import {
  CATCH_UP_MS,
  dataOf,
  holdersOf,
  listOf,
  settle,
  startTrio,
  useClusters,
} from '../support/trio.ts'
import { waitFor, waitForValue } from '../support/wait.ts'

const newCluster = useClusters()

describe('a killed leader', () => {
  it('disturbs no follower, and has everything after its return', async () => {
    const { leader, a, b, all } = await startTrio(newCluster())
    for (let i = 0; i < 20; i += 1) await leader.post(`items/old-${i}`, { i })
    await waitUntilEqual(all)
    const atA = await a.subscribe('items/*')
    const atB = await b.subscribe('items/*')
    const settingsAtA = await a.subscribe('settings')

    await leader.kill()
    for (let i = 0; i < 30; i += 1) {
      await a.post(`items/a-${i}`, { i })
      await b.post(`items/b-${i}`, { i })
    }
    await a.patch('items/old-0', { patched: 'a' })
    await a.delete('items/old-1')
    await b.delete('items/old-2')
    await b.delete('items/b-0')
    await a.post('settings', { offline: true })
    await waitForValue<unknown>(() => settingsAtA.data(), { offline: true })
    await waitForValue(() => atA.dataByPath(), await listOf(a), { what: 'a to see its own' })
    await waitForValue(() => atB.dataByPath(), await listOf(b), { what: 'b to see its own' })
    expect(Object.keys(await listOf(a))).toHaveLength(20 - 1 + 30)

    await leader.start()
    await waitFor(async () => 'items/b-29' in (await listOf(a)), { deadlineMs: CATCH_UP_MS })
    await waitUntilEqual(all, undefined, CATCH_UP_MS)
    const final = await listOf(leader)
    expect(Object.keys(final)).toHaveLength(20 - 2 + 30 + 29)
    expect(final['items/old-0']).toEqual({ i: 0, patched: 'a' })
    expect(await holdersOf(all, 'items/old-1')).toEqual([])
    expect(await holdersOf(all, 'items/old-2')).toEqual([])
    expect(await holdersOf(all, 'items/b-0')).toEqual([])
    expect(await dataOf(b, 'settings')).toEqual({ offline: true })
    await waitForValue(() => atA.dataByPath(), final, { what: "a's subscriber" })
    await waitForValue(() => atB.dataByPath(), final, { what: "b's subscriber" })
    expect([...atA.problems, ...atB.problems, ...settingsAtA.problems]).toEqual([])
  })

  it('is found again also after a long absence', async () => {
    const { leader, a, b, all } = await startTrio(newCluster())
    await leader.kill()
    await a.post('items/a', 1)
    await b.post('items/b', 2)
    // By then both followers dial as rarely as they ever will.
    await countDials(leader.port, 14)
    await leader.start()
    await waitFor(async () => 'items/a' in (await listOf(b)), { deadlineMs: CATCH_UP_MS })
    await waitUntilEqual(all, undefined, CATCH_UP_MS)
    expect(await listOf(leader)).toEqual({ 'items/a': 1, 'items/b': 2 })
  }, 240_000)

  it('that is frozen instead holds nobody up, and catches up when it goes on', async () => {
    const { leader, a, b, all } = await startTrio(newCluster())
    const atA = await a.subscribe('items/*')
    leader.freeze()
    for (let i = 0; i < 20; i += 1) {
      await a.post(`items/a-${i}`, i)
      await b.post(`items/b-${i}`, i)
    }
    await b.delete('items/b-0')
    await waitFor(() => Object.keys(atA.dataByPath()).length === 20, { what: "a's own writes" })
    leader.thaw()
    await waitFor(async () => 'items/b-19' in (await listOf(a)), { deadlineMs: CATCH_UP_MS })
    await waitUntilEqual(all, undefined, CATCH_UP_MS)
    expect(Object.keys(await listOf(leader))).toHaveLength(39)
    await waitForValue(() => atA.dataByPath(), await listOf(a))
    expect(atA.problems).toEqual([])
  })

  it('that returns with other writes of its own keeps them and takes the followers’', async () => {
    const { leader, a, b, all } = await startTrio(newCluster())
    await leader.post('items/base', 0)
    await waitUntilEqual(all)
    await leader.kill()
    await a.post('items/k1', { by: 'a, leader away' })
    // The leader comes back while no follower runs: neither side can have told the other.
    await a.stop()
    await b.stop()
    await leader.start()
    await leader.post('items/k2', { by: 'leader, followers away' })
    await a.start()
    await b.start()
    await waitFor(async () => 'items/k1' in (await listOf(b)), { deadlineMs: CATCH_UP_MS })
    await waitUntilEqual(all, undefined, CATCH_UP_MS)
    expect(await listOf(a)).toEqual({
      'items/base': 0,
      'items/k1': { by: 'a, leader away' },
      'items/k2': { by: 'leader, followers away' },
    })
  })
})

describe('a killed follower', () => {
  it('in the middle of 1,000 writes loses none that it acknowledged', async () => {
    const { leader, a, b, all } = await startTrio(newCluster())
    const acknowledged = await writeUntilKilled(a, 1_000, 300)
    expect(acknowledged.length).toBeGreaterThanOrEqual(300)
    expect(acknowledged.length).toBeLessThan(1_000)
    await a.start()
    await waitFor(
      async () => {
        const list = await listOf(b)
        return acknowledged.every((key) => key in list)
      },
      { deadlineMs: CATCH_UP_MS, intervalMs: 100, what: 'every acknowledged write at b' },
    )
    await waitUntilEqual(all, undefined, CATCH_UP_MS)
    const list = await listOf(leader)
    expect(acknowledged.filter((key) => !(key in list))).toEqual([])
  })

  it('takes over on its return what was deleted on the leader meanwhile', async () => {
    const { leader, a, b, all } = await startTrio(newCluster())
    await a.post('items/doomed', 1)
    await a.post('items/stays', 1)
    await waitUntilEqual(all)
    await a.kill()
    await leader.delete('items/doomed')
    await a.start()
    await waitFor(async () => (await a.get('items/doomed')).status === 404, {
      deadlineMs: CATCH_UP_MS,
    })
    await settle([leader, a, b], 'after')
    await waitUntilEqual(all)
    expect(await holdersOf(all, 'items/doomed')).toEqual([])
    expect(await listOf(a)).toEqual({ 'items/stays': 1 })
  })

  it('takes over on its return what was deleted on the other follower meanwhile', async () => {
    const { leader, a, b, all } = await startTrio(newCluster())
    await b.post('items/doomed', 1)
    await leader.post('settings', { doomed: true })
    await waitUntilEqual(all)
    await b.kill()
    await a.delete('items/doomed')
    await a.delete('settings')
    await b.start()
    await waitFor(
      async () =>
        (await b.get('items/doomed')).status === 404 && (await b.get('settings')).status === 404,
      { deadlineMs: CATCH_UP_MS },
    )
    expect(await holdersOf(all, 'settings')).toEqual([])
    await settle([b, a, leader], 'after')
    await waitUntilEqual(all)
    expect(await holdersOf(all, 'items/doomed')).toEqual([])
  })
})

/** Listens in the place of a node that is down and hangs up on everyone, until `count` have dialled. */
async function countDials(port: number, count: number): Promise<void> {
  let dials = 0
  const server = createServer((socket) => {
    dials += 1
    socket.on('error', () => undefined)
    socket.destroy()
  })
  await new Promise<void>((listening) => server.listen(port, '127.0.0.1', listening))
  try {
    await waitFor(() => dials >= count, { deadlineMs: 120_000, what: `${count} dials` })
  } finally {
    await new Promise((closed) => server.close(closed))
  }
}

/** Sends `count` writes, 50 at a time, and kills the node at `killAfter` answers; gives the keys it acknowledged. */
async function writeUntilKilled(
  node: ProcessNode,
  count: number,
  killAfter: number,
): Promise<string[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 50 })
  const acknowledged: string[] = []
  let killing: Promise<void> | undefined
  await Promise.allSettled(
    Array.from({ length: count }, async (_, i) => {
      const key = `items/w-${String(i).padStart(4, '0')}`
      await node.post(key, { i, filler: 'x'.repeat(200) }, { agent })
      acknowledged.push(key)
      if (acknowledged.length === killAfter) killing = node.kill()
    }),
  )
  await killing
  agent.destroy()
  return acknowledged
}
