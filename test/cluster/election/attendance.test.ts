/** What people are told of voters that are away, and how they change the list then. */
import { describe, expect, it } from 'vitest'
import { formatVoters } from '../../../cli/commands/voters.ts'
import type { ElectedOptions } from '../../../cluster/election/options.ts'
import type { VotersReport } from '../../../cluster/index.ts'
import { createSystemTime } from '../../../src/server/process/system-time.ts'
import { LeaseServer, leaseOver } from '../../support/virtual-lease.ts'
import { waitFor } from '../../support/wait.ts'
import { startNode, type TestNode } from '../nodes.ts'

/** Long enough that no lease lapses because the machine is busy. */
const LEASE_MS = 15_000
const NAMES: readonly string[] = ['a', 'b', 'c']

/** How nodes with names run for one lease. */
function elections(voters?: readonly string[]): (voter: string) => ElectedOptions {
  const server = new LeaseServer(createSystemTime(), LEASE_MS)
  const given = voters === undefined ? {} : { voters }
  return (voter) => ({
    kind: 'custom',
    make: (self) => leaseOver(server, self, async () => undefined),
    ...{ voter, ...given },
  })
}

async function votersOf(node: TestNode): Promise<VotersReport> {
  return JSON.parse((await node.request('GET', '/-/voters')).body) as VotersReport
}

async function reasonsOf(node: TestNode): Promise<string> {
  const { status, body } = await node.request('GET', '/-/readyz')
  expect(status).toBe(200)
  return (JSON.parse(body) as { reasons: string[] }).reasons.join('\n')
}

const change = (node: TestNode, asked: object) =>
  node.request('POST', '/-/voters', JSON.stringify(asked))

/** Three voters, the leader first, once all of them vote. */
async function trio(): Promise<[TestNode, TestNode, TestNode]> {
  const election = elections(NAMES)
  const nodes = await Promise.all(
    NAMES.map((name) => startNode({ name, election: election(name) })),
  )
  const leader = await waitFor(async () => {
    for (const node of nodes) {
      const { decides, missing, attendance = [] } = node.plugin.status()?.voters ?? {}
      const areHere = attendance.filter(({ connected }) => connected).length === NAMES.length
      if (decides === true && missing === 0 && areHere) return node
    }
    return undefined
  })
  const [one, other] = nodes.filter((node) => node !== leader) as [TestNode, TestNode]
  return [leader, one, other]
}

const nameOf = (node: TestNode): string => node.plugin.status()?.name ?? ''

describe('a leader that has lost two of three voters', () => {
  it('says who is away since when, and that nothing that needs a majority is acknowledged', async () => {
    const [leader, one, other] = await trio()
    expect(await reasonsOf(leader)).toBe('')
    const names = [nameOf(one), nameOf(other)].sort()
    const beforeMs = Date.now() - 1
    await Promise.all([one.server.close(), other.server.close()])
    const told = await waitFor(async () => {
      const report = await votersOf(leader)
      return report.missing === 1 && report
    })
    const away = told.attendance?.filter(({ connected }) => !connected) ?? []
    expect(away.map(({ name }) => name)).toEqual(names)
    for (const { sinceMs } of away) {
      expect(sinceMs).toBeGreaterThanOrEqual(beforeMs)
      expect(sinceMs).toBeLessThanOrEqual(Date.now())
    }
    const reasons = await reasonsOf(leader)
    expect(reasons).toMatch(/no majority of the voters is here: 1 of 3, 1 more is needed/)
    expect(reasons).toContain('?ack=majority')
    for (const name of names) expect(reasons).toContain(`${name} (not connected since 20`)
    expect(reasons).toContain('ooo voters found')
    expect(reasons).toContain('is lost then')
    expect(formatVoters(told)).toContain('attention: no majority of the voters is here')
    const metrics = (await leader.request('GET', '/-/cluster/metrics')).body
    expect(metrics).toContain('ooo_cluster_voters_missing 1\n')
    expect(metrics).toContain(`ooo_cluster_voters_connected{voter="${names[0]}"} 0\n`)
    // What needs no majority goes on.
    const made = await leader.request('POST', '/items/a', '1', { 'if-none-match': '*' })
    expect(made.status).toBe(200)
    const late = await leader.request('POST', '/items/b?ack=majority&ackTimeoutMs=50', '1')
    expect(late.status).toBe(504)
    for (const name of names) expect(late.body).toContain(`${name} (not connected since 20`)
  })

  it('keeps a voter as such that has left as a member, as one without a disk does when it stops', async () => {
    const [leader, one] = await trio()
    const { id } = one
    await one.server.close()
    const before = await waitFor(async () => {
      const report = await votersOf(leader)
      return report.attendance?.some(({ connected }) => !connected) === true && report
    })
    const { body } = await leader.request('POST', '/-/nodes', JSON.stringify({ forget: id }))
    expect(body).toBe('{"forgotten":false}')
    expect((await leader.request('GET', '/-/nodes')).body).not.toContain(id)
    expect(await votersOf(leader)).toEqual(before)
    expect(await reasonsOf(leader)).toContain(`1 of 3 voters is away: ${nameOf(one)}`)
  })

  it('says of one voter that is away that one more may not be lost', async () => {
    const [leader, one] = await trio()
    await one.server.close()
    const reasons = await waitFor(async () => (await reasonsOf(leader)) || undefined)
    expect(reasons).toContain(`1 of 3 voters is away: ${nameOf(one)}`)
    expect((await votersOf(leader)).missing).toBe(0)
    expect(reasons).not.toContain('no majority')
  })
})

