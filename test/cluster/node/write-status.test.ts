/** What becomes of writes, and waiting for it, among real servers. */
import { describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { createClient } from '../../../src/client/index.ts'
import type { Answer } from '../../support/http.ts'
import { waitFor } from '../../support/wait.ts'
import { HeldStorage, startNode, type TestNode } from '../nodes.ts'

/** For what is reached in the end: a slow machine is no reason to give up. */
const LONG_MS = 20_000
const LONG = `ackTimeoutMs=${LONG_MS}`

interface StatusBody {
  readonly state: string
  readonly replicas: number
  readonly version: string
  readonly key: string
  readonly overriddenBy?: { readonly version: string; readonly origin: string }
}

function idOf({ headers }: Answer): string {
  return String(headers['ooo-write-id'])
}

async function statusOf(node: TestNode, id: string, key: string, more = ''): Promise<StatusBody> {
  const { status, body } = await node.request('GET', `/-/writes/${id}?key=${key}${more}`)
  expect(status).toBe(200)
  return JSON.parse(body) as StatusBody
}

async function trio(): Promise<{ leader: TestNode; near: TestNode; far: TestNode }> {
  const leader = await startNode()
  const near = await startNode({ leader })
  const far = await startNode({ leader })
  await near.live()
  await far.live()
  await leader.live(2)
  return { leader, near, far }
}

describe('?ack=', () => {
  it('is reached at the leader, and at as many other nodes as asked for, from either side', async () => {
    const { leader, near, far } = await trio()
    for (const [node, level, reached] of [
      [leader, 'local', 'local'],
      [leader, 'leader', 'leader'],
      [leader, '2', '2'],
      [near, 'local', 'local'],
      [near, 'leader', 'leader'],
      [near, '2', '2'],
    ] as const) {
      const answer = await node.request('POST', `/items/a?ack=${level}&${LONG}`, `"${level}"`)
      expect([answer.status, answer.headers['ooo-ack']]).toEqual([200, reached])
      if (level === '2') {
        for (const other of [leader, near, far]) {
          expect((await other.server.store.get('items/a'))?.data).toBe('"2"')
        }
      }
      if (level === 'leader') {
        expect((await leader.server.store.get('items/a'))?.data).toBe('"leader"')
      }
    }
  })

  it('holds for pushes, patches, deletes, glob deletes and batches', async () => {
    const { near, far } = await trio()
    const batch =
      '{"operations":[{"op":"set","path":"items/b","data":1},{"op":"delete","path":"items/*"}]}'
    for (const [method, path, body] of [
      ['POST', '/items/a', '{"n":1}'],
      ['POST', '/items/*', '1'],
      ['PATCH', '/items/a', '{"n":2}'],
      ['DELETE', '/items/a', undefined],
      ['POST', '/-/batch', batch],
      ['POST', '/items/c', '1'],
      ['DELETE', '/items/*', undefined],
    ] as const) {
      const { status, headers } = await near.request(method, `${path}?ack=2&${LONG}`, body)
      expect([method, path, status < 300, headers['ooo-ack']]).toEqual([method, path, true, '2'])
      const items = (node: TestNode): Promise<string[]> => node.server.store.keys('items/')
      expect(await items(far)).toEqual(await items(near))
    }
    expect(await far.server.store.keys('items/')).toEqual([])
  })

  it('that is not reached in time says where the kept write is, and the write arrives later', async () => {
    const { leader, near, far } = await trio()
    near.link.cut()
    const cut = await near.request('POST', '/items/a?ack=leader&ackTimeoutMs=50', '1')
    expect(cut.status).toBe(504)
    expect(cut.headers['ooo-ack']).toBe('local')
    expect(cut.body).toBe(
      `ooo: ack leader was not reached within 50 ms: the write ${idOf(cut)} of items/a is kept, durable at this node, and will be pushed to ${leader.url}`,
    )
    near.link.heal()
    await waitFor(async () => (await far.server.store.get('items/a'))?.data === '1')
    const few = await near.request('POST', '/items/a?ack=3&ackTimeoutMs=3000', '2')
    expect(few.status).toBe(504)
    expect(few.headers['ooo-ack']).toBe('2')
    expect(few.body).toBe(
      `ooo: ack 3 was not reached within 3000 ms: the write ${idOf(few)} of items/a is kept, durable at this node and 2 other nodes, and goes on to its followers`,
    )
  })

  it('counts a node only once it holds the write', async () => {
    const { leader, near, far } = await trio()
    far.link.cut()
    await waitFor(() => leader.plugin.status()?.followers.length === 1)
    const asked = leader.request('POST', '/items/a?ack=2&ackTimeoutMs=20000', '1')
    await waitFor(async () => (await near.server.store.get('items/a')) !== undefined)
    expect(await far.server.store.get('items/a')).toBeUndefined()
    far.link.heal()
    expect((await asked).headers['ooo-ack']).toBe('2')
    expect(await far.server.store.get('items/a')).toBeDefined()
  })

  it('does not count a node that has been sent the write and has not stored it', async () => {
    const leader = await startNode()
    const storage = new HeldStorage()
    const follower = await startNode({ leader, storage })
    await follower.live()
    await leader.live(1)
    storage.hold('items/')
    const few = await leader.request('POST', '/items/a?ack=1&ackTimeoutMs=200', '1')
    expect([few.status, few.headers['ooo-ack']]).toEqual([504, 'leader'])
    expect(await statusOf(leader, idOf(few), 'items/a')).toMatchObject({
      state: 'leader',
      replicas: 0,
    })
    const asked = leader.request('POST', `/items/a?ack=1&${LONG}`, '2')
    storage.release()
    expect((await asked).headers['ooo-ack']).toBe('1')
  })

  it('of a node below a follower means the leader at the top, whose followers count', async () => {
    const top = await startNode()
    const middle = await startNode({ leader: top })
    const low = await startNode({ leader: middle })
    await low.live()
    await middle.live(1)
    await top.live(1)
    const done = await low.request('POST', `/items/a?ack=2&${LONG}`, '1')
    expect([done.status, done.headers['ooo-ack']]).toEqual([200, '2'])
    middle.link.cut()
    const late = await low.request('POST', '/items/a?ack=leader&ackTimeoutMs=500', '2')
    expect(late.status).toBe(504)
    await waitFor(async () => (await middle.server.store.get('items/a'))?.data === '2')
  })

  it('is refused for a key that no other node will ever hold, before it is written', async () => {
    const { near } = await trio()
    const answer = await near.request('POST', '/private?ack=1', '1')
    expect(answer).toMatchObject({
      status: 400,
      body: 'ooo: ack 1 can not be reached: key private is not replicated here',
    })
    expect((await near.request('GET', '/private')).status).toBe(404)
    const local = await near.request('POST', '/private?ack=leader', '1')
    expect(local.headers['ooo-ack']).toBe('leader')
  })
})

describe('waiting for other nodes', () => {
  it('is an option of writes in the process, whose id tells the fate', async () => {
    const { near, far } = await trio()
    const { id } = await near.server.set('items/a', 1, { ack: 2, ackTimeoutMs: LONG_MS })
    expect((await far.server.get('items/a'))?.data).toBe(1)
    expect(await statusOf(far, id, 'items/a')).toMatchObject({ state: 'replicated' })
    await near.server.patch('items/a', 2, { ack: 'leader', ackTimeoutMs: LONG_MS })
    await near.server.push('items/*', 3, { ack: 2, ackTimeoutMs: LONG_MS })
    expect(await far.server.getList('items/*')).toHaveLength(2)
    await near.server.delete('items/a', { ack: 2, ackTimeoutMs: LONG_MS })
    expect(await far.server.get('items/a')).toBeUndefined()
    near.link.cut()
    const late = near.server.set('items/a', 4, { ack: 'leader', ackTimeoutMs: 30 })
    await expect(late).rejects.toMatchObject({ code: 'ack_timeout' })
    expect((await near.server.get('items/a'))?.data).toBe(4)
    await expect(near.server.set('items/a', 5, { ack: 0 })).rejects.toMatchObject({
      code: 'invalid_option',
    })
  })

  it('is an option of the client, which tells what was kept from what was refused', async () => {
    const { near, far } = await trio()
    const client = createClient({ url: near.url, retries: 3 })
    const { id = '' } = await client.set('items/a', 1, { ack: 2, ackTimeoutMs: LONG_MS })
    expect((await far.server.get('items/a'))?.data).toBe(1)
    expect(await client.fate(id, 'items/a')).toMatchObject({
      id,
      key: 'items/a',
      state: 'replicated',
      replicas: 2,
    })
    await client.delete('items/a', { ack: 2, ackTimeoutMs: LONG_MS })
    const { overriddenBy } = await client.fate(id, 'items/a')
    expect(overriddenBy).toEqual({ origin: near.id, version: expect.any(BigInt) })
    near.link.cut()
    let posts = 0
    near.server.use((request, _response, next) => {
      if (request.method === 'POST') posts++
      return next()
    })
    const late = client.set('items/a', 2, { ack: 'leader', ackTimeoutMs: 30 })
    await expect(late).rejects.toMatchObject({ code: 'ack_timeout' })
    expect(posts).toBe(1)
    const waiting = client.push('items/*', 3, { ack: 1, ackTimeoutMs: LONG_MS })
    near.link.heal()
    const pushed = await waiting
    const status = await client.fate(pushed.id ?? '', pushed.path, { until: 2 })
    expect(status.replicas).toBe(2)
    await expect(client.set('items/a', 1, { ack: 1000 })).rejects.toMatchObject({
      code: 'invalid_option',
    })
  })
})

describe('the fate of a write', () => {
  it('goes from local over the leader to every node, and is told by its id alone', async () => {
    const { leader, near, far } = await trio()
    await leader.request('POST', `/items/a?ack=2&${LONG}`, '"older"')
    near.link.cut()
    far.link.cut()
    const id = idOf(await near.request('POST', '/items/a', '1'))
    expect(id.startsWith(`${near.id}:`)).toBe(true)
    expect(await statusOf(near, id, 'items/a')).toMatchObject({ state: 'local', replicas: 0 })
    expect(await statusOf(leader, id, 'items/a')).toMatchObject({ state: 'unknown', replicas: 0 })
    near.link.heal()
    await near.live()
    await waitFor(async () => (await statusOf(near, id, 'items/a')).state !== 'local')
    expect((await statusOf(leader, id, 'items/a')).replicas).toBe(1)
    far.link.heal()
    await waitFor(async () => (await statusOf(near, id, 'items/a')).replicas === 2)
    for (const node of [leader, near, far]) {
      expect(await statusOf(node, id, 'items/a')).toMatchObject({
        state: 'replicated',
        replicas: 2,
      })
    }
  })

  it('names what replaced it, a delete too', async () => {
    const { leader, near } = await trio()
    const first = await near.request('POST', `/items/a?ack=2&${LONG}`, '1')
    const second = await leader.request('POST', `/items/a?ack=2&${LONG}`, '2')
    const [origin, version] = idOf(second).split(':')
    const overriddenBy = { origin, version }
    expect(await statusOf(near, idOf(first), 'items/a')).toMatchObject({ overriddenBy })
    const third = await near.request('DELETE', `/items/a?ack=2&${LONG}`)
    const [, deleted] = idOf(third).split(':')
    expect(await statusOf(leader, idOf(second), 'items/a')).toMatchObject({
      overriddenBy: { origin: near.id, version: deleted },
    })
    expect(await statusOf(leader, idOf(third), 'items/a')).toMatchObject({ state: 'replicated' })
  })

  it('can be waited for, and is told as it is when the time is up', async () => {
    const { near } = await trio()
    near.link.cut()
    const id = idOf(await near.request('POST', '/items/a', '1'))
    const early = await statusOf(near, id, 'items/a', '&until=leader&timeoutMs=20')
    expect(early.state).toBe('local')
    const waiting = statusOf(near, id, 'items/a', '&until=2&timeoutMs=20000')
    near.link.heal()
    expect((await waiting).replicas).toBe(2)
  })

  it('comes as a stream of events and over a socket, until it is final', async () => {
    const { near } = await trio()
    near.link.cut()
    const id = idOf(await near.request('POST', '/items/a', '1'))
    const path = `/-/writes/${id}?key=items/a`
    const events = near.request('GET', path, undefined, { accept: 'text/event-stream' })
    const frames: string[] = []
    const socket = new WebSocket(`${near.url.replace('http', 'ws')}${path}`)
    socket.on('message', (data) => frames.push(String(data)))
    await waitFor(() => frames.length > 0)
    near.link.heal()
    await waitFor(() => socket.readyState === WebSocket.CLOSED)
    const { body, headers } = await events
    expect(headers['content-type']).toBe('text/event-stream')
    const told = body.split('\n\n').filter((line) => line.startsWith('data: '))
    for (const list of [told.map((line) => line.replace(/^data: /, '')), frames]) {
      const states = list.map((text) => (JSON.parse(text) as StatusBody).state)
      expect(states[0]).toBe('local')
      expect(states.at(-1)).toBe('replicated')
    }
  })

  it('of what nobody knows is unknown, and a wrong question is refused with what is allowed', async () => {
    const { leader } = await trio()
    expect(await statusOf(leader, `${leader.id}:1`, 'items/none')).toMatchObject({
      state: 'unknown',
    })
    for (const [path, text] of [
      ['/-/writes/x?key=items/a', 'ooo: write id "x" is not <origin>:<version>'],
      ['/-/writes/x:1', 'ooo: ?key= is missing: the key that was written'],
      ['/-/writes/x:1?key=items/*', 'ooo: key items/* is a glob'],
      [
        '/-/writes/x:1?key=items/a&until=all',
        'ooo: ack "all" is not one of: local, leader, majority, a number of nodes from 1 to 100',
      ],
    ] as const) {
      expect(await leader.request('GET', path)).toMatchObject({ status: 400, body: text })
    }
  })
})
