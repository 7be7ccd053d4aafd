/** The steps of docs/pivot.md that move a running cluster of 2.0 servers to this project, with real processes. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { LevelStorage } from '../../../storage-adapters/leveldb/leveldb.ts'
import { prepareBuild } from '../../support/built.ts'
import { runCli } from '../../support/cli-process.ts'
import { ProcessNode, waitUntilEqual } from '../../support/process-cluster.ts'
import { waitFor, waitForValue } from '../../support/wait.ts'
import { startPeer, thingsOf } from './own-node.ts'
import type { PivotPeer } from './peer.ts'
import { print } from './peer-format.ts'

beforeAll(prepareBuild)

/** The data of a 2.0 server as it lies on its disk. */
async function folderOf(peer: PivotPeer, directory: string): Promise<string> {
  const storage = new LevelStorage({ directory })
  await storage.open()
  const rows = [...peer.entries].map(([key, meta]) => [key, print(key, meta)] as const)
  for (const [base, stamp] of peer.deletes) {
    const key = `pivot/${base}`
    rows.push([key, print(key, { created: stamp, updated: 0n, data: String(stamp) })])
  }
  rows.push(['pivot/keyurl/things', '127.0.0.1:1'])
  await storage.batch(rows.map(([key, value]) => ({ type: 'put', key, value })))
  await storage.close()
  return directory
}

/** Our node in the place of a 2.0 server that has stopped, with its data, under its address. */
async function replace(
  peer: PivotPeer,
  root: string,
  name: string,
  leader?: ProcessNode,
  nodes: readonly PivotPeer[] = [],
): Promise<ProcessNode> {
  const directory = join(root, name)
  const folder = await folderOf(peer, join(root, `old-${name}`))
  const imported = await runCli(['import', '--from-ko', folder, '--data', directory])
  // The bookkeeping of 2.0 is no data: it is named and left out.
  expect(imported.stderr).toContain('pivot/keyurl/things')
  expect(imported.code).toBe(1)
  const port = Number(peer.address.split(':')[1])
  const args = ['serve', '--host', '127.0.0.1', '--port', String(port), '--data', directory]
  args.push('--name', name, '--key', 'things/*', '--key', 'settings')
  for (const { address } of nodes) args.push('--pivot2', address)
  if (leader !== undefined) args.push('--cluster-url', leader.url)
  const node = new ProcessNode(name, port, directory, args)
  onTestFinished(() => node.kill())
  await node.start()
  return node
}

async function thingsAt(node: ProcessNode): Promise<Record<string, string>> {
  const entries = JSON.parse((await node.get('things/*')).body) as { path: string; data: unknown }[]
  const pairs = entries.map(({ path, data }): [string, string] => [path, JSON.stringify(data)])
  return Object.fromEntries(pairs.sort(([a], [b]) => (a < b ? -1 : 1)))
}

test('a running cluster of 2.0 servers is moved to ours, the leader first, and no write is lost', async () => {
  const root = await mkdtemp(join(tmpdir(), 'ooo-moving-'))
  onTestFinished(() => rm(root, { recursive: true, force: true }))
  const old = await startPeer()
  const one = await startPeer({ leader: old.address })
  const two = await startPeer({ leader: old.address, autoSync: true, retryMs: 100 })
  await two.register('two')
  // The sync of one 2.0 node may delete at a 2.0 leader what the node has not got yet.
  await waitFor(async () => {
    if (one.value('nodes/one') === undefined) await one.register('one')
    return old.value('nodes/one') !== undefined && two.value('nodes/one') !== undefined
  })
  for (const name of ['a', 'b', 'c']) await old.set(`things/${name}`, `"${name}"`)
  await old.set('settings', '{"mode":"old"}')
  for (const node of [one, two]) {
    await waitForValue(() => thingsOf(node), thingsOf(old))
    await waitFor(() => node.value('settings') !== undefined)
    await node.pull()
  }

  // The leader stops. Its nodes go on serving, and keep what is written there.
  await old.stop()
  await one.set('things/a', '"one"')
  await two.set('things/d', '"two"')
  await two.set('settings', '{"mode":"two"}')

  const leader = await replace(old, root, 'leader', undefined, [one, two])
  await leader.post('things/e', 'leader')
  await one.read('things/a')
  const all: Record<string, string> = {
    'things/a': '"one"',
    'things/b': '"b"',
    'things/c': '"c"',
    'things/d': '"two"',
    'things/e': '"leader"',
  }
  await waitForValue(() => thingsAt(leader), all)
  for (const node of [one, two]) await waitForValue(() => thingsOf(node), all)
  await waitFor(async () => (await leader.get('settings')).body.includes('"two"'))
  await waitForValue(() => one.value('settings'), '{"mode":"two"}')

  // One follower after the other; each may hold what it could not send any more.
  one.cut(true)
  await one.set('things/f', '"unsent"')
  // Its data does not tell of a delete: this one comes back.
  await one.delete('things/c')
  await one.stop()
  await leader.post('things/g', 'meanwhile')
  await leader.delete('things/b')
  const first = await replace(one, root, 'one', leader)
  delete all['things/b']
  Object.assign(all, { 'things/f': '"unsent"', 'things/g': '"meanwhile"' })
  await waitForValue(() => thingsAt(first), all)
  await waitForValue(() => thingsAt(leader), all)
  await waitForValue(() => thingsOf(two), all)

  await two.set('things/h', '"two"')
  await two.stop()
  const second = await replace(two, root, 'two', leader)
  await second.post('things/i', 'second')
  Object.assign(all, { 'things/h': '"two"', 'things/i': '"second"' })
  await waitForValue(() => thingsAt(leader), all)
  await waitUntilEqual([leader, first, second], ['things/*', 'settings'])

  await waitForValue(async () => {
    const info = JSON.parse((await leader.get('?api=pivot')).body)
    return info.nodes.map(({ protocol }: { protocol: string }) => protocol)
  }, ['3', '3'])
})
