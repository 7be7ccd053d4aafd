import { afterEach, describe, expect, it } from 'vitest'
import type { ClusterLimits } from '../../../cluster/config/options.ts'
import { SlowLine } from '../../support/slow-line.ts'
import { waitFor } from '../../support/wait.ts'
import { startNode, type TestNode } from '../nodes.ts'

/** A peer is silent after 900 ms. */
const IMPATIENT: Partial<ClusterLimits> = { beatIntervalMs: 300, maxSilentBeats: 3 }
const MIB = 1024 * 1024
const RATE = 256 * 1024
const LARGE = JSON.stringify('x'.repeat(MIB))

const lines: SlowLine[] = []

afterEach(async () => {
  for (const line of lines.splice(0)) await line.close()
})

async function pair(
  cutEveryMs?: number,
  bytesPerSecond = RATE,
): Promise<{ leader: TestNode; follower: TestNode; line: SlowLine }> {
  const leader = await startNode({ limits: IMPATIENT })
  const line = await SlowLine.open({
    to: leader.url,
    bytesPerSecond,
    ...(cutEveryMs === undefined ? {} : { cutEveryMs }),
  })
  lines.push(line)
  const follower = await startNode({ clusterUrl: line.url, limits: IMPATIENT })
  await follower.live()
  return { leader, follower, line }
}

async function put(node: TestNode, key: string, json: string): Promise<void> {
  expect((await node.request('POST', `/${key}`, json)).status).toBe(200)
}

async function holds(node: TestNode, key: string, json: string): Promise<void> {
  await waitFor(async () => (await node.server.store.get(key))?.data === json, {
    what: `${key} at ${node.id}`,
    deadlineMs: 50_000,
  })
}

describe.each(['down', 'up'] as const)('on a slow line, %s', (direction) => {
  const ends = ({ leader, follower }: { leader: TestNode; follower: TestNode }) =>
    direction === 'down' ? ([leader, follower] as const) : ([follower, leader] as const)

  it('a value that takes longer than silence may last arrives, and a small change passes it', async () => {
    const site = await pair()
    const [from, to] = ends(site)
    await put(from, 'items/large', LARGE)
    await put(from, 'items/small', '1')
    await holds(to, 'items/small', '1')
    expect(await to.server.store.get('items/large')).toBeUndefined()
    await holds(to, 'items/large', LARGE)
    expect(site.line.cuts).toBe(0)
    expect(site.line.carried[direction]).toBeLessThan(1.2 * MIB)
  }, 60_000)

  it('a value arrives over a line that is cut again and again, each piece sent once', async () => {
    const site = await pair(1500)
    const [from, to] = ends(site)
    const before = site.line.carried[direction]
    await put(from, 'items/large', LARGE)
    await put(from, 'items/small', '1')
    await holds(to, 'items/small', '1')
    await holds(to, 'items/large', LARGE)
    expect(site.line.cuts).toBeGreaterThan(1)
    // Of each connection at most the piece under way is lost, and its greeting is repeated.
    expect(site.line.carried[direction] - before).toBeLessThan(1.6 * MIB)
  }, 60_000)

  it('a piece that takes longer than silence may last is waited for', async () => {
    const site = await pair(undefined, 24 * 1024)
    const [from, to] = ends(site)
    const value = JSON.stringify('x'.repeat(100_000))
    await put(from, 'items/large', value)
    await holds(to, 'items/large', value)
    expect(site.line.carried[direction]).toBeLessThan(200_000)
  }, 60_000)
})
