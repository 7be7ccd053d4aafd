/** The conflict log of real servers: what is in it, and what can be done with it. */
import { describe, expect, it } from 'vitest'
import { waitFor } from '../../support/wait.ts'
import { startNode, type TestNode } from '../nodes.ts'

interface Listed {
  readonly conflicts: readonly {
    readonly id: string
    readonly key: string
    readonly data: unknown
    readonly origin: string
    readonly winner: { readonly origin: string; readonly deleted: boolean }
  }[]
  readonly leaders: readonly string[]
}

async function listed(node: TestNode, query = ''): Promise<Listed> {
  const { status, body } = await node.request('GET', `/-/conflicts${query}`)
  expect(status).toBe(200)
  return JSON.parse(body) as Listed
}

/** A follower and its leader that both wrote `key` while they could not reach each other. */
async function conflicting(
  key: string,
  writes: { readonly leader: string | undefined; readonly follower: string | undefined },
  winner: 'leader' | 'follower',
): Promise<{ leader: TestNode; follower: TestNode }> {
  const leader = await startNode({ limits: { conflictEntries: 10 } })
  const follower = await startNode({ leader })
  await follower.live()
  await leader.request('POST', `/${key}?ack=1&ackTimeoutMs=20000`, '"first"')
  follower.link.cut()
  await waitFor(() => follower.plugin.status()?.links[0]?.state === 'offline')
  const order = winner === 'leader' ? ([follower, leader] as const) : ([leader, follower] as const)
  for (const node of order) {
    const body = node === leader ? writes.leader : writes.follower
    await (body === undefined
      ? node.request('DELETE', `/${key}`)
      : node.request('POST', `/${key}`, body))
  }
  follower.link.heal()
  await waitFor(
    async () => {
      const [a, b] = await Promise.all(
        [leader, follower].map((node) => node.server.store.keyState(key)),
      )
      const isPending = follower.server.store.pendingCount(leader.url) > 0
      return !isPending && a?.record.origin === b?.record.origin
    },
    { what: 'both to agree' },
  )
  return { leader, follower }
}

describe('the conflict log', () => {
  it.each([
    ['leader', '"theirs"', '"ours"', 'ours', false],
    ['follower', '"theirs"', '"ours"', 'theirs', false],
    ['leader', undefined, '1.10', 1.1, true],
    ['follower', '1.10', undefined, 1.1, true],
    ['leader', '2', undefined, null, false],
    ['follower', undefined, '2', null, false],
  ] as const)(
    'of the leader has what lost when the %s won with %s against %s',
    async (winner, ofLeader, ofFollower, lost, deleted) => {
      const writes = { leader: ofLeader, follower: ofFollower }
      const { leader, follower } = await conflicting('items/a', writes, winner)
      await waitFor(async () => (await listed(leader)).conflicts.length > 0)
      const [winning, losing] = winner === 'leader' ? [leader, follower] : [follower, leader]
      expect(await listed(leader)).toMatchObject({
        conflicts: [
          {
            key: 'items/a',
            data: lost,
            origin: losing.id,
            winner: { origin: winning.id, deleted },
          },
        ],
        leaders: [],
      })
      expect(await listed(follower)).toEqual({ conflicts: [], leaders: [leader.url] })
    },
  )

  it('has nothing of writes that came one after the other', async () => {
    const leader = await startNode()
    const follower = await startNode({ leader })
    await follower.live()
    for (let i = 0; i < 5; i++) {
      await leader.request('POST', '/items/a?ack=1&ackTimeoutMs=20000', `${i}`)
      await follower.request('POST', '/items/a?ack=leader&ackTimeoutMs=20000', `"${i}"`)
      await follower.request('DELETE', '/items/a?ack=leader&ackTimeoutMs=20000')
    }
    expect((await listed(leader)).conflicts).toEqual([])
  })

  it('gives a lost value back as a new write, digit for digit', async () => {
    const writes = { leader: '"theirs"', follower: '{"n":1.100}' }
    const { leader, follower } = await conflicting('items/a', writes, 'leader')
    await waitFor(async () => (await listed(leader)).conflicts.length > 0)
    const [lost] = (await listed(leader, '?key=items/*&limit=1')).conflicts
    expect((await listed(leader, '?key=settings')).conflicts).toEqual([])
    const restored = await leader.request('POST', `/-/conflicts/${lost?.id}/restore`)
    expect(restored.status).toBe(200)
    expect((await leader.server.store.get('items/a'))?.data).toBe('{"n":1.100}')
    await waitFor(async () => (await follower.server.store.get('items/a'))?.data === '{"n":1.100}')
    expect((await listed(leader)).conflicts).toEqual([])
    const again = await leader.request('POST', `/-/conflicts/${lost?.id}/restore`)
    expect(again).toMatchObject({ status: 404, body: `conflicts: no conflict ${lost?.id} here` })
  })

  it('lets go of what is discarded, and refuses what makes no sense', async () => {
    const writes = { leader: '1', follower: '2' }
    const { leader } = await conflicting('items/a', writes, 'follower')
    await waitFor(async () => (await listed(leader)).conflicts.length > 0)
    const [lost] = (await listed(leader)).conflicts
    expect((await leader.request('DELETE', `/-/conflicts/${lost?.id}`)).status).toBe(204)
    expect((await leader.request('DELETE', `/-/conflicts/${lost?.id}`)).status).toBe(404)
    expect((await listed(leader)).conflicts).toEqual([])
    expect((await leader.request('GET', '/-/conflicts?limit=0')).status).toBe(400)
    expect((await leader.request('GET', '/-/conflicts?key=a//b')).status).toBe(400)
    expect((await leader.request('PUT', '/-/conflicts')).status).toBe(405)
    expect((await leader.request('POST', '/-/conflicts/x/y')).status).toBe(404)
  })
})
