/** Who is a member of a cluster: who joined by the stream, until it leaves or is forgotten. */
import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { challenge, isProven, type ProofHeaders } from '../../../cluster/members/proof.ts'
import { TOKEN_HEADER } from '../../../src/core/wire/protocol.ts'
import { KeptStorage } from '../../support/kept-storage.ts'
import { waitFor, waitForValue } from '../../support/wait.ts'
import { startNode, type TestNode } from '../nodes.ts'

interface Told {
  readonly id: string
  readonly name: string
  readonly address: string | null
  readonly connected: boolean
  readonly awaySinceMs: number | null
}

async function nodesAt(node: TestNode): Promise<Told[]> {
  const { status, body } = await node.request('GET', '/-/nodes')
  expect(status).toBe(200)
  return (JSON.parse(body) as { nodes: Told[] }).nodes
}

const recordsAt = async (node: TestNode): Promise<string[]> =>
  (await node.server.store.list('nodes/*')).map(({ key }) => key)

const hostOf = (node: TestNode): string => node.url.replace('http://', '')

async function registered(leader: TestNode, ...nodes: readonly TestNode[]): Promise<void> {
  const keys = nodes.map(({ id }) => `nodes/${id}`).sort()
  await waitForValue(async () => (await recordsAt(leader)).sort(), keys)
}

test('a member that stops leaves when it keeps no data, and is marked away when it does', async () => {
  const leader = await startNode()
  const memory = await startNode({ leader, name: 'memory' })
  const disk = await startNode({ leader, name: 'disk', storage: new KeptStorage() })
  await leader.live(2)
  await registered(leader, memory, disk)
  expect(await nodesAt(leader)).toMatchObject([
    { id: memory.id, name: 'memory', address: hostOf(memory), connected: true, awaySinceMs: null },
    { id: disk.id, name: 'disk', address: hostOf(disk), connected: true, awaySinceMs: null },
  ])
  const ids = { memory: memory.id, disk: disk.id }
  const beforeMs = Date.now()
  await memory.server.close()
  await disk.server.close()
  await waitFor(async () => (await nodesAt(leader)).every(({ connected }) => !connected))
  const left = await nodesAt(leader)
  expect(left).toMatchObject([{ id: ids.disk, connected: false }])
  expect(left[0]?.awaySinceMs).toBeGreaterThanOrEqual(beforeMs - 1)
  await waitForValue(() => recordsAt(leader), [`nodes/${ids.disk}`])
})

test('a member that is cut off stays until it is forgotten, which takes the credential', async () => {
  const token = 'secret'
  const leader = await startNode({ token })
  const node = await startNode({ leader, token, name: 'gone' })
  const other = await startNode({ leader, token, name: 'stays' })
  await leader.live(2)
  await registered(leader, node, other)
  const forget = async (at: TestNode, id: string, shown?: string): Promise<[number, string]> => {
    const headers: Record<string, string> = shown === undefined ? {} : { [TOKEN_HEADER]: shown }
    const { status, body } = await at.request(
      'POST',
      '/-/nodes',
      JSON.stringify({ forget: id }),
      headers,
    )
    return [status, body]
  }
  expect(await forget(leader, node.id, token)).toEqual([
    400,
    `nodes: ${node.id} is connected; stop it first`,
  ])
  node.link.cut()
  await waitFor(async () => (await nodesAt(leader)).some(({ connected }) => !connected))
  expect((await recordsAt(leader)).length).toBe(2)
  expect((await forget(leader, node.id))[0]).toBe(401)
  expect((await forget(leader, node.id, 'wrong'))[0]).toBe(401)
  // Any node can be asked.
  expect((await nodesAt(other)).map(({ name }) => name)).toEqual(['gone', 'stays'])
  expect(await forget(other, node.id, token)).toEqual([200, '{"forgotten":true}'])
  expect((await nodesAt(leader)).map(({ name }) => name)).toEqual(['stays'])
  expect(await recordsAt(leader)).toEqual([`nodes/${other.id}`])
  expect(await forget(leader, 'unknown', token)).toEqual([200, '{"forgotten":false}'])
  expect((await forget(leader, 'a/b', token))[0]).toBe(400)
  // It was there after all.
  node.link.heal()
  await leader.live(2)
  await registered(leader, node, other)
})

