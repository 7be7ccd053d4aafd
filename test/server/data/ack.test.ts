/** Where a write has to be before it is answered, on a node alone and with a plugin that replicates. */
import { describe, expect, it } from 'vitest'
import type { Holders, Replication, ServerPlugin } from '../../../src/server/contract/plugin.ts'
import { MAX_WAITERS } from '../../../src/server/write-status/tracker.ts'
import { waitFor } from '../../support/wait.ts'
import { serve, type TestServer } from '../serve.ts'

const BATCH = '{"operations":[{"op":"set","path":"a","data":1},{"op":"set","path":"b","data":1}]}'

/** Followers whose progress the test decides. */
class Followers implements Replication {
  readonly forwards = false
  holding = 0
  readonly #listeners = new Set<() => void>()

  /** Whether a majority of the voters holds everything. */
  isMajority = false

  hasVoters(key: string): boolean {
    return key === 'elected'
  }

  isReplicated(key: string): boolean {
    return key !== 'private'
  }

  holders(): Holders {
    return { following: 3, holding: this.holding, isMajority: this.isMajority }
  }

  refusalOf(): Promise<undefined> {
    return Promise.resolve(undefined)
  }

  call(): Promise<never> {
    return Promise.reject(new Error('there is no leader'))
  }

  onProgress(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  hold(count: number): void {
    this.holding = count
    for (const listener of this.#listeners) listener()
  }

  plugin(): ServerPlugin {
    return { name: 'followers', setup: (host) => host.replicate(this) }
  }
}

async function led(): Promise<{ node: TestServer; followers: Followers }> {
  const followers = new Followers()
  return { node: await serve({ plugins: [followers.plugin()] }), followers }
}

describe('?ack=majority', () => {
  it('waits for a majority of the voters, and says so', async () => {
    const { node, followers } = await led()
    const early = await node.request('POST', '/elected?ack=majority&ackTimeoutMs=50', '1')
    expect(early.status).toBe(504)
    const late = node.request('POST', '/elected?ack=majority', '2')
    followers.isMajority = true
    followers.hold(0)
    expect(await late).toMatchObject({ status: 200, headers: { 'ooo-ack': 'majority' } })
  })

  it('is refused where there are no voters, and for what only memory holds', async () => {
    const { node } = await led()
    for (const target of ['/a?ack=majority', '/elected?ack=majority&durability=memory']) {
      const { status, body } = await node.request('POST', target, '1')
      expect(status).toBe(400)
      expect(body).toMatch(/^ooo: ack majority (can not be reached|counts voters)/)
    }
    expect(await node.server.store.keys()).toEqual([])
  })
})

describe('the answer to a write', () => {
  it.each([
    ['POST', '/a', '1'],
    ['POST', '/items/*', '1'],
    ['PATCH', '/there', '{"n":2}'],
    ['DELETE', '/there', undefined],
    ['DELETE', '/list/*', undefined],
    ['POST', '/-/batch', BATCH],
  ])('%s %s names the write, and has no ack unless asked for one', async (method, path, body) => {
    const node = await serve()
    await node.post('/there', '{"n":1}')
    await node.post('/list/b', '{"n":1}')
    const { headers, status } = await node.request(method, path, body)
    expect(status).toBeLessThan(300)
    const [origin, version] = String(headers['ooo-write-id']).split(':')
    expect(origin).toBe(node.server.store.id)
    expect(version).toMatch(/^\d{19}$/)
    if (headers.etag !== undefined) expect(headers.etag).toBe(`"${version}"`)
    expect(headers['ooo-ack']).toBeUndefined()
  })

  it('to nothing has no id', async () => {
    const node = await serve()
    const { headers, status } = await node.request('DELETE', '/none/*?ack=leader')
    expect([status, headers['ooo-write-id'], headers['ooo-ack']]).toEqual([
      204,
      undefined,
      'leader',
    ])
  })

  it('of a batch has the id of its last write', async () => {
    const node = await serve()
    const { headers, body } = await node.post('/-/batch', BATCH)
    const { results } = JSON.parse(body) as { results: readonly { version: string }[] }
    expect(headers['ooo-write-id']).toBe(`${node.server.store.id}:${results[1]?.version}`)
  })
})

describe('?ack=', () => {
  it.each([
    ['ack=', 'ack ""'],
    ['ack=all', 'ack "all"'],
    ['ack=0', 'ack "0"'],
    ['ack=101', 'ack "101"'],
    ['ack=1.5', 'ack "1.5"'],
    ['ack=-1', 'ack "-1"'],
    ['ack=leader&ack=2', 'ack "leader, 2"'],
    ['ack=leader&ackTimeoutMs=0', 'ackTimeoutMs "0"'],
    ['ackTimeoutMs=60001', 'ackTimeoutMs "60001"'],
  ])('%s is refused with what is allowed, and nothing is written', async (query, shown) => {
    const { node } = await led()
    const allowed = shown.startsWith('ackTimeout')
      ? 'is not an integer from 1 to 60000'
      : 'is not one of: local, leader, majority, a number of nodes from 1 to 100'
    for (const [method, path, body] of [
      ['POST', '/a', '1'],
      ['POST', '/-/batch', BATCH],
    ] as const) {
      const answer = await node.request(method, `${path}?${query}`, body)
      expect(answer).toMatchObject({ status: 400, body: `ooo: ${shown} ${allowed}` })
    }
    expect(await node.server.store.keys()).toEqual([])
  })

  it('of a node alone is reached for the leader at once, and refused for other nodes', async () => {
    const node = await serve()
    expect((await node.post('/a?ack=leader', '1')).headers['ooo-ack']).toBe('leader')
    expect((await node.post('/a?ack=local', '1')).headers['ooo-ack']).toBe('local')
    expect(await node.post('/b?ack=1', '1')).toMatchObject({
      status: 400,
      body: 'ooo: ack 1 can not be reached: key b is not replicated here',
    })
    expect((await node.get('/b')).status).toBe(404)
  })

  it('is answered when enough hold it, not before, with how many do', async () => {
    const { node, followers } = await led()
    let status: number | undefined
    const asked = node.post('/a?ack=2', '1').then((answer) => {
      status = answer.status
      return answer
    })
    await waitFor(async () => (await node.get('/a')).status === 200)
    followers.hold(1)
    expect((await node.get('/a')).status).toBe(200)
    expect(status).toBeUndefined()
    followers.hold(3)
    expect((await asked).headers['ooo-ack']).toBe('3')
  })

  it('waits longer than a write may take, and ends with the server', async () => {
    const followers = new Followers()
    const node = await serve({ plugins: [followers.plugin()], deadlineMs: 100 })
    const late = await node.post('/a?ack=1&ackTimeoutMs=300', '1')
    expect(late.body).toContain('ooo: ack 1 was not reached within 300 ms')
    expect([late.status, late.headers['ooo-ack']]).toEqual([504, 'leader'])
    const asked = node.post('/a?ack=1&ackTimeoutMs=60000', '1')
    await waitFor(() => node.server.store.head === 2)
    await node.server.close()
    expect((await asked).status).toBe(504)
  })

  it('is refused with 503 when too many wait already, before anything is written', async () => {
    const { node, followers } = await led()
    const asked = Array.from({ length: MAX_WAITERS }, (_, i) =>
      node.server.set(`k${i}`, 1, { ack: 1, ackTimeoutMs: 60_000 }),
    )
    await waitFor(() => node.server.store.head === MAX_WAITERS)
    const answer = await node.post('/more?ack=1', '1')
    expect(answer).toMatchObject({
      status: 503,
      body: `ooo: ${MAX_WAITERS} writes are waited for, the limit is ${MAX_WAITERS}`,
    })
    expect((await node.get('/more')).status).toBe(404)
    followers.hold(1)
    await Promise.all(asked)
    expect((await node.post('/more?ack=1', '1')).status).toBe(200)
  })
})

/** Text frames are marked by the test's socket. */
function withoutMark(text: string): string {
  return text.replace(/^text frame: /, '')
}

describe('/-/writes/<id>', () => {
  it('keeps to what static mode opens', async () => {
    const node = await serve({ static: true, open: ['open'] })
    const { headers } = await node.post('/open', '1')
    const id = headers['ooo-write-id']
    expect((await node.get(`/-/writes/${id}?key=open`)).status).toBe(200)
    expect((await node.get(`/-/writes/${id}?key=secret`)).status).toBe(400)
    expect((await node.post(`/-/writes/${id}?key=open`, '1')).status).toBe(405)
  })

  it('streams what comes later to a node alone', async () => {
    const node = await serve()
    const { headers } = await node.post('/a', '1')
    const path = `/-/writes/${headers['ooo-write-id']}?key=a`
    const socket = await node.subscribe(path, { expectFrame: false })
    expect(JSON.parse(await socket.text(0).then(withoutMark))).toMatchObject({ state: 'leader' })
    const later = await node.post('/a', '2')
    const told = JSON.parse(await socket.text(1).then(withoutMark)) as unknown
    const version = String(later.headers['ooo-write-id']).split(':')[1]
    expect(told).toMatchObject({ overriddenBy: { version } })
    expect((await socket.waitClosed()).code).toBe(1000)
  })

  it('of a node alone tells that nobody else has it, and what came later', async () => {
    const node = await serve()
    const { headers } = await node.post('/a', '1')
    const id = String(headers['ooo-write-id'])
    const status = async (): Promise<unknown> =>
      JSON.parse((await node.get(`/-/writes/${id}?key=a`)).body)
    expect(await status()).toEqual({
      id,
      key: 'a',
      version: id.split(':')[1],
      state: 'leader',
      replicas: 0,
    })
    await node.request('DELETE', '/a')
    expect(await status()).toMatchObject({ overriddenBy: { origin: node.server.store.id } })
  })
})
