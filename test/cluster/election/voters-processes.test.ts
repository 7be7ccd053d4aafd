/** Processes that elect their leader by Redis: who wins the lease with an old state decides nothing from it. */
import { describe, expect, it } from 'vitest'
import { type Answer, request } from '../../support/http.ts'
import type { ProcessCluster, ProcessNode } from '../../support/process-cluster.ts'
import { useRedis } from '../../support/services.ts'
import { useClusters } from '../../support/trio.ts'
import { waitFor } from '../../support/wait.ts'

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

/** The cluster of a leader, for nodes that join it. */
const clusterOf = new WeakMap<ProcessNode, ProcessCluster>()

/** Three nodes; `x` leads. @param aheadBy runs the first of them, which then leads. */
async function trio(
  args: readonly string[] = [],
  aheadBy?: readonly string[],
): Promise<Record<'x' | 'y' | 'z', ProcessNode>> {
  const name = `lease-${Math.random().toString(36).slice(2)}`
  const cluster = newCluster({ args: ['--leader', 'redis', '--lease-name', name, ...args] })
  const start = (node: string, enter: readonly string[] = []): Promise<ProcessNode> =>
    cluster.start({ name: node, args: ['--redis', redis().url], enter })
  const nodes: ProcessNode[] = []
  if (aheadBy !== undefined) {
    const first = await start('a', aheadBy)
    await leads(first)
    nodes.push(first)
  }
  nodes.push(...(await Promise.all(NAMES.slice(nodes.length).map((node) => start(node)))))
  const x = await leaderOf(nodes)
  clusterOf.set(x, cluster)
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

/** More than a leader sends ahead of what was acknowledged: the rest never reaches a frozen node. */
async function fillWindows(leader: ProcessNode): Promise<void> {
  for (let i = 0; i < 4; i++) await leader.post(`items/large${i}`, 'x'.repeat(1_000_000))
}

function changeVoters(node: ProcessNode, change: object): Promise<Answer> {
  return request('POST', `${node.url}/-/voters`, {
    body: JSON.stringify(change),
    timeoutMs: 40_000,
  })
}

/** Which of these nodes decides, once one does. */
function deciderOf(nodes: readonly ProcessNode[]): Promise<ProcessNode> {
  return waitFor(
    async () => {
      for (const node of nodes) {
        const { body } = await request('GET', `${node.url}/-/cluster`, { timeoutMs: 2000 })
        const { lease, voters } = JSON.parse(body) as Status & { voters: { decides: boolean } }
        if (lease.state === 'leader' && voters.decides) return node
      }
      return undefined
    },
    { deadlineMs: DEADLINE_MS, intervalMs: 20, what: 'a leader that decides' },
  )
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
    await fillWindows(x)
    const old = await increment(x, 10, '1')
    await x.kill()
    z.freeze()
    y.thaw()
    await expectNothingFromOldState(y, z, old, 11)
  })
})

