/** Replication between real processes over real sockets and disks, as an operator would run it. */

import { Agent } from 'node:http'
import { describe, expect, it } from 'vitest'
import { request } from '../support/http.ts'
import { waitUntilEqual } from '../support/process-cluster.ts'
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

describe('a leader and two followers', () => {
  it('show writes, patches, pushes and deletes of each node to the live subscribers of the others', async () => {
    const { all } = await startTrio(newCluster())
    const watched = await Promise.all(
      all.map(async (node) => ({
        node,
        items: await node.subscribe('items/*'),
        settings: await node.subscribe('settings'),
      })),
    )
    const seenByAll = async (key: 'items' | 'settings', expected: unknown): Promise<void> => {
      for (const { node, items, settings } of watched) {
        await waitForValue<unknown>(
          () => (key === 'items' ? items.dataByPath() : settings.data()),
          expected,
          { what: `${key} at ${node.name}` },
        )
      }
    }
    for (const node of all) {
      const path = `items/${node.name}`
      await node.post(path, { from: node.name, n: 1 })
      await seenByAll('items', { [path]: { from: node.name, n: 1 } })
      await node.patch(path, { n: 2, deep: { more: true } })
      await seenByAll('items', { [path]: { deep: { more: true }, from: node.name, n: 2 } })
      const pushed = `items/${await node.post('items/*', { pushed: node.name })}`
      await waitFor(() => watched.every(({ items }) => pushed in items.dataByPath()), {
        what: `the push of ${node.name} everywhere`,
      })
      await node.delete(pushed)
      await node.delete(path)
      await seenByAll('items', {})
      await node.post('settings', { theme: node.name })
      await seenByAll('settings', { theme: node.name })
      await node.delete('settings')
      await seenByAll('settings', {})
    }
    await waitUntilEqual(all)
    for (const { items, settings } of watched) {
      expect([...items.problems, ...settings.problems]).toEqual([])
      expect([items.snapshots > 0, settings.snapshots > 0]).toEqual([true, true])
    }
  })

  it('change and delete on a node what another one wrote', async () => {
    const { leader, a, b, all } = await startTrio(newCluster())
    await a.post('items/shared', { by: 'a' })
    await waitUntilEqual(all)
    await b.patch('items/shared', { and: 'b' })
    await waitUntilEqual(all)
    expect(await listOf(leader)).toEqual({ 'items/shared': { by: 'a', and: 'b' } })
    await leader.delete('items/shared')
    await waitUntilEqual(all)
    expect(await holdersOf(all, 'items/shared')).toEqual([])
    expect(await listOf(b)).toEqual({})
  })

  it('keep user data digit for digit on every node', async () => {
    const { a, b, leader, all } = await startTrio(newCluster())
    const text =
      '{"big":12345678901234567890,"small":0.10,"exp":1E5,"text":"ž\\u0000\\ud83d\\ude00"}'
    await request('POST', `${a.url}/items/exact`, { body: text })
    await waitUntilEqual(all)
    for (const node of [leader, b]) {
      const body = (await node.get('items/exact')).body
      expect(body).toContain('"big":12345678901234567890,"small":0.10,"exp":1E5')
    }
  })

  it('list the followers under nodes/* of the leader, and a follower itself', async () => {
    const { leader, a, b } = await startTrio(newCluster())
    const shown = [
      [leader, [a.port, b.port]],
      [a, [a.port]],
      [b, [b.port]],
    ] as const
    for (const [node, expected] of shown) {
      await waitFor(
        async () => {
          const records = Object.values(await listOf(node, 'nodes/*'))
          const ports = records.map((record) => Number((record as { port?: unknown }).port))
          return ports.length === expected.length && expected.every((port) => ports.includes(port))
        },
        { what: `followers under nodes/* of ${node.name}` },
      )
    }
  })

  it('leave keys alone that are not replicated', async () => {
    const { leader, a, b, all } = await startTrio(newCluster())
    await a.post('private/a', { own: true })
    await a.post('items/x', 1)
    await waitUntilEqual(all)
    expect(await holdersOf([leader, b], 'private/a')).toEqual([])
    expect(await dataOf(a, 'private/a')).toEqual({ own: true })
  })

  it('end cleanly when asked to, and come back with their data', async () => {
    const { leader, a, b, all } = await startTrio(newCluster())
    await a.post('items/kept', { v: 1 })
    await waitUntilEqual(all)
    for (const node of [a, leader, b])
      expect([node.name, await node.stop()]).toEqual([node.name, 0])
    for (const node of all) await node.start()
    for (const node of all) expect(await listOf(node)).toEqual({ 'items/kept': { v: 1 } })
    await settle([b, a, leader], 'again')
  })
})

describe('much data', () => {
  it('of 3,000 entries and one value of 5 MB reaches a follower that joins late, and one that returns', async () => {
    const cluster = newCluster()
    const leader = await cluster.start({ name: 'leader' })
    const agent = new Agent({ keepAlive: true, maxSockets: 50 })
    const write = async (from: number, to: number): Promise<void> => {
      const numbers = Array.from({ length: to - from }, (_, i) => from + i)
      await Promise.all(numbers.map((i) => leader.post(`items/${i}`, { i }, { agent })))
    }
    await write(0, 3_000)
    await leader.post('settings', { big: 'é'.repeat(2_500_000) })
    const a = await cluster.start({ name: 'a', follows: leader })
    await waitFor(async () => Object.keys(await listOf(a)).length === 3_000, {
      deadlineMs: 60_000,
      intervalMs: 100,
    })
    await waitFor(async () => (await a.get('settings')).status === 200, { deadlineMs: 60_000 })
    await a.kill()
    await write(3_000, 4_000)
    agent.destroy()
    await a.start()
    await waitFor(async () => Object.keys(await listOf(a)).length === 4_000, {
      deadlineMs: CATCH_UP_MS,
      intervalMs: 100,
    })
    await waitUntilEqual([leader, a])
  }, 240_000)
})

describe('a cluster token', () => {
  it('keeps a follower with another token out, which says so and serves on its own', async () => {
    const cluster = newCluster()
    const leader = await cluster.start({
      name: 'leader',
      args: ['--cluster-token', 'right-token-1'],
    })
    const member = await cluster.start({
      name: 'member',
      follows: leader,
      args: ['--cluster-token', 'right-token-1'],
    })
    const stranger = await cluster.start({
      name: 'stranger',
      follows: leader,
      args: ['--cluster-token', 'wrong-token-2'],
    })
    await settle([leader, member], 'members only')
    await stranger.post('items/own', 1)
    await waitFor(() => /token|unauthori[sz]ed|401/i.test(stranger.output), {
      what: 'the stranger to say why it is refused',
    })
    await settle([member, leader], 'still members only')
    expect(await holdersOf([leader, member], 'items/own')).toEqual([])
    expect(await dataOf(stranger, 'items/own')).toEqual(1)
    expect((await stranger.get('settings')).status).toBe(404)
    for (const node of [leader, member, stranger]) {
      expect(node.output).not.toMatch(/right-token-1|wrong-token-2/)
    }
  })
})
