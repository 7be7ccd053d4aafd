/** What a fleet of followers costs in registrations, on the wire. */
import { expect, test } from 'vitest'
import { waitFor } from '../../support/wait.ts'
import { startNode, type TestNode } from '../nodes.ts'

const FLEET = 50

/** Bytes and messages that the leader has sent to all of its followers. */
function sentBy(leader: TestNode): { messages: number; bytes: number } {
  const followers = leader.plugin.status()?.followers ?? []
  return {
    messages: followers.reduce((sum, { traffic }) => sum + traffic.messagesOut, 0),
    bytes: followers.reduce((sum, { traffic }) => sum + traffic.bytesOut, 0),
  }
}

test('a fleet of n followers costs n registrations, not n times n', {
  timeout: 120_000,
}, async () => {
  const leader = await startNode()
  const fleet: TestNode[] = []
  for (let i = 0; i < FLEET; i++) fleet.push(await startNode({ leader, name: `n${i}` }))
  await waitFor(async () => (await leader.server.store.list('nodes/*')).length === FLEET, {
    what: 'all records at the leader',
  })
  await leader.live(FLEET)
  const { messages, bytes } = sentBy(leader)
  const held = await Promise.all(fleet.map((node) => node.server.store.list('nodes/*')))
  expect(held.map((list) => list.map(({ key }) => key))).toEqual(
    fleet.map(({ id }) => [`nodes/${id}`]),
  )
  // A welcome, terms, digests, an answer to the push, beats: 400 in all, where all records to all are 1,832.
  expect(messages).toBeLessThan(FLEET * 15)
  expect(bytes).toBeLessThan(FLEET * 2000)
})
