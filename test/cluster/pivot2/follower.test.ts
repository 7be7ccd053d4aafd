/** Our follower and a leader that has nothing but protocol 2.0. */
import { expect, test } from 'vitest'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { waitFor, waitForValue } from '../../support/wait.ts'
import { startOwn, startPeer, thingsOf } from './own-node.ts'

test('takes over what the leader holds, stamps and digits as they are, and tells that it speaks 2.0', async () => {
  const leader = await startPeer()
  await leader.set('things/a', '{"n":12345678901234567890,"f":1.10}')
  await leader.set('things/a', '{"n":12345678901234567891,"f":1.10}')
  await leader.set('settings', '{"mode":"dark"}')
  const own = await startOwn({ follows: leader.address })
  await own.speaking()
  expect(await own.things()).toEqual({ 'things/a': '{"n":12345678901234567891,"f":1.10}' })
  expect(await own.value('settings')).toBe('{"mode":"dark"}')
  const entry = await own.server.store.get('things/a')
  expect(entry?.created).toBe(leader.entries.get('things/a')?.created)
  expect(entry?.updated).toBe(leader.entries.get('things/a')?.updated)
  const info = JSON.parse((await own.request('GET', '/?api=pivot')).body)
  expect(info).toMatchObject({ role: 'node', pivotHealthy: true, pivotProtocol: '2.0' })
  await waitFor(() => own.outbox === 0)
  const status = JSON.parse((await own.request('GET', '/-/cluster')).body)
  expect(status.links[0]).toMatchObject({ state: 'live', protocol: '2.0', outbox: 0 })
})

test('registers at the leader, and is told of changes there', async () => {
  const leader = await startPeer()
  const own = await startOwn({ follows: leader.address, pollMs: 60_000 })
  await own.speaking()
  await waitFor(() => [...leader.entries.keys()].some((key) => key.startsWith('nodes/')))
  await leader.set('things/a', '1')
  // No poll comes within a minute: the leader's call alone brings these.
  await waitForValue(() => own.things(), { 'things/a': '1' })
  await leader.delete('things/a')
  await waitForValue(() => own.things(), {})
})

test('sends local writes and deletes up, with their stamps', async () => {
  const leader = await startPeer()
  const own = await startOwn({ follows: leader.address, pollMs: 60_000 })
  await own.speaking()
  await own.set('things/a', '{"n":12345678901234567890}')
  await own.set('things/b', '2')
  await own.set('settings', '{"mode":"dark"}')
  await waitForValue(() => thingsOf(leader), {
    'things/a': '{"n":12345678901234567890}',
    'things/b': '2',
  })
  await waitForValue(() => leader.value('settings') ?? '', '{"mode":"dark"}')
  expect(leader.entries.get('things/a')?.created).toBe(
    (await own.server.store.get('things/a'))?.created,
  )
  await own.delete('things/a')
  await own.delete('settings')
  await waitForValue(() => thingsOf(leader), { 'things/b': '2' })
  await waitFor(() => leader.value('settings') === undefined && own.outbox === 0)
  expect(await own.things()).toEqual({ 'things/b': '2' })
})

test('what changed on both sides while the link was cut converges, deletes too', async () => {
  const leader = await startPeer()
  for (const name of ['a', 'b', 'c', 'd']) await leader.set(`things/${name}`, '1')
  await leader.set('settings', '1')
  const own = await startOwn({ follows: leader.address })
  await own.speaking()
  // Its own record among the nodes is with the leader.
  await waitFor(() => own.outbox === 0)
  leader.cut(true)
  await waitFor(() => own.plugin.status()?.links[0]?.state === 'offline')
  await own.set('things/a', '"own"')
  await own.delete('things/b')
  await own.set('things/e', '"own"')
  await own.set('settings', '"own"')
  expect(own.outbox).toBe(4)
  await leader.set('things/c', '"leader"')
  await leader.set('things/f', '"leader"')
  await leader.delete('things/d')
  leader.cut(false)
  const expected = {
    'things/a': '"own"',
    'things/c': '"leader"',
    'things/e': '"own"',
    'things/f': '"leader"',
  }
  await waitForValue(() => own.things(), expected)
  await waitForValue(() => thingsOf(leader), expected)
  await waitFor(() => leader.value('settings') === '"own"' && own.outbox === 0)
})

