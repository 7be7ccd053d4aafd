/** What 2.0 nodes wrote and deleted while they or our leader were away, once both are back. */
import { expect, test } from 'vitest'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { freePort } from '../../support/free-port.ts'
import { waitFor, waitForValue } from '../../support/wait.ts'
import { KEYS, type OwnNode, startOwn, startPeer, thingsOf } from './own-node.ts'
import type { PeerOptions, PivotPeer } from './peer.ts'

async function startNode(
  leader: OwnNode,
  name = 'old',
  options: Partial<PeerOptions> = {},
): Promise<PivotPeer> {
  const node = await startPeer({ leader: leader.address, ...options })
  leader.lists(node)
  await node.register(name)
  await waitForHealth(leader, node, true)
  return node
}

async function waitForHealth(leader: OwnNode, node: PivotPeer, isHealthy: boolean): Promise<void> {
  await waitFor(
    async () => {
      const { body } = await leader.request('GET', '/_pivot/health/nodes')
      const nodes = JSON.parse(body) as { address: string; healthy: boolean }[]
      return nodes.some(({ address, healthy }) => address === node.address && healthy === isHealthy)
    },
    { what: `a node that is ${isHealthy ? 'healthy' : 'unhealthy'}` },
  )
}

/**
 * The nodes hold what the leader holds, the leader has seen that, and no call is under way: a 2.0 node
 * that writes during a pull may lose that write to the pull.
 */
async function inStep(leader: OwnNode, ...nodes: readonly PivotPeer[]): Promise<void> {
  for (const node of nodes) {
    await waitFor(
      async () => JSON.stringify(thingsOf(node)) === JSON.stringify(await leader.things()),
    )
    for (const path of ['things/*', 'nodes/*']) {
      await waitFor(() => leader.contextCovers(node.address, path), { what: `a look at ${path}` })
    }
    let taken = -1
    await waitFor(
      () => {
        const isQuiet = taken === node.requests && node.isIdle
        taken = node.requests
        return isQuiet
      },
      { what: 'a node that is left alone', intervalMs: 150 },
    )
  }
}

test.each([
  ['later than the leader', true],
  ['earlier than the leader', false],
])(
  'a write of a node that was cut off survives, made %s wrote to the list',
  async (_when, isLater) => {
    const leader = await startOwn()
    await leader.set('things/a', '1')
    const node = await startNode(leader)
    await inStep(leader, node)
    node.cut(true)
    if (isLater) await leader.set('things/c', '1')
    await node.set('things/b', '"node"')
    if (!isLater) await leader.set('things/c', '1')
    node.cut(false)
    // Whoever reads at the node makes it pull before its leader has noticed anything.
    await node.read('things/a')
    const expected = { 'things/a': '1', 'things/b': '"node"', 'things/c': '1' }
    await waitForValue(() => leader.things(), expected)
    await waitForValue(() => thingsOf(node), expected)
  },
)

test.each(['things/b', 'settings', 'deep/down/value'])(
  'a write of %s survives although the leader wrote nothing meanwhile',
  async (key) => {
    const keys = [...KEYS, 'deep/down/value']
    const leader = await startOwn({ keys })
    await leader.set('things/a', '1')
    await leader.set('settings', '"old"')
    await leader.set('deep/down/value', '"old"')
    const node = await startNode(leader, 'old', { keys })
    await inStep(leader, node)
    node.cut(true)
    await node.set(key, '"node"')
    node.cut(false)
    await waitForValue(() => leader.value(key), '"node"')
    expect(node.value(key)).toBe('"node"')
  },
)

test('a plain key that both wrote has the later value on both sides', async () => {
  const leader = await startOwn()
  await leader.set('settings', '0')
  const node = await startNode(leader)
  await waitForValue(() => node.value('settings'), '0')
  await inStep(leader, node)
  node.cut(true)
  await leader.set('settings', '"leader"')
  const written = (await leader.server.store.get('settings'))?.updated ?? 0n
  await waitFor(() => node.now() > written + 1_000_000n)
  await node.set('settings', '"node"')
  node.cut(false)
  await node.read('settings')
  await waitForValue(() => leader.value('settings'), '"node"')
  await waitForValue(() => node.value('settings'), '"node"')
})

