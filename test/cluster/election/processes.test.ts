/** Processes that elect their leader by a lease in Redis: killed, stopped, frozen, and without Redis. */
import { describe, expect, it } from 'vitest'
import { runCli } from '../../support/cli-process.ts'
import { type Answer, request } from '../../support/http.ts'
import { type ProcessNode, waitUntilEqual } from '../../support/process-cluster.ts'
import { useRedis } from '../../support/services.ts'
import { useClusters } from '../../support/trio.ts'
import { waitFor } from '../../support/wait.ts'

const newCluster = useClusters()
const redis = useRedis({ control: true })

/** Long enough for a machine that is busy with other tests. */
const DEADLINE_MS = 60_000

interface Status {
  readonly lease: { readonly state: string; readonly token: number }
  readonly voters: {
    readonly voters: readonly string[]
    readonly before?: readonly string[]
    readonly decides: boolean
  }
  readonly links: readonly { readonly url: string; readonly state: string }[]
}

async function statusOf(node: ProcessNode): Promise<Status> {
  const { body } = await request('GET', `${node.url}/-/cluster`, { timeoutMs: 2000 })
  return JSON.parse(body) as Status
}

/** The one of these nodes that leads, once all others of them follow it live. */
async function leaderOf(nodes: readonly ProcessNode[], not?: ProcessNode): Promise<ProcessNode> {
  return waitFor(
    async () => {
      const found = await Promise.all(
        nodes.map(async (node) => ({ node, ...(await statusOf(node)) })),
      )
      const [leader, ...more] = found.filter(({ lease }) => lease.state === 'leader')
      if (leader === undefined || more.length > 0 || leader.node === not) return undefined
      const areLive = found.every(({ node, links }) => {
        const isLive = links.some(({ url, state }) => url === leader.node.url && state === 'live')
        return node === leader.node || isLive
      })
      return areLive && leader.node
    },
    { deadlineMs: DEADLINE_MS, intervalMs: 20, what: 'a leader whom the others follow' },
  )
}

async function trio(): Promise<{ nodes: ProcessNode[]; leader: ProcessNode }> {
  const name = `lease-${Math.random().toString(36).slice(2)}`
  const cluster = newCluster({ args: ['--leader', 'redis', '--lease-name', name] })
  const args = ['--redis', redis().url]
  const nodes = await Promise.all(
    ['a', 'b', 'c'].map((node) => cluster.start({ name: node, args })),
  )
  const leader = await leaderOf(nodes)
  // While there are fewer, the lease of one that is lost can be taken, and nothing decided.
  const areVoters = async (): Promise<boolean> => {
    const { voters, before, decides } = (await statusOf(leader)).voters
    return decides && voters.length === nodes.length && before === undefined
  }
  await waitFor(areVoters, { deadlineMs: DEADLINE_MS, what: 'all nodes to be voters' })
  return { nodes, leader }
}

/** Writes without a pause to every node; what was acknowledged must be found at the end. */
class Load {
  readonly acknowledged: Set<string> = new Set()
  #running = true
  readonly #writing: Promise<void>[]

  constructor(nodes: readonly ProcessNode[]) {
    this.#writing = nodes.map((node) => this.#write(node))
  }

  async more(count: number): Promise<void> {
    const wanted = this.acknowledged.size + count
    await waitFor(() => this.acknowledged.size >= wanted, { deadlineMs: DEADLINE_MS })
  }