test('of two writes of one key made apart the later one stays on both sides', async () => {
  const leader = await startPeer()
  await leader.set('things/a', '0')
  await leader.set('things/b', '0')
  const own = await startOwn({ follows: leader.address })
  await own.speaking()
  leader.cut(true)
  await waitFor(() => own.plugin.status()?.links[0]?.state === 'offline')
  await own.set('things/a', '"earlier"')
  await clocksMoveOn()
  await leader.set('things/a', '"later"')
  await leader.set('things/b', '"earlier"')
  await clocksMoveOn()
  await own.set('things/b', '"later"')
  leader.cut(false)
  const expected = { 'things/a': '"later"', 'things/b': '"later"' }
  await waitForValue(() => own.things(), expected)
  await waitForValue(() => thingsOf(leader), expected)
  await waitFor(() => own.outbox === 0)
})

test('a push does not replace what is later at the leader, also when nobody told of it', async () => {
  const leader = await startPeer()
  const own = await startOwn({ follows: leader.address, pollMs: 60_000 })
  await own.speaking()
  // As from a node whose clock is ahead, whose change was not told.
  const created = leader.now() + 10_000_000_000n
  leader.entries.set('things/a', { created, updated: 0n, data: '"later"' })
  await own.set('things/a', '"earlier"')
  await own.set('things/b', '1')
  await waitFor(() => own.outbox === 0)
  const expected = { 'things/a': '"later"', 'things/b': '1' }
  await waitForValue(() => own.things(), expected)
  expect(thingsOf(leader)).toEqual(expected)
})

test('a leader that lost its disk is refilled, and nothing is deleted here', async () => {
  const leader = await startPeer()
  for (const name of ['a', 'b', 'c']) await leader.set(`things/${name}`, `"${name}"`)
  await leader.set('settings', '1')
  const own = await startOwn({ follows: leader.address })
  await own.speaking()
  const before = await own.things()
  await leader.stop()
  leader.wipe()
  await leader.start()
  await leader.set('things/new', '1')
  const expected = { ...before, 'things/new': '1' }
  await waitForValue(() => thingsOf(leader), expected)
  await waitForValue(() => own.things(), expected)
  await waitFor(() => leader.value('settings') === '1')
})

test.each(['while the link was cut', 'while this node did not run'])(
  'what was deleted at the leader %s stays deleted, and what was written here comes there',
  async (when) => {
    const leader = await startPeer()
    for (const name of ['a', 'b', 'c']) await leader.set(`things/${name}`, '1')
    await leader.set('settings', '1')
    const storage = new MemoryStorage()
    let own = await startOwn({ follows: leader.address, storage })
    await own.speaking()
    await own.set('things/mine', '1')
    await waitFor(() => own.outbox === 0)
    await own.speaking()
    leader.cut(true)
    await own.set('things/c', '"own"')
    await own.set('things/d', '"own"')
    if (when.includes('run')) await own.server.close()
    await leader.delete('things/a')
    await leader.delete('things/mine')
    await leader.delete('things/c')
    await leader.delete('settings')
    // 2.0 forgets with a write that there was a delete.
    await leader.set('things/b', '2')
    leader.cut(false)
    if (when.includes('run')) own = await startOwn({ follows: leader.address, storage })
    const expected = { 'things/b': '2', 'things/c': '"own"', 'things/d': '"own"' }
    await waitForValue(() => own.things(), expected)
    await waitForValue(() => thingsOf(leader), expected)
    await waitFor(() => own.outbox === 0)
    expect(thingsOf(leader)).toEqual(expected)
    expect(await own.value('settings')).toBeUndefined()
    expect(leader.value('settings')).toBeUndefined()
  },
)

