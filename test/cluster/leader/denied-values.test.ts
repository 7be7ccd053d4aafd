import { describe, expect, it } from 'vitest'
import { waitFor } from '../../support/wait.ts'
import { startNode, type TestNode } from '../nodes.ts'

const MAX = 1024
const LONG = JSON.stringify('x'.repeat(2 * MAX))
const LIMITS = { beatIntervalMs: 200, compareIntervalMs: 300 }

async function pair(): Promise<{ leader: TestNode; follower: TestNode }> {
  const leader = await startNode({ limits: LIMITS, maxValueBytes: MAX })
  const follower = await startNode({ leader, limits: LIMITS })
  await follower.live()
  return { leader, follower }
}

const outbox = (node: TestNode): number => node.plugin.status()?.links[0]?.outbox ?? -1

describe('a value that is longer than the leader takes', () => {
  it('is refused for good: the leader deletes what it never had, and what is behind it arrives', async () => {
    const { leader, follower } = await pair()
    await follower.server.store.set('items/long', LONG)
    await follower.server.store.set('items/small', '1')
    await waitFor(async () => (await leader.server.store.get('items/small'))?.data === '1')
    await waitFor(() => outbox(follower) === 0, { what: 'an empty outbox' })
    await waitFor(async () => (await follower.server.store.get('items/long')) === undefined, {
      what: 'the delete at the follower',
    })
    expect((await leader.server.store.keyState('items/long'))?.record.kind).toBe('tombstone')
  })

  it('is refused for good too when it is nested deeper than the leader takes', async () => {
    const leader = await startNode({ limits: LIMITS, maxJsonDepth: 3 })
    const follower = await startNode({ leader, limits: LIMITS })
    await follower.live()
    await follower.server.store.set('items/deep', '[[[[]]]]')
    await follower.server.store.set('items/flat', '[]')
    await waitFor(async () => (await leader.server.store.get('items/flat'))?.data === '[]')
    await waitFor(() => outbox(follower) === 0, { what: 'an empty outbox' })
    await waitFor(async () => (await follower.server.store.get('items/deep')) === undefined)
    expect((await leader.server.store.keyState('items/deep'))?.record.kind).toBe('tombstone')
  })

  it('gives way to what the leader has, and is kept in the conflict log of the follower', async () => {
    const { leader, follower } = await pair()
    await leader.server.store.set('items/a', '"short"')
    await waitFor(async () => (await follower.server.store.get('items/a'))?.data === '"short"')
    const written = await follower.request('POST', '/items/a', LONG)
    const id = String(written.headers['ooo-write-id'])
    await waitFor(async () => (await follower.server.store.get('items/a'))?.data === '"short"')
    await waitFor(() => outbox(follower) === 0, { what: 'an empty outbox' })
    const { body } = await follower.request('GET', '/-/conflicts')
    const [conflict] = (JSON.parse(body) as { conflicts: Record<string, unknown>[] }).conflicts
    expect(conflict).toMatchObject({ data: JSON.parse(LONG), refused: 'too_large' })
    expect(conflict).not.toHaveProperty('winner')
    const status = await follower.request('GET', `/-/writes/${id}?key=items/a`)
    expect(JSON.parse(status.body)).toMatchObject({ state: 'refused', refusedFor: 'too_large' })
    const both = await Promise.all(
      [leader, follower].map(
        async ({ server }) => (await server.store.keyState('items/a'))?.record,
      ),
    )
    expect(both[0]).toEqual(both[1])
    await waitFor(() => (follower.plugin.status()?.links[0]?.lastAgreementMs ?? 0) > 0)
    expect(follower.plugin.status()?.links[0]).toMatchObject({ repairs: 0, denied: 1 })
  })
  it('is never acknowledged as held by the leader', async () => {
    const { leader, follower } = await pair()
    for (let i = 0; i < 20; i++) {
      await leader.server.store.set(`items/${i}`, '1')
      const { status, body } = await follower.request(
        'POST',
        `/items/${i}?ack=leader&ackTimeoutMs=20000`,
        LONG,
      )
      expect([status, body]).toEqual([504, expect.stringContaining('refused the write')])
    }
  })
})
