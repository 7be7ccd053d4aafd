/** `ooo nodes` on a cluster in this process. */
import { expect, it } from 'vitest'
import { formatNodes } from '../../cli/commands/nodes.ts'
import { startNode } from '../cluster/nodes.ts'
import { KeptStorage } from '../support/kept-storage.ts'
import { ooo } from '../support/run-command.ts'
import { waitFor } from '../support/wait.ts'

it('lists the members, and forgets one that is away', async () => {
  const token = 'secret'
  const leader = await startNode({ token })
  const node = await startNode({ leader, token, name: 'edge', storage: new KeptStorage() })
  const { id } = node
  await leader.live(1)
  const at = ['--url', leader.url]
  const listed = await ooo('nodes', ...at)
  expect(listed.code).toBe(0)
  const [head, row, ...more] = listed.stdout.trimEnd().split('\n')
  expect(head?.split(/\s{2,}/)).toEqual([
    'node',
    'id',
    'address',
    'version',
    'connected',
    'away since',
  ])
  const address = node.url.replace('http://', '')
  expect(row?.split(/\s{2,}/)).toEqual(['edge', id, address, expect.any(String), 'yes', '-'])
  expect(more).toEqual([])

  const credential = [...at, '--cluster-token', token]
  const early = await ooo('nodes', 'forget', id, ...credential)
  expect(early).toMatchObject({ code: 2, stdout: '' })
  expect(early.stderr).toContain(`${id} is connected; stop it first`)
  await node.server.close()
  await waitFor(async () =>
    /\bno\b.*\d{4}-\d\d-\d\dT/.test((await ooo('nodes', 'list', ...at)).stdout),
  )
  const strange = await ooo('nodes', 'forget', id, ...at)
  expect(strange.code).toBe(1)
  expect(strange.stderr).toContain('give --cluster-token')
  expect(await ooo('nodes', 'forget', id, ...credential)).toMatchObject({
    code: 0,
    stdout: `node "${id}" is forgotten\n`,
  })
  expect(await ooo('nodes', 'forget', id, ...credential)).toMatchObject({
    code: 3,
    stdout: `no node "${id}" is known\n`,
  })
  expect((await ooo('nodes', ...at, '--json')).stdout).toBe('{"nodes":[]}\n')
  expect((await ooo('nodes', 'leave', ...at)).code).toBe(2)
})

it('bears with strange answers', () => {
  for (const told of [undefined, null, 7, {}, { nodes: 'x' }]) {
    expect(formatNodes(told)).toBe('no node has joined\n')
  }
  expect(formatNodes({ nodes: [null, { id: 7, awaySinceMs: 'x' }] })).toContain('7')
})