test('what goes at the leader without a note, as by a limit filter, goes here too', async () => {
  const leader = await startPeer()
  await leader.set('things/a', '1')
  await leader.set('things/b', '1')
  const own = await startOwn({ follows: leader.address })
  await own.speaking()
  leader.entries.delete('things/a')
  await leader.set('things/b', '2')
  await waitForValue(() => own.things(), { 'things/b': '2' })
  await waitFor(() => own.outbox === 0)
  expect(thingsOf(leader)).toEqual({ 'things/b': '2' })
})

test('a leader that was restored from an older backup, and written since, gets back what it lacks', async () => {
  const leader = await startPeer()
  await leader.set('things/a', '1')
  const own = await startOwn({ follows: leader.address })
  await own.speaking()
  const backup = new Map(leader.entries)
  await leader.set('things/b', '1')
  await leader.set('things/a', '2')
  await leader.set('things/c', '1')
  await waitFor(async () => Object.keys(await own.things()).length === 3)
  await leader.stop()
  leader.wipe()
  for (const [key, meta] of backup) leader.entries.set(key, meta)
  await leader.set('things/new', '1')
  await leader.start()
  const expected = { 'things/a': '2', 'things/b': '1', 'things/c': '1', 'things/new': '1' }
  await waitForValue(() => thingsOf(leader), expected)
  await waitForValue(() => own.things(), expected)
})

test('what this node never saw at the leader is pushed, however old it is', async () => {
  const leader = await startPeer()
  await leader.set('things/a', '1')
  const storage = new MemoryStorage()
  const alone = await startOwn({ storage })
  await alone.set('things/b', '"alone"')
  await alone.server.close()
  await leader.set('things/c', '1')
  await leader.delete('things/c')
  const own = await startOwn({ follows: leader.address, storage })
  const expected = { 'things/a': '1', 'things/b': '"alone"' }
  await waitForValue(() => own.things(), expected)
  await waitForValue(() => thingsOf(leader), expected)
})

test('a key that is made again here is taken by 2.0 nodes that still have the old one', async () => {
  const leader = await startPeer()
  const old = await startPeer({ leader: leader.address })
  await old.register('old')
  await leader.set('things/a', '1')
  await leader.set('things/a', '2')
  await leader.set('things/b', '1')
  await waitForValue(() => thingsOf(old), { 'things/a': '2', 'things/b': '1' })
  const own = await startOwn({ follows: leader.address })
  await own.speaking()
  old.cut(true)
  await own.delete('things/a')
  await own.set('things/a', '"again"')
  await waitFor(() => own.outbox === 0)
  await waitForValue(() => leader.value('things/a'), '"again"')
  old.cut(false)
  await old.pull()
  expect(thingsOf(old)).toEqual({ 'things/a': '"again"', 'things/b': '1' })
  expect((await own.server.store.get('things/a'))?.data).toBe('"again"')
})

test('a list that can not be read deletes nothing, and nothing is lost meanwhile', async () => {
  const leader = await startPeer()
  await leader.set('things/a', '1')
  const own = await startOwn({ follows: leader.address })
  await own.speaking()
  leader.isBroken = true
  await leader.set('things/b', '1')
  await waitFor(() => own.plugin.status()?.links[0]?.lastError?.includes('answered 500'))
  await own.set('things/c', '1')
  expect(await own.things()).toEqual({ 'things/a': '1', 'things/c': '1' })
  leader.isBroken = false
  const expected = { 'things/a': '1', 'things/b': '1', 'things/c': '1' }
  await waitForValue(() => own.things(), expected)
  await waitForValue(() => thingsOf(leader), expected)
})

test('a key written and deleted while the leader was away is settled without it', async () => {
  const leader = await startPeer()
  const own = await startOwn({ follows: leader.address })
  await own.speaking()
  leader.cut(true)
  await own.set('things/a', '1')
  await own.delete('things/a')
  await own.set('settings', '1')
  await own.delete('settings')
  leader.cut(false)
  await waitFor(() => own.outbox === 0)
  await own.speaking()
  expect(thingsOf(leader)).toEqual({})
})