test('with nodes/* for clients the members are known all the same, and their records are not written', async () => {
  const leader = await startNode({ nodesWritable: true })
  const node = await startNode({ leader, nodesWritable: true })
  await leader.live(1)
  expect(
    (await leader.request('POST', `/nodes/${node.id}`, '{"ip":"10.0.0.9","port":1}')).status,
  ).toBe(200)
  expect((await nodesAt(leader)).map(({ address }) => address)).toEqual([hostOf(node)])
  const info = JSON.parse((await leader.request('GET', '/?api=pivot')).body)
  expect(info.nodes).toMatchObject([{ address: hostOf(node), healthy: true }])
  const { id } = node
  await node.server.close()
  await waitForValue(() => nodesAt(leader), [])
  expect(await leader.server.store.get(`nodes/${id}`)).toMatchObject({
    data: '{"ip":"10.0.0.9","port":1}',
  })
})

test('a proxy by node reaches a member where it told its leader, whatever its record says', async () => {
  const leader = await startNode()
  const node = await startNode({ leader })
  await leader.live(1)
  await registered(leader, node)
  await node.server.store.set('items/a', '"there"')
  leader.server.proxy.routeNodeFilter({
    ...{ nodesKey: 'nodes/*', localKey: 'far/*', remoteKey: 'items/a' },
  })
  await leader.server.store.set(`nodes/${node.id}`, '{"ip":"127.0.0.1","port":1}')
  const answer = await leader.request('GET', `/far/${node.id}`)
  expect(answer.status).toBe(200)
  expect(answer.body).toContain('"there"')
})

test('who leads is proved to those who prove the token first, and to nobody else', async () => {
  const token = 'secret'
  const leader = await startNode({ token })
  const ask = async (headers: ProofHeaders) => {
    const answer = await leader.request('GET', '/-/leader', undefined, headers)
    return { headers: answer.headers, body: new TextEncoder().encode(answer.body) }
  }
  const asked = challenge(token)
  const answer = await ask(asked)
  expect(isProven(token, asked, answer)).toBe(true)
  expect(isProven(token, challenge(token), answer)).toBe(false)
  const changed = { ...answer, body: new TextEncoder().encode('{"leader":"http://evil:1"}') }
  expect(isProven(token, asked, changed)).toBe(false)
  for (const headers of [{}, challenge('guess'), { 'ooo-nonce': asked['ooo-nonce'] ?? '' }]) {
    expect((await ask(headers)).headers['ooo-proof']).toBeUndefined()
  }
  const hash = createHash('sha256').update(token).digest('base64url')
  expect(JSON.stringify(asked)).not.toContain(hash)
})

test('followers of a follower are members there, and their records stay there', async () => {
  const top = await startNode()
  const middle = await startNode({ leader: top, name: 'middle' })
  const leaf = await startNode({ leader: middle, name: 'leaf' })
  await top.live(1)
  await middle.live(1)
  await registered(top, middle)
  await registered(middle, middle, leaf)
  await leaf.server.store.set('items/a', '1')
  await waitForValue(async () => (await top.server.store.get('items/a'))?.data, '1')
  expect((await nodesAt(top)).map(({ name }) => name)).toEqual(['middle'])
  expect((await nodesAt(middle)).map(({ name }) => name)).toEqual(['leaf'])
  expect((await nodesAt(leaf)).map(({ name }) => name)).toEqual(['leaf'])
  expect(middle.plugin.status()?.links[0]?.outbox).toBe(0)
  expect(await recordsAt(top)).toEqual([`nodes/${middle.id}`])
})

test('a follower that replicates nodes/* by configuration has the records of all', async () => {
  const leader = await startNode()
  const one = await startNode({ leader })
  const keys = [{ path: 'items/*' }, { path: 'nodes/*' }]
  const all = await startNode({ leader, keys })
  await leader.live(2)
  await registered(leader, one, all)
  await registered(all, one, all)
  await registered(one, one)
})
