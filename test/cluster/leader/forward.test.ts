/** Writes that do not merge, asked of a node that does not lead the key, among real servers. */
import { describe, expect, it } from 'vitest'
import { StateError } from '../../../src/core/errors.ts'
import { TOKEN_HEADER } from '../../../src/core/wire/protocol.ts'
import { freePort } from '../../support/free-port.ts'
import { waitFor } from '../../support/wait.ts'
import { HeldStorage, startNode, type TestNode } from '../nodes.ts'

async function pair(options = {}): Promise<{ leader: TestNode; follower: TestNode }> {
  const leader = await startNode({ token: 'secret' })
  const follower = await startNode({ leader, token: 'secret', ...options })
  await follower.live()
  await leader.live(1)
  return { leader, follower }
}

const data = async (node: TestNode, key: string): Promise<string | undefined> =>
  (await node.server.store.get(key))?.data

describe('a conditional write at a follower', () => {
  it('is decided by the leader, and can be read at the follower when it is answered', async () => {
    const { leader, follower } = await pair()
    const absent = { 'if-none-match': '*' }
    const made = await follower.request('POST', '/items/a', '{"n":1.10}', absent)
    expect(made.status).toBe(200)
    expect(made.body).toBe('{"index":"a"}')
    expect(made.headers['ooo-answered-by']).toBe(leader.url)
    expect(String(made.headers['ooo-write-id']).startsWith(`${leader.id}:`)).toBe(true)
    expect(await data(follower, 'items/a')).toBe('{"n":1.10}')
    expect((await follower.request('POST', '/items/a', '2', absent)).status).toBe(412)
    const tag = { 'if-match': String(made.headers.etag) }
    const patched = await follower.request('PATCH', '/items/a', '{"m":2}', tag)
    expect(patched.status).toBe(200)
    expect(await data(follower, 'items/a')).toBe('{"m":2,"n":1.10}')
    expect((await follower.request('DELETE', '/items/a', undefined, tag)).status).toBe(412)
    const fresh = { 'if-match': String(patched.headers.etag) }
    expect((await follower.request('DELETE', '/items/a', undefined, fresh)).status).toBe(204)
    expect(await data(follower, 'items/a')).toBeUndefined()
  })

  it('is answered when the change has come back, not before', async () => {
    const storage = new HeldStorage()
    const { leader, follower } = await pair({ storage })
    storage.hold('items/')
    let found: string | undefined
    const asked = follower
      .request('POST', '/items/a', '1', { 'if-none-match': '*' })
      .then(async ({ status }) => {
        found = await data(follower, 'items/a')
        return status
      })
    await waitFor(async () => (await data(leader, 'items/a')) === '1')
    await waitFor(() => storage.heldBatches === 1)
    for (let i = 0; i < 5; i++) await follower.request('GET', '/settings')
    expect(found).toBeUndefined()
    storage.release()
    expect([await asked, found]).toEqual([200, '1'])
  })

  it('of a batch goes as one, and its query holds at the leader', async () => {
    const { leader, follower } = await pair()
    const operations = [
      { op: 'set', path: 'items/a', data: 1, ifNoneMatch: '*' },
      { op: 'set', path: 'items/b', data: 2 },
    ]
    const body = JSON.stringify({ operations })
    const done = await follower.request('POST', '/-/batch?ack=1', body)
    expect([done.status, done.headers['ooo-ack']]).toEqual([200, '1'])
    expect(JSON.parse(done.body)).toMatchObject({
      results: [{ path: 'items/a' }, { path: 'items/b' }],
    })
    expect(await data(follower, 'items/b')).toBe('2')
    expect((await follower.request('POST', '/-/batch', body)).status).toBe(412)
    expect(await data(leader, 'items/b')).toBe('2')
  })

  it('shows the leader the credentials of the caller, and passes the filters of both', async () => {
    const { leader, follower } = await pair()
    const shown: unknown[] = []
    leader.server.use((request, _response, next) => {
      const { authorization, [TOKEN_HEADER]: token } = request.headers
      if (request.method === 'POST') shown.push([authorization, token])
      return next()
    })
    leader.server.filters.write('items/*', (_key, checked) => ({ checked }))
    follower.server.filters.write('items/*', (_key, value) => {
      if (value === 13) throw new StateError('filter_refused', 'unlucky')
      return value
    })
    const headers = { 'if-none-match': '*', authorization: 'Bearer me', [TOKEN_HEADER]: 'guess' }
    expect((await follower.request('POST', '/items/a', '1', headers)).status).toBe(200)
    expect(await data(follower, 'items/a')).toBe('{"checked":1}')
    expect(shown).toEqual([['Bearer me', 'secret']])
    expect(await follower.request('POST', '/items/b', '13', headers)).toMatchObject({
      status: 400,
      body: 'unlucky',
    })
    expect(shown).toHaveLength(1)
  })

  it('goes up as far as it has to', async () => {
    const { leader, follower } = await pair()
    const low = await startNode({ leader: follower, token: 'secret' })
    await low.live()
    const answer = await low.request('POST', '/items/a', '1', { 'if-none-match': '*' })
    expect(answer.status).toBe(200)
    expect(await data(leader, 'items/a')).toBe('1')
    expect(await data(low, 'items/a')).toBe('1')
  })

  it('does not go in a circle', async () => {
    const port = await freePort()
    const first = await startNode({ clusterUrl: `127.0.0.1:${port}` })
    const second = await startNode({ leader: first })
    const circle = await second.request('POST', '/items/a', '1', {
      'if-none-match': '*',
      'ooo-passed-by': `${first.id}, ${second.id}`,
    })
    expect(circle.status).toBe(421)
    expect(circle.body).toContain('(passed in a circle)')
  })

  it('is refused naming the leader when passing on is off, and when the leader gives no answer', async () => {
    const { leader, follower } = await pair({ forward: false })
    const absent = { 'if-none-match': '*' }
    expect(await follower.request('POST', '/items/a', '1', absent)).toMatchObject({
      status: 421,
      body: `storage: key "items/a" is led by ${leader.url}; conditional writes are made only there`,
    })
    const other = await startNode({ leader, token: 'secret' })
    await other.live()
    const { url } = leader
    await leader.server.close()
    const answer = await other.request('POST', '/items/a', '1', absent)
    expect(answer.status).toBe(502)
    expect(answer.body).toContain(`cluster: no answer from ${url}`)
    expect(answer.body).toContain('it was not asked')
    expect(await data(other, 'items/a')).toBeUndefined()
  })

  it('says that it may have been made when the leader stays silent', async () => {
    const { leader, follower } = await pair({ deadlineMs: 200 })
    leader.server.use((request, _response, next) =>
      request.method === 'POST' ? new Promise<void>(() => undefined) : next(),
    )
    const answer = await follower.request('POST', '/items/a', '1', { 'if-none-match': '*' })
    expect(answer.status).toBe(502)
    expect(answer.body).toBe(
      `cluster: no answer from ${leader.url} (no answer within 200 ms); it may have done what it was asked`,
    )
  })
})