test('a plain key that a node deleted, and its leader wrote later, comes back to the node', async () => {
  const leader = await startOwn()
  await leader.set('settings', '0')
  const node = await startNode(leader)
  await waitForValue(() => node.value('settings'), '0')
  await inStep(leader, node)
  node.cut(true)
  await node.delete('settings')
  const deleted = node.deletes.get('settings') ?? 0n
  await waitFor(() => node.now() > deleted + 5_000_000n)
  await leader.set('settings', '"leader"')
  node.cut(false)
  await waitForValue(() => node.value('settings'), '"leader"')
  expect(await leader.value('settings')).toBe('"leader"')
})

test('a node that is started again brings what it could not send, however short it was away', async () => {
  const leader = await startOwn()
  await leader.set('things/a', '1')
  const node = await startNode(leader)
  await inStep(leader, node)
  node.cut(true)
  await node.set('things/b', '"node"')
  await node.stop()
  node.cut(false)
  await leader.set('things/c', '1')
  await node.start()
  await node.read('things/a')
  const expected = { 'things/a': '1', 'things/b': '"node"', 'things/c': '1' }
  await waitForValue(() => thingsOf(node), expected)
  await waitForValue(() => leader.things(), expected)
})

test.each([
  ['that syncs when it starts', true],
  ['that only pulls', false],
])(
  'a leader that is started again takes what a node %s wrote and deleted meanwhile',
  async (_what, autoSync) => {
    const storage = new MemoryStorage()
    const port = await freePort()
    const first = await startOwn({ storage, port })
    for (const name of ['a', 'b', 'c']) await first.set(`things/${name}`, '1')
    await first.set('settings', '1')
    const node = await startNode(first, 'old', { autoSync, retryMs: 20 })
    await inStep(first, node)
    await first.server.close()
    await node.delete('things/a')
    // Takes away the only stamp of that delete.
    await node.set('things/b', '"node"')
    await node.set('things/d', '"node"')
    await node.delete('settings')
    const second = await startOwn({ storage, port, lists: [node] })
    await second.set('things/e', '"leader"')
    await node.read('things/b')
    const expected = {
      'things/b': '"node"',
      'things/c': '1',
      'things/d': '"node"',
      'things/e': '"leader"',
    }
    await waitForValue(() => second.things(), expected)
    await waitForValue(() => thingsOf(node), expected)
    await waitFor(async () => (await second.value('settings')) === undefined)
    expect(node.value('settings')).toBeUndefined()
  },
)

test('a leader that is stopped right after a write has seen that write at its nodes', async () => {
  const storage = new MemoryStorage()
  const port = await freePort()
  const first = await startOwn({ storage, port })
  const node = await startNode(first)
  await inStep(first, node)
  await first.set('things/a', '1')
  await first.set('things/b', '1')
  await waitFor(() => node.value('things/b') !== undefined)
  await first.server.close()
  await node.delete('things/a')
  await node.set('things/c', '1')
  const second = await startOwn({ storage, port, lists: [node] })
  const expected = { 'things/b': '1', 'things/c': '1' }
  await waitForValue(() => second.things(), expected)
  await waitForValue(() => thingsOf(node), expected)
})

test('a delete of a node that was cut off holds, at the leader, its followers and other nodes', async () => {
  const leader = await startOwn()
  const own = await startOwn({ follows: leader.address })
  for (const name of ['a', 'b']) await leader.set(`things/${name}`, '1')
  const one = await startNode(leader, 'one')
  const two = await startNode(leader, 'two')
  await inStep(leader, one, two)
  one.cut(true)
  await one.delete('things/a')
  await one.set('things/c', '"one"')
  one.cut(false)
  const expected = { 'things/b': '1', 'things/c': '"one"' }
  await waitForValue(() => leader.things(), expected)
  for (const node of [one, two]) await waitForValue(() => thingsOf(node), expected)
  await waitForValue(() => own.things(), expected)
})

