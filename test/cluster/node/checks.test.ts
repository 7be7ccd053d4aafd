/** Records that no other node takes, or that are greater than one does: links go on past them. */
import { expect, test } from 'vitest'
import { standInOrigin } from '../../../src/core/data/stand-in-origin.ts'
import { encodeRecord, metaRow, recordRow } from '../../../src/store/format/rows.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { openStore } from '../../support/store.ts'
import { waitFor } from '../../support/wait.ts'
import { startNode, type TestNode } from '../nodes.ts'

/** A storage of the release before, with one record of this origin. */
async function storageWith(key: string, origin: string): Promise<MemoryStorage> {
  const adapter = new MemoryStorage()
  const store = await openStore({ adapter })
  await store.set(key, '1')
  const keyState = await store.keyState(key)
  await store.close()
  if (keyState === undefined) throw new Error('nothing was written')
  await adapter.open()
  await adapter.batch([
    {
      type: 'put',
      key: recordRow(key),
      value: encodeRecord({ ...keyState.record, origin }, keyState.seq),
    },
    { type: 'del', key: metaRow('checked') },
  ])
  return adapter
}

async function holds(node: TestNode, key: string, data: string): Promise<void> {
  await waitFor(async () => (await node.server.store.get(key))?.data === data, {
    what: `${key} at ${node.id}`,
  })
}

async function digestsAgree(a: TestNode, b: TestNode): Promise<void> {
  const records = async ({ server }: TestNode): Promise<string> => {
    const found: string[] = []
    for await (const record of (await server.store.scan({ prefix: 'items/' })).records) {
      found.push(encodeRecord(record, 0))
    }
    return found.join('\n')
  }
  await waitFor(async () => (await records(a)) === (await records(b)), { what: 'the same records' })
}

test('records under origins that nobody takes go both ways under what stands in for them', async () => {
  const leader = await startNode({ storage: await storageWith('items/dot', 'my.app') })
  const follower = await startNode({ leader, storage: await storageWith('items/line', 'a\nb') })
  await holds(follower, 'items/dot', '1')
  await holds(leader, 'items/line', '1')
  expect((await leader.server.store.keyState('items/line'))?.record.origin).toBe(
    standInOrigin('a\nb'),
  )
  await leader.request('POST', '/items/down', '1')
  await follower.request('POST', '/items/up', '2')
  await holds(follower, 'items/down', '1')
  await holds(leader, 'items/up', '2')
  await digestsAgree(leader, follower)
})

test('a value greater than the leader takes holds up nothing that is behind it', async () => {
  const leader = await startNode({ maxValueBytes: 1024 })
  const follower = await startNode({ leader })
  await follower.live()
  await follower.request('POST', '/items/great', JSON.stringify('x'.repeat(2000)))
  await follower.request('POST', '/items/small', '2')
  await holds(leader, 'items/small', '2')
  expect(await leader.server.store.get('items/great')).toBeUndefined()
  await waitFor(async () => (await follower.server.store.get('items/great')) === undefined)
  await leader.request('POST', '/items/down', '1')
  await holds(follower, 'items/down', '1')
  await follower.live()
})

test('a greater value that the leader holds is taken by its follower', async () => {
  const leader = await startNode()
  const great = JSON.stringify('x'.repeat(2000))
  await leader.request('POST', '/items/great', great)
  const follower = await startNode({ leader, maxValueBytes: 1024 })
  await holds(follower, 'items/great', great)
  await leader.request('POST', '/items/later', JSON.stringify('y'.repeat(2000)))
  await holds(follower, 'items/later', JSON.stringify('y'.repeat(2000)))
  expect((await follower.request('POST', '/items/great', great.replace('x', 'z'))).status).toBe(413)
  expect((await follower.request('POST', '/items/great', '"less"')).status).toBe(200)
  await holds(leader, 'items/great', '"less"')
  await digestsAgree(leader, follower)
})
