/** `ooo conflicts` on a cluster in this process. */
import { expect, it } from 'vitest'
import { startNode, type TestNode } from '../cluster/nodes.ts'
import { ooo } from '../support/run-command.ts'
import { waitFor } from '../support/wait.ts'

/** A leader that lost `losing` of `keys` against its follower. */
async function withConflicts(keys: readonly string[]): Promise<[TestNode, TestNode]> {
  const leader = await startNode()
  const follower = await startNode({ leader })
  await follower.live()
  follower.link.cut()
  for (const key of keys) {
    const { version } = await leader.server.set(key, { n: 12345678901234567890n })
    // The two measure the time to some milliseconds of each other.
    await waitFor(async () => (await follower.server.set(key, 2)).version > version)
  }
  follower.link.heal()
  for (const key of keys) {
    await waitFor(async () => (await leader.server.store.get(key))?.data === '2')
  }
  return [leader, follower]
}

it('lists, restores and discards', async () => {
  const [leader, follower] = await withConflicts(['items/a', 'items/b'])
  const at = ['--url', leader.url]
  const { code, stdout } = await ooo('conflicts', 'list', ...at)
  expect(code).toBe(0)
  const [head, ...rows] = stdout.trimEnd().split('\n')
  expect(head).toMatch(/^id +key +decided +lost +written by +lost to$/)
  expect(rows).toHaveLength(2)
  expect(rows[0]).toContain(`{"n":12345678901234567890}  ${leader.id}  ${follower.id}`)
  for (const same of [
    ['conflicts', ...at],
    ['conflicts', leader.url],
    ['conflicts', leader.url, 'list'],
  ]) {
    expect((await ooo(...same)).stdout).toBe(stdout)
  }
  const one = await ooo('conflicts', 'list', '--json', '--key', 'items/a', ...at)
  const { id } = JSON.parse(one.stdout) as { id: string }
  expect(await ooo('conflicts', 'restore', id, ...at)).toEqual({
    code: 0,
    stdout: 'items/a\n',
    stderr: '',
  })
  expect((await leader.server.store.get('items/a'))?.data).toBe('{"n":12345678901234567890}')
  const other = (await ooo('conflicts', 'list', '--json', ...at)).stdout
  const left = (JSON.parse(other) as { id: string }).id
  expect((await ooo('conflicts', 'discard', left, ...at)).code).toBe(0)
  expect((await ooo('conflicts', 'list', ...at)).stdout).toBe('')
  const gone = await ooo('conflicts', 'restore', left, ...at)
  expect(gone).toMatchObject({ code: 3, stderr: `ooo: conflicts: no conflict ${left} here\n` })
  const below = await ooo('conflicts', 'list', '--url', follower.url)
  expect(below.stderr).toBe(`ooo: others were decided by ${leader.url}\n`)
})

it('says how it is used', async () => {
  for (const argv of [['list', 'x'], ['restore'], ['drop', 'x'], ['list', '--limit', '0']]) {
    expect((await ooo('conflicts', ...argv)).code).toBe(2)
  }
})
