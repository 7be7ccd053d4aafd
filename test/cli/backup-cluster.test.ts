/** Backups of nodes that replicate, with real processes: what a restored node brings back, and what not. */
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { runCli } from '../support/cli-process.ts'
import { type ProcessNode, waitUntilEqual } from '../support/process-cluster.ts'
import { CATCH_UP_MS, holdersOf, listOf, settle, startTrio, useClusters } from '../support/trio.ts'
import { waitFor } from '../support/wait.ts'

const newCluster = useClusters()

const fileOf = (node: ProcessNode): string => join(node.directory, '..', 'leader.ooo')

async function backUp(node: ProcessNode): Promise<void> {
  const { code, stderr } = await runCli(['backup', '--url', node.url, fileOf(node)])
  expect(code, stderr).toBe(0)
}

async function restore(node: ProcessNode, from: ProcessNode, ...args: string[]): Promise<void> {
  const command = ['restore', fileOf(from), '--data', node.directory, ...args]
  const { code, stderr } = await runCli(command)
  expect(code, stderr).toBe(0)
}

const idOf = async ({ url }: ProcessNode): Promise<string> =>
  ((await (await fetch(`${url}/-/cluster`)).json()) as { id: string }).id

it('a leader whose disk is lost is restored from a backup, and its followers bring the rest', async () => {
  const { leader, a, b, all } = await startTrio(newCluster())
  for (let i = 0; i < 100; i += 1) await leader.post(`items/old-${i}`, { i })
  await leader.delete('items/old-1')
  await settle(all, 'before the backup')
  const id = await idOf(leader)

  // The backup is made while writes go on; each of them is acknowledged before the next.
  const during: string[] = []
  let made = false
  const writing = (async () => {
    while (!made) {
      const key = `items/during-${during.length}`
      await leader.post(key, during.length)
      during.push(key)
    }
  })()
  await backUp(leader).finally(() => {
    made = true
  })
  await writing
  await leader.post('items/old-2', 'changed after the backup')
  await leader.delete('items/old-3')
  await a.delete('items/old-4')
  await b.post('items/late', 'after the backup')
  await settle(all, 'after the backup')
  await waitUntilEqual(all)

  await leader.kill()
  await leader.wipe()
  await a.post('items/only-a', 'while the leader was away')
  await b.delete('items/old-5')
  await restore(leader, leader)
  await leader.start()
  expect(await idOf(leader)).toBe(id)

  await waitFor(async () => 'items/only-a' in (await listOf(leader)), { deadlineMs: CATCH_UP_MS })
  await settle(all, 'after the restore')
  await waitUntilEqual(all, undefined, CATCH_UP_MS)
  const list = await listOf(leader)
  const kept = Array.from({ length: 94 }, (_, i) => `items/old-${i + 6}`)
  const others = ['items/old-0', 'items/old-2', 'items/late', 'items/only-a']
  expect(Object.keys(list).sort()).toEqual([...kept, ...during, ...others].sort())
  expect(list['items/old-2']).toBe('changed after the backup')
  for (const i of [1, 3, 4, 5]) expect(await holdersOf(all, `items/old-${i}`)).toEqual([])
})

it('with every disk lost, the backup is what all nodes come back to', async () => {
  const { leader, a, b, all } = await startTrio(newCluster())
  for (let i = 0; i < 30; i += 1) await b.post(`items/${i}`, { i })
  await a.delete('items/3')
  await waitUntilEqual(all)
  await settle(all, 'backed up')
  await backUp(leader)
  const before = await waitUntilEqual(all)
  for (const node of all) {
    await node.kill()
    await node.wipe()
  }
  await restore(leader, leader)
  for (const node of all) await node.start()
  await waitFor(async () => (await a.get('items/*')).body === before['items/*'], {
    deadlineMs: CATCH_UP_MS,
  })
  await waitUntilEqual(all, undefined, CATCH_UP_MS)
  expect((await leader.get('items/*')).body).toBe(before['items/*'])
  expect(await holdersOf(all, 'items/3')).toEqual([])
  await settle(all, 'and go on')
})

it('a node put back to an old backup takes back nothing from the others', async () => {
  const { leader, a, b, all } = await startTrio(newCluster())
  for (const key of ['items/kept', 'items/changed', 'items/deleted']) await leader.post(key, 'old')
  await settle(all, 'backed up')
  await backUp(leader)
  await leader.post('items/changed', 'new')
  await leader.delete('items/deleted')
  await leader.post('items/added', 1)
  await settle(all, 'written on')
  const before = await waitUntilEqual(all)
  await leader.stop()
  await restore(leader, leader, '--force')
  await leader.start()
  await settle(all, 'restored')
  await waitUntilEqual(all, undefined, CATCH_UP_MS)
  expect((await b.get('items/*')).body).toBe(before['items/*'])
  expect((await a.get('items/*')).body).toBe(before['items/*'])
})

it("a follower may be filled from the leader's backup, under an id of its own", async () => {
  const { leader, a, b, all } = await startTrio(newCluster())
  for (let i = 0; i < 30; i += 1) await leader.post(`items/${i}`, { i })
  await settle(all, 'backed up')
  await backUp(leader)
  await a.kill()
  await a.wipe()
  await leader.delete('items/7')
  await restore(a, leader, '--new-id')
  await a.start()
  expect(await idOf(a)).not.toBe(await idOf(leader))
  await settle([a, b, leader], 'filled')
  await waitUntilEqual(all, undefined, CATCH_UP_MS)
  expect(Object.keys(await listOf(a))).toHaveLength(29)
  expect(await holdersOf(all, 'items/7')).toEqual([])
})

it('a leader whose clock was an hour ahead is backed up, and restored into a running node that others follow', async () => {
  const cluster = newCluster()
  const skew = new URL('../support/clock-ahead.mjs', import.meta.url).href
  const enter = ['env', 'CLOCK_AHEAD_MS=3600000', `NODE_OPTIONS=--import=${skew}`]
  const old = await cluster.start({ name: 'old', enter })
  await old.post('items/a', 'first')
  await old.post('items/b', 'kept')
  await old.post('items/gone', 1)
  await old.delete('items/gone')
  const stale = await cluster.start({ name: 'stale', follows: old })
  await settle([old, stale], 'before the clock is right')
  await stale.stop()
  await old.stop()
  // From now on it is run as it is.
  enter.splice(0)
  await old.start()
  await old.post('items/c', 'after the clock was right')
  await old.post('items/a', 'second')
  await backUp(old)
  await old.stop()

  const next = await cluster.start({ name: 'next' })
  await next.post('items/own', 1)
  const restored = await runCli(['restore', fileOf(old), '--url', next.url])
  expect(restored.code, restored.stderr).toBe(0)
  expect(restored.stderr).toMatch(/ooo: restamped [5-9] of them, in their order/)
  await next.post('items/b', 'changed after the restore')
  for (const node of [old, stale]) node.follows = next
  const all = [next, old, stale]
  for (const node of [old, stale]) await node.start()
  await settle(all, 'moved')
  await waitUntilEqual(all)
  for (const node of all) {
    const values = await listOf(node, 'items/*')
    expect(values).toMatchObject({
      'items/a': 'second',
      'items/b': 'changed after the restore',
      'items/c': 'after the clock was right',
    })
    expect(values).not.toHaveProperty('items/gone')
  }
})
