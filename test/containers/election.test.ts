/** Three containers that elect their leader by a lease in Redis: the leader is cut off, and killed. */
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { ContainerCluster } from '../support/container-cluster.ts'
import type { ContainerNode } from '../support/container-node.ts'
import { type Answer, request } from '../support/http.ts'
import { useNodeImage } from '../support/node-image.ts'
import { waitUntilEqual } from '../support/process-cluster.ts'
import { waitFor } from '../support/wait.ts'
import { WriteLoad } from '../support/write-load.ts'

const DEADLINE_MS = 60_000

interface Status {
  readonly lease: { readonly state: string }
  readonly links: readonly { readonly url: string; readonly state: string }[]
}

const image = useNodeImage()
let cluster: ContainerCluster | undefined
let nodes: readonly ContainerNode[]

image.prepare(async (tag) => {
  cluster = await ContainerCluster.create(tag, {
    OOO_KEYS: 'items/*',
    OOO_CLUSTER_TOKEN: 'secret',
    OOO_REDIS_URL: 'redis://lease',
    OOO_LEADER: 'redis',
  })
  await cluster.startMember({
    image: 'redis:8-alpine',
    name: 'lease',
    command: ['redis-server', '--save', '', '--appendonly', 'no'],
    ready: [/Ready to accept connections/, 1],
  })
  nodes = [
    await cluster.start({ name: 'one' }),
    await cluster.start({ name: 'two' }),
    await cluster.start({ name: 'three' }),
  ]
})
afterAll(async () => await cluster?.end())
beforeEach(({ onTestFailed }) => {
  onTestFailed(async () => console.log(await cluster?.output()))
})

describe('an elected leader', { timeout: 240_000 }, () => {
  it('that is cut off is replaced, decides nothing more, and what it took reaches all', async () => {
    const old = await leaderOf(nodes)
    const others = nodes.filter((node) => node !== old)
    const load = new WriteLoad(nodes, 'items/parted-')
    await load.progress(50)
    await old.disconnect()
    const next = await leaderOf(others)
    expect((await decideInTime(next, 'items/once')).status).toBe(200)
    await waitFor(async () => (await statusOf(old)).lease.state !== 'leader', {
      deadlineMs: DEADLINE_MS,
      what: 'the old leader to step down',
    })
    expect((await decide(old, 'items/once')).status).not.toBe(200)
    await old.post('items/meanwhile', { by: old.name })
    await load.progress(50)

    await old.connect()
    await leaderOf(nodes)
    await load.stop()
    expect(load.failed).toBe(0)
    await expectOnAll([...load.acknowledged.keys(), 'items/meanwhile'])
  })

  it('that is killed is replaced, and follows when it is back', async () => {
    const old = await leaderOf(nodes)
    const load = new WriteLoad(nodes, 'items/killed-')
    await load.progress(50)
    await old.kill()
    const next = await leaderOf(nodes.filter((node) => node !== old))
    await load.progress(50)
    await old.restart()
    expect((await leaderOf(nodes)).name).toBe(next.name)
    await load.stop()
    await expectOnAll([...load.acknowledged.keys()])
  })
})

async function statusOf(node: ContainerNode): Promise<Status> {
  return JSON.parse((await node.get('-/cluster', { timeoutMs: 5_000 })).body) as Status
}

/** The one of these nodes that leads, once all others of them follow it live. */
async function leaderOf(some: readonly ContainerNode[]): Promise<ContainerNode> {
  const look = async (): Promise<ContainerNode | undefined> => {
    const all = await Promise.all(some.map(async (node) => ({ node, ...(await statusOf(node)) })))
    const [leader, ...more] = all.filter(({ lease }) => lease.state === 'leader')
    if (leader === undefined || more.length > 0) return undefined
    const url = `http://${leader.node.name}:8800`
    const others = all.filter(({ node }) => node !== leader.node)
    const areLive = others.every(({ links }) =>
      links.some((link) => link.url === url && link.state === 'live'),
    )
    return areLive ? leader.node : undefined
  }
  return await waitFor(look, {
    deadlineMs: DEADLINE_MS,
    intervalMs: 50,
    what: 'a leader whom the others follow',
  })
}

/** A write that only the leader may decide. */
function decide(node: ContainerNode, key: string): Promise<Answer> {
  const headers = { 'if-none-match': '*' }
  return request('POST', `${node.url}/${key}`, { body: '1', headers, timeoutMs: 40_000 })
}

/** The answer of a leader once it has what a majority of the voters held; until then it says 503. */
function decideInTime(node: ContainerNode, key: string): Promise<Answer> {
  return waitFor(
    async () => {
      const answer = await decide(node, key)
      return answer.status !== 503 && answer
    },
    { deadlineMs: DEADLINE_MS, what: 'a leader that decides' },
  )
}

/** Waits until all nodes have the same list, with these keys in it. */
async function expectOnAll(keys: readonly string[]): Promise<void> {
  const complete = async (): Promise<boolean> => {
    const bodies = await waitUntilEqual(nodes, ['items/*'], DEADLINE_MS)
    const list = JSON.parse(bodies['items/*'] ?? '[]') as { readonly path: string }[]
    const found = new Set(list.map(({ path }) => path))
    return keys.every((key) => found.has(key))
  }
  await waitFor(complete, { deadlineMs: DEADLINE_MS, what: `${keys.length} keys on all nodes` })
}