describe('voters', () => {
  it('with a new disk do not vote until a leader that decides has refilled them', async () => {
    const { x, y, z } = await trio()
    expect((await replace(x, undefined, 1, '?ack=2')).status).toBe(200)
    await y.kill()
    await increment(x, 5, 'majority')
    await x.kill()
    await z.kill()
    await z.wipe()
    await Promise.all([y.start(), z.start()])
    const leader = await leaderOf([y, z])
    const early = await replace(leader, (await read(leader)).version, 9)
    expect(early.status).toBe(503)
    expect(early.body).toContain(`${z.name} (`)
    expect(early.body).toContain('disk is empty or restored')
    await x.start()
    const decider = await deciderOf([x, y, z])
    expect((await read(decider)).v).toBe(6)
    await increment(decider, 1, 'majority')
    // The refilled one votes again.
    await x.kill()
    const next = await deciderOf([y, z])
    expect((await read(next)).v).toBe(7)
  })

  it('go from three to five, one at a time, and lose nothing that was acknowledged', async () => {
    const { x, y, z } = await trio(['--voters', 'a,b,c'])
    const cluster = clusterOf.get(x)
    if (cluster === undefined) throw new Error('the cluster is not known')
    const [d, e] = await Promise.all(
      ['d', 'e'].map((name) => cluster.start({ name, args: ['--redis', redis().url] })),
    )
    if (d === undefined || e === undefined) throw new Error('two more nodes were to start')
    expect((await replace(x, undefined, 1, '?ack=majority')).status).toBe(200)
    let isOver = false
    let counted = 1
    const counting = (async () => {
      while (!isOver) {
        await increment(x, 1, 'majority')
        counted++
      }
    })()
    // Any node takes the change, and passes it on.
    expect((await changeVoters(y, { add: 'd' })).status).toBe(200)
    expect((await changeVoters(e, { add: 'e' })).status).toBe(200)
    expect((await changeVoters(x, { add: 'e' })).body).toContain('\\"e\\" is a voter already')
    await votersAre(z, ['a', 'b', 'c', 'd', 'e'])
    isOver = true
    await counting
    await x.kill()
    await y.kill()
    const leader = await deciderOf([z, d, e])
    expect((await read(leader)).v).toBe(counted)
    const told = JSON.parse((await changeVoters(leader, { remove: x.name })).body) as {
      voters: string[]
    }
    expect(told.voters).not.toContain(x.name)
    await increment(leader, 1, 'majority')
  })

  it('are counted by ack=majority, also through a follower, and only while enough of them hold it', async () => {
    const { x, y, z } = await trio()
    for (const node of [x, y]) {
      const plain = await request('POST', `${node.url}/items/plain?ack=majority`, { body: '1' })
      expect([plain.status, plain.headers['ooo-ack']]).toEqual([200, 'majority'])
    }
    const decided = await replace(y, undefined, 1, '?ack=majority')
    expect([decided.status, decided.headers['ooo-ack']]).toEqual([200, 'majority'])
    const operations = [{ op: 'set', path: 'items/b', data: 1, ifNoneMatch: '*' }]
    const batch = await request('POST', `${z.url}/-/batch?ack=majority`, {
      body: JSON.stringify({ operations }),
    })
    expect([batch.status, batch.headers['ooo-ack']]).toEqual([200, 'majority'])
    const volatile = await request('POST', `${x.url}/items/a?ack=majority&durability=memory`, {
      body: '1',
    })
    expect(volatile.status).toBe(400)
    y.freeze()
    z.freeze()
    try {
      const late = await request('POST', `${x.url}/items/late?ack=majority&ackTimeoutMs=500`, {
        body: '1',
      })
      expect([late.status, late.headers['ooo-ack']]).not.toContain('majority')
      expect(late.status).toBe(504)
    } finally {
      y.thaw()
      z.thaw()
    }
  })
})

describe('a leader whose clock is ahead', () => {
  it('and that is lost with a decision nobody else has does not win against the next one', async () => {
    const skew = new URL('../../support/clock-ahead.mjs', import.meta.url).href
    const { x, y, z } = await trio([], ['env', `NODE_OPTIONS=--import=${skew}`])
    expect((await replace(x, undefined, 1, '?ack=2')).status).toBe(200)
    const { version } = await read(x)
    y.freeze()
    z.freeze()
    await fillWindows(x)
    const unanswered = await replace(x, version, 100, '?ack=majority&ackTimeoutMs=1000')
    expect(unanswered.status).toBe(504)
    await x.kill()
    y.thaw()
    z.thaw()
    const next = await deciderOf([y, z])
    expect((await replace(next, version, 2, '?ack=1')).status).toBe(200)
    await x.start()
    await leaderOf([x, y, z])
    // What the lost leader had decided has come to the others when its last plain write has.
    await waitFor(async () => (await next.get('items/large3')).status === 200, {
      deadlineMs: DEADLINE_MS,
    })
    const other = next === y ? z : y
    for (const node of [x, next, other]) {
      await waitFor(async () => (await read(node)).v === 2, { deadlineMs: DEADLINE_MS })
    }
  })
})
