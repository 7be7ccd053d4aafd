/** Our leader and nodes that speak nothing but protocol 2.0. */
import { expect, test } from 'vitest'
import { waitFor, waitForValue } from '../../support/wait.ts'
import { type OwnNode, startOwn, startPeer, thingsOf } from './own-node.ts'
import type { PivotPeer } from './peer.ts'

/** A 2.0 node that follows `leader`, registered there and known to be well. */
async function startOldNode(leader: OwnNode, name = 'old'): Promise<PivotPeer> {
  const node = await startPeer({ leader: leader.address })
  leader.lists(node)
  await node.register(name)
  await healthy(leader, node)
  return node
}

async function healthy(leader: OwnNode, node: PivotPeer): Promise<void> {
  await waitFor(
    async () => {
      const { body } = await leader.request('GET', '/_pivot/health/nodes')
      const nodes = JSON.parse(body) as { address: string; healthy: boolean }[]
      return nodes.some((found) => found.address === node.address && found.healthy)
    },
    { what: 'a healthy 2.0 node' },
  )
}

test('writes and deletes go both ways', async () => {
  const leader = await startOwn()
  await leader.set('things/a', '{"n":12345678901234567890}')
  await leader.set('settings', '1')
  const node = await startOldNode(leader)
  await node.pull()
  expect(thingsOf(node)).toEqual({ 'things/a': '{"n":12345678901234567890}' })
  expect(node.value('settings')).toBe('1')
  await leader.set('things/b', '1')
  await waitForValue(() => node.value('things/b') ?? '', '1')
  // The pull under way has ended: one that goes on would undo what the node writes meanwhile.
  await node.pull()
  await node.set('things/c', '1')
  await node.set('settings', '2')
  expect(await leader.value('things/c')).toBe('1')
  expect(await leader.value('settings')).toBe('2')
  expect((await leader.server.store.get('things/c'))?.created).toBe(
    node.entries.get('things/c')?.created,
  )
  await leader.delete('things/a')
  await node.delete('things/b')
  await waitForValue(() => thingsOf(node), { 'things/c': '1' })
  expect(await leader.things()).toEqual({ 'things/c': '1' })
  await leader.delete('settings')
  await waitFor(() => node.value('settings') === undefined)
})

test('tells how a node is, in the shapes of 2.0', async () => {
  const leader = await startOwn()
  const node = await startOldNode(leader)
  const { status, body } = await leader.request('GET', '/_pivot/health/nodes')
  expect(status).toBe(200)
  expect(body.endsWith(']\n')).toBe(true)
  expect(JSON.parse(body)).toEqual([
    {
      address: node.address,
      healthy: true,
      lastCheck: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      protocol: '2.0',
      compatible: true,
    },
  ])
  const info = JSON.parse((await leader.request('GET', '/?api=pivot')).body)
  expect(info.nodes[0]).toMatchObject({ address: node.address, healthy: true, protocol: '2.0' })
  await node.stop()
  await waitFor(
    async () => {
      const again = JSON.parse((await leader.request('GET', '/_pivot/health/nodes')).body)
      return again[0].healthy === false
    },
    { what: 'an unhealthy node' },
  )
})

test('listed nodes are spoken to, and ours are no 2.0 nodes, listed or not', async () => {
  const leader = await startOwn()
  const numeric = await startPeer({ leader: leader.address })
  const unlisted = await startPeer({ leader: leader.address })
  await unlisted.register('unlisted')
  const own = await startOwn({ follows: leader.address })
  leader.lists(numeric, own)
  await waitFor(() => own.plugin.status()?.links[0]?.state === 'live')
  const askedBefore = unlisted.requests
  await healthy(leader, numeric)
  const asked: string[] = []
  own.server.store.onCommit(() => asked.push('commit'))
  await leader.set('things/a', '1')
  await waitForValue(() => numeric.value('things/a') ?? '', '1')
  await waitForValue(() => own.things(), { 'things/a': '1' })
  const nodes = JSON.parse((await leader.request('GET', '/_pivot/health/nodes')).body)
  const byProtocol = nodes.map(({ protocol }: { protocol: string }) => protocol).sort()
  expect(byProtocol).toContain('2.0')
  expect(byProtocol.filter((protocol: string) => protocol === '2.0')).toHaveLength(1)
  expect(own.isSpeaking).toBe(false)
  expect(unlisted.requests).toBe(askedBefore)
})

test('a node that was away brings its writes and deletes, and gets those it missed', async () => {
  const leader = await startOwn()
  for (const name of ['a', 'b', 'c']) await leader.set(`things/${name}`, '1')
  const node = await startOldNode(leader)
  await node.pull()
  node.cut(true)
  await leader.set('things/a', '"leader"')
  await waitFor(() => node.now() > node.activity('things/*'))
  await node.set('things/b', '"node"')
  // A call of the leader that comes between undoes a delete before the node has told of it.
  await waitFor(async () => {
    node.cut(true)
    if (node.value('things/c') !== undefined) await node.delete('things/c')
    node.cut(false)
    await node.sync()
    return (await leader.value('things/c')) === undefined
  })
  expect(await leader.things()).toEqual({ 'things/a': '"leader"', 'things/b': '"node"' })
  await waitForValue(() => thingsOf(node), await leader.things())
})