test('what the leader changed since it saw it at the node is not taken for deleted there', async () => {
  const leader = await startOwn()
  await leader.set('things/a', '1')
  await leader.set('things/b', '1')
  const node = await startNode(leader)
  await inStep(leader, node)
  node.cut(true)
  await node.delete('things/a')
  await node.set('things/b', '2')
  await leader.set('things/a', '"leader"')
  await leader.set('things/new', '"leader"')
  node.cut(false)
  const expected = { 'things/a': '"leader"', 'things/b': '2', 'things/new': '"leader"' }
  await waitForValue(() => thingsOf(node), expected)
  expect(await leader.things()).toEqual(expected)
})

test.each([true, false])(
  'a node that lost its disk deletes nothing, when it wrote something new: %s',
  async (hasWritten) => {
    const leader = await startOwn()
    for (const name of ['a', 'b', 'c']) await leader.set(`things/${name}`, '1')
    const node = await startNode(leader)
    await inStep(leader, node)
    node.cut(true)
    node.wipe()
    if (hasWritten) await node.set('things/new', '1')
    node.cut(false)
    await node.register('old')
    await waitFor(() => Object.keys(thingsOf(node)).length === (hasWritten ? 4 : 3))
    expect(Object.keys(await leader.things()).length).toBe(hasWritten ? 4 : 3)
    await inStep(leader, node)
    expect(Object.keys(await leader.things()).length).toBe(hasWritten ? 4 : 3)
  },
)

test('a node that was restored from an older backup deletes nothing that is newer', async () => {
  const leader = await startOwn()
  await leader.set('things/a', '1')
  const node = await startNode(leader)
  await inStep(leader, node)
  const backup = new Map(node.entries)
  await leader.set('things/b', '1')
  await leader.set('things/a', '2')
  await leader.set('things/c', '1')
  await inStep(leader, node)
  node.cut(true)
  node.wipe()
  for (const [key, meta] of backup) node.entries.set(key, meta)
  await node.set('things/new', '1')
  node.cut(false)
  const expected = { 'things/a': '2', 'things/b': '1', 'things/c': '1', 'things/new': '1' }
  await waitForValue(() => thingsOf(node), expected)
  expect(await leader.things()).toEqual(expected)
})

test('until the lists of a node are read, its questions for the activity are answered with an empty 400', async () => {
  const leader = await startOwn()
  await leader.set('things/a', '1')
  const node = await startNode(leader)
  await inStep(leader, node)
  const before = await leader.request('GET', '/_pivot/activity/things')
  expect(before.status).toBe(200)
  node.cut(true)
  await waitFor(async () => (await leader.request('GET', '/_pivot/activity/things')).status === 400)
  expect((await leader.request('GET', '/_pivot/activity/things')).body).toBe('')
  node.cut(false)
  await waitFor(async () => (await leader.request('GET', '/_pivot/activity/things')).status === 200)
})

test('of two values that two nodes gave one stamp, all have the same in the end', async () => {
  const leader = await startOwn()
  const one = await startNode(leader, 'one')
  const two = await startNode(leader, 'two')
  await inStep(leader, one, two)
  const created = one.now()
  for (const node of [one, two]) node.cut(true)
  one.entries.set('things/a', { created, updated: 0n, data: '{"by":"one"}' })
  two.entries.set('things/a', { created, updated: 0n, data: '{"by":"two"}' })
  for (const node of [one, two]) node.cut(false)
  await waitFor(async () => (await leader.value('things/a')) !== undefined)
  await inStep(leader, one, two)
  expect(thingsOf(one)).toEqual(thingsOf(two))
})