test('a deleted key that an old node brings back to the leader is deleted again', async () => {
  const leader = await startPeer()
  await leader.set('things/a', '1')
  const old = { ...(leader.entries.get('things/a') ?? { created: 1n, updated: 0n, data: '' }) }
  const own = await startOwn({ follows: leader.address })
  await own.speaking()
  await own.delete('things/a')
  await waitForValue(() => thingsOf(leader), {})
  leader.entries.set('things/a', old)
  await leader.set('things/b', '1')
  await waitForValue(() => thingsOf(leader), { 'things/b': '1' })
  await waitForValue(() => own.things(), { 'things/b': '1' })
})

test('what the leader refuses stays in the outbox and holds nothing else up', async () => {
  const leader = await startPeer({ strictKeys: true })
  const own = await startOwn({ follows: leader.address })
  await own.speaking()
  await own.set('things/not-routed', '1')
  await own.set('things/routed', '1')
  await waitForValue(() => thingsOf(leader), { 'things/routed': '1' })
  await waitFor(() => own.plugin.status()?.links[0]?.refused === 1)
  await waitFor(() => own.outbox === 1)
  expect(await own.value('things/not-routed')).toBe('1')
})

test('a long list and a long outbox go over in pages', async () => {
  const leader = await startPeer()
  for (let i = 0; i < 1200; i++) {
    leader.entries.set(`things/l${i}`, { created: leader.now(), updated: 0n, data: `${i}` })
  }
  const own = await startOwn({ follows: leader.address })
  await own.speaking()
  expect(Object.keys(await own.things())).toHaveLength(1200)
  leader.cut(true)
  for (let i = 0; i < 600; i++) await own.set(`things/o${i}`, `${i}`)
  leader.cut(false)
  await waitFor(() => own.outbox === 0)
  expect(thingsOf(leader)).toEqual(await own.things())
})

test('a leader that gets the stream is followed by it from then on', async () => {
  const leader = await startPeer()
  await leader.set('things/a', '1')
  const own = await startOwn({ follows: leader.address })
  await own.speaking()
  await own.set('things/b', '1')
  await waitFor(() => own.outbox === 0)
  const port = Number(leader.address.split(':')[1])
  await leader.stop()
  const upgraded = await startOwn({ port })
  await upgraded.set('things/c', '1')
  const expected = { 'things/a': '1', 'things/b': '1', 'things/c': '1' }
  await waitForValue(() => own.things(), expected)
  await waitForValue(() => upgraded.things(), expected)
  // Until its stream is up it goes on with 2.0, which the new leader speaks too.
  await waitFor(() => !own.isSpeaking && own.plugin.status()?.links[0]?.state === 'live')
})

test('two of our followers and a 2.0 node hold the same as their 2.0 leader', async () => {
  const leader = await startPeer()
  const old = await startPeer({ leader: leader.address })
  await old.register('old')
  const [a, b] = await Promise.all([
    startOwn({ follows: leader.address }),
    startOwn({ follows: leader.address }),
  ])
  await Promise.all([a.speaking(), b.speaking()])
  await a.set('things/a', '1')
  await b.set('things/b', '1')
  await old.set('things/c', '1')
  await leader.set('things/d', '1')
  await waitFor(() => a.outbox + b.outbox === 0)
  for (const node of [a, b]) {
    await waitFor(async () => Object.keys(await node.things()).length === 4)
  }
  await b.delete('things/a')
  const expected = { 'things/b': '1', 'things/c': '1', 'things/d': '1' }
  await waitForValue(() => thingsOf(leader), expected)
  await waitForValue(() => thingsOf(old), expected)
  for (const node of [a, b]) await waitForValue(() => node.things(), expected)
})

test('with a cluster token nobody is followed by 2.0', async () => {
  const leader = await startPeer()
  await leader.set('things/a', '1')
  const own = await startOwn({ follows: leader.address, token: 'secret' })
  await waitFor(() => (own.plugin.status()?.links[0]?.lastCheckMs ?? 0) > 0)
  expect(own.isSpeaking).toBe(false)
  expect(leader.taken).not.toContain('GET /_pivot/version')
})

/** Stamps made by one side from now on are later than those the other made before, however coarse its clock. */
async function clocksMoveOn(): Promise<void> {
  const startMs = Date.now()
  await waitFor(() => Date.now() > startMs + 5, { what: 'clocks that have moved on' })
}
