/** Processes that elect their leader by Redis: who wins the lease with an old state decides nothing from it. */
import { describe, expect, it } from 'vitest'
import { type Answer, request } from '../support/http.ts'
import type { ProcessNode } from '../support/process-cluster.ts'
import { useRedis } from '../support/services.ts'
import { useClusters } from '../support/trio.ts'
import { waitFor } from '../support/wait.ts'

const newCluster = useClusters()
const redis = useRedis({ control: true })

/** Long enough for a machine that is busy with other tests. */
const DEADLINE_MS = 60_000
const NAMES: readonly string[] = ['a', 'b', 'c']

interface Status {
  readonly lease: { readonly state: string }
  readonly links: readonly { readonly url: string; readonly state: string }[]
}

async function statusOf(node: ProcessNode): Promise<Status> {
  const { body } = await request('GET', `${node.url}/-/cluster`, { timeoutMs: 2000 })
  return JSON.parse(body) as Status
}

/** The one of these nodes that leads, once all others of them follow it live. */
function leaderOf(nodes: readonly ProcessNode[]): Promise<ProcessNode> {
  return waitFor(
    async () => {
      const found = await Promise.all(
        nodes.map(async (node) => ({ node, ...(await statusOf(node)) })),
      )
      const [leader, ...more] = found.filter(({ lease }) => lease.state === 'leader')
      if (leader === undefined || more.length > 0) return undefined
      const areLive = found.every(({ node, links }) => {
        const isLive = links.some(({ url, state }) => url === leader.node.url && state === 'live')
        return node === leader.node || isLive
      })
      return areLive && leader.node
    },
    { deadlineMs: DEADLINE_MS, intervalMs: 20, what: 'a leader whom the others follow' },
  )
}

async function trio(args: readonly string[] = []): Promise<Record<'x' | 'y' | 'z', ProcessNode>> {
  const name = `lease-${Math.random().toString(36).slice(2)}`
  const cluster = newCluster({ args: ['--leader', 'redis', '--lease-name', name, ...args] })
  const nodes = await Promise.all(
    NAMES.map((node) => cluster.start({ name: node, args: ['--redis', redis().url] })),
  )
  const x = await leaderOf(nodes)
  const [y, z] = nodes.filter((node) => node !== x)
  if (y === undefined || z === undefined) throw new Error('there are fewer than three nodes')
  await votersAre(x, NAMES)
  return { x, y, z }
}

/** Waits until the leader names these voters, and decides. */
async function votersAre(leader: ProcessNode, names: readonly string[]): Promise<void> {
  await waitFor(
    async () => {
      const { status, body } = await request('GET', `${leader.url}/-/voters`)
      if (status !== 200) return false
      const { voters, decides } = JSON.parse(body) as { voters: string[]; decides: boolean }
      return decides && JSON.stringify(voters) === JSON.stringify(names)
    },
    { deadlineMs: DEADLINE_MS, what: `the voters ${names.join(', ')}` },
  )
}

function replace(
  node: ProcessNode,
  version: string | undefined,
  value: number,
  query = '',
): Promise<Answer> {
  const condition: Record<string, string> =
    version === undefined ? { 'if-none-match': '*' } : { 'if-match': version }
  const body = JSON.stringify({ v: value })
  const options = { body, headers: condition, timeoutMs: 40_000 }
  return request('POST', `${node.url}/settings${query}`, options)
}

async function read(node: ProcessNode): Promise<{ version: string; v: number }> {
  const answer = await node.get('settings')
  const { data } = JSON.parse(answer.body) as { data: { v: number } }
  return { version: String(answer.headers.etag), v: data.v }
}

/** Increments, each on the state before; all are acknowledged. @returns the tag of the state before them. */
async function increment(node: ProcessNode, times: number, ack: string): Promise<string> {
  const before = await read(node)
  for (let i = 0; i < times; i++) {
    const { version, v } = await read(node)
    expect((await replace(node, version, v + 1, `?ack=${ack}`)).status).toBe(200)
  }
  return before.version
}

async function leads(node: ProcessNode): Promise<void> {
  await waitFor(async () => (await statusOf(node)).lease.state === 'leader', {
    deadlineMs: DEADLINE_MS,
    what: `${node.name} to hold the lease`,
  })
}

/** `node` holds the lease and an old state; `z` has the new one and is frozen. */
async function expectNothingFromOldState(
  node: ProcessNode,
  z: ProcessNode,
  old: string,
  count: number,
): Promise<void> {
  await leads(node)
  const early = await replace(node, old, 2)
  expect([early.status, early.headers['retry-after']]).toEqual([503, '1'])
  expect(early.body).toContain(z.name)
  expect((await request('POST', `${node.url}/items/plain`, { body: '1' })).status).toBe(200)
  z.thaw()
  await waitFor(async () => (await replace(node, old, 2)).status === 412, {
    deadlineMs: DEADLINE_MS,
    what: 'the old version to be refused for what it is',
  })
  const { version, v } = await read(node)
  expect(v).toBe(count)
  expect((await replace(node, version, v + 1)).status).toBe(200)
  expect((await read(node)).v).toBe(count + 1)
}

describe('a node that wins the lease with an old state', () => {
  it('after it was down decides nothing until it has what was acknowledged', async () => {
    const { x, y, z } = await trio()
    expect((await replace(x, undefined, 1, '?ack=2')).status).toBe(200)
    await y.kill()
    const old = await increment(x, 10, '1')
    await x.kill()
    z.freeze()
    await y.start()
    await expectNothingFromOldState(y, z, old, 11)
  })

  it('after it was frozen decides nothing until it has what was acknowledged', async () => {
    const { x, y, z } = await trio()
    expect((await replace(x, undefined, 1, '?ack=2')).status).toBe(200)
    y.freeze()
    // More than the leader sends ahead of what was acknowledged: the rest never reaches the frozen node.
    for (let i = 0; i < 4; i++) await x.post(`items/large${i}`, 'x'.repeat(1_000_000))
    const old = await increment(x, 10, '1')
    await x.kill()
    z.freeze()
    y.thaw()
    await expectNothingFromOldState(y, z, old, 11)
  })
})