describe('a write through a follower that waits for a majority', () => {
  it('names the voters that have not confirmed it', async () => {
    const election = elections([...NAMES, 'never'])
    const nodes = await Promise.all(
      NAMES.map((name) => startNode({ name, election: election(name) })),
    )
    const leader = await waitFor(() => nodes.find((node) => node.plugin.status()?.voters?.decides))
    const [one, other] = nodes.filter((node) => node !== leader) as [TestNode, TestNode]
    await waitFor(() => one.plugin.status()?.links[0]?.state === 'live')
    await other.server.close()
    await waitFor(async () => (await votersOf(leader)).missing === 1)
    const late = await one.request('POST', '/items/a?ack=majority&ackTimeoutMs=500', '1')
    expect(late.status).toBe(504)
    expect(late.body).toContain('not confirmed by the voters: ')
    for (const name of [nameOf(other), 'never']) {
      expect(late.body).toContain(`${name} (not connected since 20`)
    }
    const id = String(late.headers['ooo-write-id'])
    const status = await leader.request(
      'GET',
      `/-/writes/${id}?key=items/a&until=majority&timeoutMs=50`,
    )
    expect(JSON.parse(status.body).unconfirmed).toContain('never (not connected since 20')
    const plain = await leader.request('GET', `/-/writes/${id}?key=items/a`)
    expect(JSON.parse(plain.body).unconfirmed).toBeUndefined()
  })
})

describe('a list that is founded anew', () => {
  it('is refused while a majority is here, and until those given up are named', async () => {
    const [leader, one, other] = await trio()
    const self = nameOf(leader)
    const names = [nameOf(one), nameOf(other)].sort()
    const early = await change(leader, { found: [self], giveUp: names })
    expect([early.status, early.body]).toEqual([
      400,
      expect.stringContaining('a majority of the voters is here or can be waited for'),
    ])
    await Promise.all([one.server.close(), other.server.close()])
    await waitFor(async () => (await votersOf(leader)).missing === 1)
    for (const giveUp of [undefined, [], [names[0]], [...names, 'x']]) {
      const refused = await change(leader, { found: [self], giveUp })
      expect(refused.status).toBe(400)
      expect(refused.body).toContain(`gives up ${names.join(', ')}`)
      expect(refused.body).toContain('is lost')
      expect(refused.body).toContain(`--give-up ${names.join(',')}`)
    }
    const nobody = await change(leader, { found: ['x', 'y'], giveUp: NAMES })
    expect([nobody.status, nobody.body]).toEqual([
      400,
      expect.stringContaining('too few of these are connected; missing: x, y'),
    ])
    expect((await votersOf(leader)).voters).toEqual(NAMES)
    const anew = await change(leader, { found: [self], giveUp: names })
    expect(JSON.parse(anew.body)).toMatchObject({ voters: [self], decides: true, missing: 0 })
    expect(await reasonsOf(leader)).toContain(`${self} is the only voter`)
  })
})

describe('two nodes that go by one name', () => {
  it('are told on both, and count again when one of them is gone', async () => {
    const election = elections(['a', 'b'])
    const a = await startNode({ name: 'a', election: election('a') })
    const b = await startNode({ name: 'b', election: election('b') })
    await waitFor(() => [a, b].some((node) => node.plugin.status()?.voters?.decides))
    const twin = await startNode({ name: 'b', election: election('b') })
    await waitFor(async () => (await reasonsOf(twin)).includes('goes by the name b'))
    await waitFor(async () => (await reasonsOf(b)).includes('goes by the name b'))
    for (const node of [a, b, twin]) {
      expect(formatVoters(await votersOf(node))).toContain('goes by the name b')
    }
    await twin.server.close()
    await waitFor(async () => !(await reasonsOf(b)).includes('goes by the name b'))
    expect(formatVoters(await votersOf(a))).not.toContain('goes by the name b')
  })
})

describe('a list that a leader begins for itself', () => {
  it('names all who begin with it, so that the first leader can be lost at once', async () => {
    const election = elections()
    const nodes = await Promise.all(
      NAMES.map((name) => startNode({ name, election: election(name) })),
    )
    const decider = (among: readonly TestNode[]) =>
      waitFor(() => among.find((node) => node.plugin.status()?.voters?.decides), {
        deadlineMs: 30_000,
      })
    const first = await decider(nodes)
    const { voters } = await votersOf(first)
    expect(voters).toEqual(NAMES)
    await first.server.close()
    const rest = nodes.filter((node) => node !== first)
    const next = await decider(rest)
    const made = await next.request('POST', '/items/a', '1', { 'if-none-match': '*' })
    expect(made.status).toBe(200)
  })
})