test('a node with an empty disk deletes nothing here by its sync', async () => {
  const leader = await startOwn()
  for (const name of ['a', 'b', 'c']) {
    await leader.set(`things/${name}`, '1')
    await leader.set(`things/${name}`, '2')
  }
  const node = await startOldNode(leader)
  await waitFor(() => Object.keys(thingsOf(node)).length === 3)
  // The pull under way has ended: one that goes on after the wipe would delete what is new.
  await node.pull()
  node.cut(true)
  node.wipe()
  await node.set('things/new', '1')
  await waitFor(() => node.activity('things/*') > 0n)
  node.cut(false)
  await node.sync()
  const expected = { 'things/a': '2', 'things/b': '2', 'things/c': '2', 'things/new': '1' }
  await waitForValue(() => leader.things(), expected)
  await node.register('old')
  await waitForValue(() => thingsOf(node), expected)
})

test('an older push does not replace what is newer here, and the node gets the newer', async () => {
  const leader = await startOwn()
  const node = await startOldNode(leader)
  node.cut(true)
  await node.set('things/a', '"older"')
  const old = node.entries.get('things/a')
  node.cut(false)
  await waitFor(() => node.now() > (old?.created ?? 0n) + 5_000_000n)
  await leader.set('things/a', '"newer"')
  const body = `{"created":${old?.created},"updated":0,"index":"a","path":"things/a","data":"older"}`
  const headers = { 'X-Pivot-Originator': node.address }
  const answer = await leader.request('POST', '/_pivot/pivot/things/a', { body, headers })
  expect(answer).toMatchObject({ status: 200, body: '' })
  expect(await leader.value('things/a')).toBe('"newer"')
  await waitForValue(() => node.value('things/a') ?? '', '"newer"')
})

test('a delete that is older than what is here is not made', async () => {
  const leader = await startOwn()
  await leader.set('things/a', '1')
  await startOldNode(leader)
  const version = (await leader.server.store.get('things/a'))?.created ?? 0n
  const late = await leader.request('DELETE', `/_pivot/pivot/things/a/${version - 1n}`)
  expect(late.status).toBe(200)
  expect(await leader.value('things/a')).toBe('1')
  const newer = await leader.request('DELETE', `/_pivot/pivot/things/a/${version + 1n}`)
  expect(newer.status).toBe(200)
  expect(await leader.value('things/a')).toBeUndefined()
  const keyState = await leader.server.store.keyState('things/a')
  expect(keyState?.record).toMatchObject({ kind: 'tombstone', deleted: version + 1n })
})

test('what a follower of ours brings late reaches 2.0 nodes too', async () => {
  const leader = await startOwn()
  const own = await startOwn({ follows: leader.address })
  await waitFor(() => own.plugin.status()?.links[0]?.state === 'live')
  const node = await startOldNode(leader)
  const port = Number(leader.address.split(':')[1])
  // A write with an old stamp stands for one made while the follower was away.
  await leader.set('things/newest', '1')
  await waitForValue(() => node.value('things/newest') ?? '', '1')
  const before = node.activity('things/*')
  await own.server.store.merge(
    [
      {
        kind: 'entry',
        key: 'things/late',
        created: before - 1_000_000_000n,
        updated: 0n,
        origin: own.server.store.id,
        data: '"late"',
      },
    ],
    { source: 'test' },
  )
  await waitForValue(async () => (await leader.value('things/late')) ?? '', '"late"')
  await waitForValue(() => node.value('things/late') ?? '', '"late"')
  expect(port).toBeGreaterThan(0)
})

test('a mixed cluster converges: our leader, one of our followers and two 2.0 nodes', async () => {
  const leader = await startOwn()
  const own = await startOwn({ follows: leader.address })
  await waitFor(() => own.plugin.status()?.links[0]?.state === 'live')
  const one = await startOldNode(leader, 'one')
  const two = await startOldNode(leader, 'two')
  await one.set('things/a', '"one"')
  await two.set('things/b', '"two"')
  await own.set('things/c', '"own"')
  await leader.set('things/d', '"leader"')
  const all = ['"one"', '"two"', '"own"', '"leader"']
  await waitFor(async () => Object.keys(await leader.things()).length === 4)
  for (const peer of [one, two]) await waitFor(() => Object.keys(thingsOf(peer)).length === 4)
  await waitFor(async () => Object.keys(await own.things()).length === 4)
  expect(Object.values(await own.things()).sort()).toEqual(all.sort())
  await own.delete('things/a')
  await one.delete('things/b')
  await two.set('things/c', '"again"')
  const expected = { 'things/c': '"again"', 'things/d': '"leader"' }
  await waitForValue(() => leader.things(), expected)
  await waitForValue(() => own.things(), expected)
  for (const peer of [one, two]) await waitForValue(() => thingsOf(peer), expected)
})

test('a write whose push failed at the node is fetched by the leader when the node is back', async () => {
  const leader = await startOwn()
  await leader.set('things/a', '1')
  const node = await startOldNode(leader)
  await waitForValue(() => thingsOf(node), { 'things/a': '1' })
  node.cut(true)
  await node.set('things/b', '{"n":12345678901234567890}')
  // The node never repeats its push, and its next pull would delete what the leader lacks.
  await leader.set('things/c', '1')
  await waitFor(
    async () => {
      const { body } = await leader.request('GET', '/_pivot/health/nodes')
      return (JSON.parse(body) as { healthy: boolean }[])[0]?.healthy === false
    },
    { what: 'a call that failed' },
  )
  node.cut(false)
  const expected = { 'things/a': '1', 'things/b': '{"n":12345678901234567890}', 'things/c': '1' }
  await waitForValue(() => thingsOf(node), expected)
  expect(await leader.things()).toEqual(expected)
})