  async stop(): Promise<void> {
    this.#running = false
    await Promise.all(this.#writing)
  }

  async #write(node: ProcessNode): Promise<void> {
    for (let i = 0; this.#running; i++) {
      const key = `items/${node.name}${i}`
      const body = JSON.stringify({ i })
      const answer = await request('POST', `${node.url}/${key}`, { body, timeoutMs: 20_000 }).catch(
        () => undefined,
      )
      if (answer?.status === 200) this.acknowledged.add(key)
      else await waitFor(() => node.running || !this.#running, { deadlineMs: DEADLINE_MS })
    }
  }
}

async function expectAll(nodes: readonly ProcessNode[], load: Load): Promise<void> {
  await load.stop()
  const bodies = await waitUntilEqual(nodes, ['items/*'])
  const found = new Set(
    (JSON.parse(bodies['items/*'] ?? '') as { path: string }[]).map(({ path }) => path),
  )
  expect([...load.acknowledged].filter((key) => !found.has(key))).toEqual([])
  expect(load.acknowledged.size).toBeGreaterThan(100)
}

/** A write that only the leader may decide. */
function decide(node: ProcessNode, key: string): Promise<Answer> {
  const options = { body: '1', headers: { 'if-none-match': '*' }, timeoutMs: 40_000 }
  return request('POST', `${node.url}/${key}`, options)
}

/** The answer of a leader once it has what a majority of the voters held; until then it says 503. */
function decideInTime(node: ProcessNode, key: string): Promise<Answer> {
  return waitFor(
    async () => {
      const answer = await decide(node, key)
      return answer.status !== 503 && answer
    },
    { deadlineMs: DEADLINE_MS, what: 'a leader that decides' },
  )
}

/** What a node says of whether anybody decides, in each place where it does. */
async function claims(node: ProcessNode) {
  const ask = (path: string): Promise<Answer> => request('GET', `${node.url}${path}`)
  const voters = JSON.parse((await ask('/-/voters')).body) as { decides: boolean }
  const [, metric] =
    (await ask('/-/cluster/metrics')).body.match(/^ooo_cluster_decides (\d)$/m) ?? []
  return {
    decides: (await statusOf(node)).voters.decides,
    voters: voters.decides,
    metric,
    leads: (await ask('/-/leader')).status,
  }
}

async function readyz(node: ProcessNode): Promise<{ status: number; reasons: string[] }> {
  const { status, body } = await request('GET', `${node.url}/-/readyz`)
  return { status, reasons: (JSON.parse(body) as { reasons?: string[] }).reasons ?? [] }
}

function tell(what: string, sinceMs: number): void {
  console.log(`${what}: ${Math.round(performance.now() - sinceMs)} ms`)
}

describe('processes that elect their leader by Redis', () => {
  it('replace one that is killed under load; nothing acknowledged is lost', async () => {
    const { nodes, leader } = await trio()
    const load = new Load(nodes)
    await load.more(200)
    const since = performance.now()
    await leader.kill()
    const rest = nodes.filter((node) => node !== leader)
    const next = await leaderOf(rest)
    tell('a killed leader was replaced, and the others live again, within', since)
    expect((await decideInTime(next, 'settings')).status).toBe(200)
    tell('and the next one decided within', since)
    await load.more(100)
    await leader.start()
    await leaderOf(nodes)
    await expectAll(nodes, load)
  })

  it('hand over when one is stopped under load', async () => {
    const { nodes, leader } = await trio()
    const load = new Load(nodes)
    await load.more(200)
    const since = performance.now()
    const stopped = leader.stop()
    await leaderOf(nodes.filter((node) => node !== leader))
    tell('a stopped leader was replaced, and the others live again, within', since)
    expect(await stopped).toBe(0)
    await load.more(100)
    await leader.start()
    await leaderOf(nodes)
    await expectAll(nodes, load)
  })

  it('demote one that was frozen: it decides nothing, and what it takes reaches all', async () => {
    const { nodes, leader } = await trio()
    await leader.post('items/before', 1)
    leader.freeze()
    // They wait in the frozen process, or in front of it.
    const late = leader.post('items/late', 'late')
    const decided = decide(leader, 'items/once')
    try {
      const rest = nodes.filter((node) => node !== leader)
      const next = await leaderOf(rest, leader)
      expect((await decideInTime(next, 'items/once')).status).toBe(200)
    } finally {
      leader.thaw()
    }
    await late
    // Not made a second time: either nobody was known to decide it, or the new leader refused it.
    expect([412, 502, 503]).toContain((await decided).status)
    await leaderOf(nodes, leader)
    const bodies = await waitUntilEqual(nodes, ['items/*'])
    expect(bodies['items/*']).toContain('"late"')
  })

  it('claim nothing of who decides while Redis is away for longer than the lease', async () => {
    const { nodes, leader } = await trio()
    const followers = nodes.filter((node) => node !== leader)
    expect(await claims(leader)).toEqual({ decides: true, voters: true, metric: '1', leads: 200 })
    for (const node of followers) {
      expect(await claims(node)).toEqual({ decides: false, voters: true, metric: '0', leads: 503 })
      const { stdout } = await runCli(['status', node.url])
      expect(stdout).toMatch(/reason\na, b, c +\d+ +- +- +- +-\n/)
    }
    await redis().control?.kill()
    for (const node of nodes) {
      const isTold = async (): Promise<boolean> =>
        /not known who leads|has lapsed/.test((await readyz(node)).reasons.join())
      await waitFor(isTold, { deadlineMs: DEADLINE_MS, what: `${node.name} to say so` })
    }
    const noClaim = { decides: false, voters: false, metric: '0', leads: 503 }
    for (const node of nodes) expect(await claims(node)).toEqual(noClaim)
    for (const node of nodes) {
      const told = JSON.parse((await request('GET', `${node.url}/-/leader`)).body)
      expect(told).toMatchObject({
        leader: null,
        last: { url: leader.url, token: expect.any(Number) },
      })
      expect(Date.parse(told.last.unconfirmedSince)).toBeGreaterThan(Date.now() - 60_000)
    }
    for (const node of followers) {
      const { status, reasons } = await readyz(node)
      expect([status, reasons.join()]).toEqual([
        200,
        expect.stringContaining(
          `it is not known who leads: ${leader.url} did last, unconfirmed since`,
        ),
      ])
      expect((await runCli(['status', node.url])).stdout).toMatch(/follower, unconfirmed/)
    }
    expect((await runCli(['status', leader.url])).stdout).toMatch(
      / no +the lease of grant \d+ has lapsed/,
    )
    expect((await runCli(['voters', '--url', leader.url])).stdout).toContain(
      'conditional writes are refused: the lease of grant',
    )
    await leader.kill()
    for (const node of followers) {
      expect(await claims(node)).toEqual(noClaim)
      const { stdout } = await runCli(['voters', '--url', node.url])
      expect(stdout).toContain(`attention: it is not known who leads: ${leader.url} did last`)
    }
    await redis().control?.start()
    const next = await leaderOf(followers)
    await waitFor(async () => (await claims(next)).decides, { deadlineMs: DEADLINE_MS })
    for (const node of followers) {
      const told = JSON.parse((await request('GET', `${node.url}/-/leader`)).body)
      expect(told).toMatchObject({ leader: next.url })
    }
  })

  it('go on without Redis, and with one that has forgotten everything', async () => {
    const { nodes, leader } = await trio()
    const load = new Load(nodes)
    await load.more(100)
    await redis().control?.kill()
    await waitFor(async () => (await statusOf(leader)).lease.state === 'demoting', {
      deadlineMs: DEADLINE_MS,
    })
    expect((await decide(leader, 'items/once')).status).toBe(503)
    const [one] = nodes.filter((node) => node !== leader)
    await one?.post('items/meanwhile', 'meanwhile')
    await waitFor(async () => (await leader.get('items/meanwhile')).status === 200)
    await redis().control?.start()
    const next = await leaderOf(nodes)
    expect((await decideInTime(next, 'items/once')).status).toBe(200)
    await expectAll(nodes, load)
  })
})
