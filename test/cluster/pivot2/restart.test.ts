/** Nodes that are started again on what they had stored. */
import { expect, test } from 'vitest'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { waitFor, waitForValue } from '../../support/wait.ts'
import { startOwn, startPeer, thingsOf } from './own-node.ts'

test('a follower started again without its 2.0 leader keeps its outbox until the leader is there', async () => {
  const leader = await startPeer()
  await leader.set('things/a', '1')
  await leader.set('things/b', '1')
  const storage = new MemoryStorage()
  const first = await startOwn({ follows: leader.address, storage })
  await first.speaking()
  leader.cut(true)
  await first.set('things/c', '1')
  await first.delete('things/a')
  await first.server.close()
  const second = await startOwn({ follows: leader.address, storage })
  expect(await second.things()).toEqual({ 'things/b': '1', 'things/c': '1' })
  await waitFor(() => (second.plugin.status()?.links[0]?.lastCheckMs ?? 0) > 0)
  expect(second.outbox).toBeGreaterThanOrEqual(2)
  expect(second.isSpeaking).toBe(false)
  await leader.delete('things/b')
  leader.cut(false)
  await waitForValue(() => thingsOf(leader), { 'things/c': '1' })
  await waitForValue(() => second.things(), { 'things/c': '1' })
  await waitFor(() => second.outbox === 0)
})

test('the activity told to 2.0 nodes does not fall when the leader is started again', async () => {
  const storage = new MemoryStorage()
  const node = await startPeer()
  const first = await startOwn({ storage })
  first.lists(node)
  const { version } = await first.server.store.set('things/a', '1')
  const activity = async (own: typeof first): Promise<bigint> =>
    BigInt(/\d+/.exec((await own.request('GET', '/_pivot/activity/things')).body)?.[0] ?? '-1')
  expect(await activity(first)).toBe(version)
  const body = `{"created":${version - 1_000_000_000n},"updated":0,"index":"late","data":1}`
  expect((await first.request('POST', '/_pivot/pivot/things/late', { body })).status).toBe(200)
  const raised = await activity(first)
  expect(raised).toBeGreaterThan(version)
  await first.server.close()
  const second = await startOwn({ storage, lists: [node] })
  expect(await activity(second)).toBeGreaterThanOrEqual(raised)
  expect(await second.things()).toEqual({ 'things/a': '1', 'things/late': '1' })
})
