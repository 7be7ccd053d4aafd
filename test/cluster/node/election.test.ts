/** Real servers whose leader is elected, on a lease in memory. */
import { afterEach, describe, expect, it } from 'vitest'
import { formatStatus } from '../../../cli/terminal/status-text.ts'
import type { CustomLeaderOptions } from '../../../cluster/election/options.ts'
import { createSystemTime } from '../../../src/server/process/system-time.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { Subscriber } from '../../support/subscriber.ts'
import { LeaseServer, leaseOver } from '../../support/virtual-lease.ts'
import { waitFor } from '../../support/wait.ts'
import { HeldStorage, startNode, type TestNode } from '../nodes.ts'

/** Short, where a lease is to lapse. */
const SHORT_MS = 4000
/** Long enough that none lapses because the machine is busy. */
const LONG_MS = 15_000

/** A lease for the nodes of one test; `cut` nodes do not reach it. */
class Leases {
  readonly server: LeaseServer
  readonly cut: Set<string> = new Set()

  constructor(durationMs: number = SHORT_MS) {
    this.server = new LeaseServer(createSystemTime(), durationMs)
  }

  get election(): CustomLeaderOptions {
    return {
      kind: 'custom',
      make: (self) =>
        leaseOver(this.server, self, async () => {
          if (this.cut.has(self.id) || this.cut.has('all')) throw new Error('out of reach')
        }),
    }
  }
}

const reads: (() => void)[] = []
afterEach(() => {
  for (const stop of reads.splice(0)) stop()
})

const leads = (node: TestNode): boolean => node.plugin.status()?.lease?.state === 'leader'
const data = async (node: TestNode, key: string): Promise<string | undefined> =>
  (await node.server.store.get(key))?.data

/** The leader among the nodes, and the others, once all others follow it live. */
async function settled(nodes: readonly TestNode[]): Promise<[TestNode, ...TestNode[]]> {
  const leader = await waitFor(
    () => {
      const [first, ...more] = nodes.filter(
        (node) => leads(node) && node.plugin.status()?.role === 'leader',
      )
      const isFollowed = nodes.every((node) => {
        const links = node.plugin.status()?.links ?? []
        return (
          node === first || links.some(({ url, state }) => url === first?.url && state === 'live')
        )
      })
      return more.length === 0 && isFollowed && first
    },
    { what: 'one leader, whom all others follow' },
  )
  return [leader, ...nodes.filter((node) => node !== leader)]
}

async function trio(leases: Leases): Promise<TestNode[]> {
  const { election } = leases
  return [
    await startNode({ election }),
    await startNode({ election }),
    await startNode({ election }),
  ]
}

describe('nodes that elect their leader', () => {
  it('agree on one, replicate, and tell who it is', async () => {
    const leases = new Leases(LONG_MS)
    const [leader, one, other] = (await settled(await trio(leases))) as [
      TestNode,
      TestNode,
      TestNode,
    ]
    await one.request('POST', '/items/a', '1')
    await waitFor(async () => (await data(other, 'items/a')) === '1')
    const told = { leader: leader.url, id: leader.id, token: 1, validForMs: expect.any(Number) }
    const asked = await leader.request('GET', '/-/leader')
    expect([asked.status, JSON.parse(asked.body)]).toEqual([200, told])
    const elsewhere = await one.request('GET', '/-/leader')
    expect([elsewhere.status, JSON.parse(elsewhere.body)]).toEqual([503, told])
    const status = JSON.parse((await one.request('GET', '/-/cluster')).body)
    expect(status.lease).toMatchObject({
      kind: 'virtual',
      state: 'follower',
      holder: { id: leader.id, url: leader.url },
      token: 1,
    })
    expect(leader.plugin.status()?.epoch).toMatch(/^1-/)
    const made = await other.request('POST', '/items/b', '1', { 'if-none-match': '*' })
    expect([made.status, made.headers['ooo-answered-by']]).toEqual([200, leader.url])
  })

  it('follow another when the leader is closed, and it has what was written until then', async () => {
    const leases = new Leases(LONG_MS)
    const nodes = await trio(leases)
    const [leader] = await settled(nodes)
    for (let i = 0; i < 50; i++) await leader.request('POST', `/items/k${i}`, String(i))
    await leader.server.close()
    const rest = nodes.filter((node) => node !== leader)
    const [second, third] = (await settled(rest)) as [TestNode, TestNode]
    expect(second.plugin.status()?.lease?.token).toBe(2)
    for (const node of [second, third]) {
      await waitFor(async () => (await node.server.store.list('items/*')).length === 50)
    }
    await third.request('POST', '/items/k0', '"late"')
    await waitFor(async () => (await data(second, 'items/k0')) === '"late"')
  })

  it('serve local reads, writes and subscribers while the leader changes', async () => {
    const leases = new Leases(LONG_MS)
    const nodes = await trio(leases)
    const [leader, one] = (await settled(nodes)) as [TestNode, TestNode]
    const subscriber = await Subscriber.open(one.url, 'items/*')
    const failures: unknown[] = []
    let written = 0
    let isOver = false
    const writing = (async () => {
      for (let i = 0; !isOver; i++) {
        const answer = await one.request('POST', `/items/w${i}`, String(i))
        const read = await one.request('GET', `/items/w${i}`)
        if (answer.status !== 200 || read.status !== 200) failures.push(answer, read)
        written = i + 1
      }
    })()
    const rest = nodes.filter((node) => node !== leader)
    await leader.server.close()
    const now = await settled(rest)
    isOver = true
    await writing
    expect(failures).toEqual([])
    expect(written).toBeGreaterThan(0)
    for (const node of now) {
      await waitFor(async () => (await node.server.store.list('items/*')).length === written)
    }
    await waitFor(() => Object.keys(subscriber.dataByPath()).length === written)
    expect([subscriber.problems, subscriber.snapshots]).toEqual([[], 1])
    subscriber.close()
  })

  it('decide nothing from an old state when one that was cut off from the leader wins the lease', async () => {
    const leases = new Leases()
    const nodes = await trio(leases)
    const [x, y, z] = (await settled(nodes)) as [TestNode, TestNode, TestNode]
    await waitFor(() => {
      const { voters = [], decides } = x.plugin.status()?.voters ?? {}
      return voters.length === 3 && decides
    })
    const write = (node: TestNode, value: number, condition: Record<string, string>) =>
      node.request('POST', '/settings?ack=1', String(value), condition)
    const first = await write(x, 1, { 'if-none-match': '*' })
    const old = String((await x.request('GET', '/settings')).headers.etag)
    await waitFor(async () => (await data(y, 'settings')) === '1')
    y.link.cut()
    expect(first.status).toBe(200)
    expect((await write(x, 2, { 'if-match': old })).status).toBe(200)
    // Z holds it, and takes part in nothing for a while; Y reaches the lease, and neither of them.
    z.link.cut()
    leases.cut.add(z.id)
    leases.cut.add(x.id)
    await x.server.close()
    await waitFor(() => leads(y) && y.plugin.status()?.role === 'leader')
    const early = await y.request('POST', '/settings', '9', { 'if-match': old })
    expect([early.status, early.headers['retry-after']]).toEqual([503, '1'])
    expect(early.body).toMatch(/is not decided yet: the leader by grant 2 waits until a majority/)
    expect((await y.request('POST', '/items/plain', '1')).status).toBe(200)
    const ready = await y.request('GET', '/-/readyz')
    expect([ready.status, ready.body]).toEqual([
      200,
      expect.stringContaining('conditional writes are refused: the leader by grant 2 waits'),
    ])
    z.link.heal()
    leases.cut.delete(z.id)
    const late = await waitFor(async () => {
      const answer = await z.request('POST', '/settings', '9', { 'if-match': old })
      return answer.status !== 503 && answer.status !== 502 && answer
    })
    expect(late.status).toBe(412)
    expect(await data(y, 'settings')).toBe('2')
  })

  it('tell and change their voters for who has the token, and answer 400 where there are none', async () => {
    const { election } = new Leases(LONG_MS)
    const a = await startNode({ election: { ...election, voter: 'a', voters: ['a'] }, token: 't' })
    await waitFor(() => a.plugin.status()?.voters?.decides)
    const post = (change: object, headers = {}) =>
      a.request('POST', '/-/voters', JSON.stringify(change), headers)
    const token = { 'x-ooo-cluster-token': 't' }
    expect(JSON.parse((await a.request('GET', '/-/voters')).body)).toMatchObject({
      ...{ voters: ['a'], change: 1, self: 'a', decides: true, held: ['a'] },
    })
    expect((await post({ add: 'b' })).status).toBe(401)
    expect((await post({ remove: 'a' }, token)).body).toBe('voters: a is the last voter')
    for (const [change, note] of [
      [{ remove: 'x' }, '"x" is no voter'],
      [{ add: 'a' }, '"a" is a voter already'],
    ] as const) {
      const same = await post(change, token)
      expect([same.status, JSON.parse(same.body)]).toMatchObject([200, { voters: ['a'], note }])
    }
    expect((await post({ add: 'b', absent: true }, token)).body).toContain('missing: b')
    expect((await post({ add: 'b c' }, token)).status).toBe(400)
    expect((await post({ add: 'b', remove: 'a' }, token)).status).toBe(400)
    expect((await a.request('PUT', '/-/voters', '{}')).status).toBe(405)
    expect((await post({ found: ['a'], giveUp: 'x' }, token)).status).toBe(400)
    expect((await post({ found: ['a'], giveUp: [] }, token)).body).toContain('a majority of')
    const fixed = await startNode()
    expect((await fixed.request('GET', '/-/voters')).status).toBe(404)
    const asked = await fixed.request('POST', '/items/a?ack=majority', '1')
    expect([asked.status, asked.body]).toEqual([
      400,
      'ooo: ack majority can not be reached: the leader of key items/a is not elected, so it has no voters',
    ])
    expect((await fixed.request('GET', '/items/a')).status).toBe(404)
  })

  it('go on replicating without the lease, and refuse only what does not merge', async () => {
    const leases = new Leases()
    const nodes = await trio(leases)
    const [leader, one] = (await settled(nodes)) as [TestNode, TestNode]
    leases.cut.add('all')
    await waitFor(() => leader.plugin.status()?.lease?.state === 'demoting')
    await one.request('POST', '/items/a', '1')
    await waitFor(async () => (await data(leader, 'items/a')) === '1')
    await leader.request('POST', '/items/b', '1')
    await waitFor(async () => (await data(one, 'items/b')) === '1')
    for (const node of [leader, one]) {
      const refused = await node.request('POST', '/items/c', '1', { 'if-none-match': '*' })
      expect([refused.status, refused.headers['retry-after'], refused.body]).toEqual([
        503,
        '1',
        'storage: key "items/c" is not decided now: no leader at present; nobody was asked',
      ])
      expect((await node.request('GET', '/-/leader')).status).toBe(503)
    }
    const ready = await leader.request('GET', '/-/readyz')
    expect(ready.status).toBe(200)
    expect(ready.body).toContain('no leader at present (out of reach)')
    expect(ready.body).not.toContain('.invalid')
    const before = leader.plugin.status()?.epoch
    for (const node of nodes) if (node !== leader) leases.cut.add(node.id)
    leases.cut.delete('all')
    await waitFor(() => leads(leader))
    const taken = await waitFor(async () => {
      const answer = await one.request('POST', '/items/c', '1', { 'if-none-match': '*' })
      return answer.status === 200 && answer
    })
    expect(taken.headers['ooo-answered-by']).toBe(leader.url)
    // The same grant: nobody has to connect anew, and what was written meanwhile is owed to nobody.
    expect(leader.plugin.status()?.epoch).toBe(before)
    await waitFor(() => leader.server.store.pendingCount('https://no-leader.invalid') === 0)
  })

  it('that pass nothing on say while nobody leads that there is no leader, and name no address', async () => {
    const leases = new Leases()
    leases.cut.add('all')
    const logged: string[] = []
    const log = (...told: unknown[]): void => void logged.push(JSON.stringify(told))
    const logger = { debug: log, info: log, warn: log, error: log }
    const node = await startNode({ election: leases.election, forward: false, logger })
    const operations = [{ op: 'set', path: 'items/a', data: 1, ifNoneMatch: '*' }]
    const answers = [
      await node.request('POST', '/items/a', '1', { 'if-none-match': '*' }),
      await node.request('POST', '/-/batch', JSON.stringify({ operations })),
    ]
    for (const { status, headers, body } of answers) {
      expect([status, headers['retry-after']]).toEqual([503, '1'])
      expect(body).toContain('is not decided now: no leader at present')
    }
    const late = await node.request('POST', '/items/a?ack=leader&ackTimeoutMs=50', '1')
    expect([late.status, late.headers['ooo-ack']]).toEqual([504, 'local'])
    expect(late.body).toContain('will be pushed to whoever leads next')
    const told = formatStatus(JSON.parse((await node.request('GET', '/-/cluster')).body))
    expect(told).toMatch(/follows +state[^\n]+\nnobody at present /)
    const reasons = (await node.request('GET', '/-/readyz')).body
    expect(logged.join('\n')).toContain('no leader at present')
    for (const text of [...answers.map(({ body }) => body), late.body, told, reasons, ...logged]) {
      expect(text).not.toContain('.invalid')
    }
  })

  it('demote a leader that is cut off from the lease, and what it took then reaches all', async () => {
    const leases = new Leases()
    const nodes = await trio(leases)
    const [old] = await settled(nodes)
    leases.cut.add(old.id)
    await waitFor(() => old.plugin.status()?.lease?.state === 'demoting')
    for (const node of nodes) if (node !== old) old.link.cut()
    const refused = await old.request('POST', '/items/x', '1', { 'if-none-match': '*' })
    expect(refused.status).toBe(503)
    expect((await old.request('POST', '/items/late', '"late"')).status).toBe(200)
    const rest = nodes.filter((node) => node !== old)
    const [next] = await settled(rest)
    await waitFor(() => next.plugin.status()?.voters?.decides)
    expect((await next.request('POST', '/items/x', '2', { 'if-none-match': '*' })).status).toBe(200)
    leases.cut.clear()
    old.link.heal()
    await settled(nodes)
    for (const node of nodes) {
      await waitFor(async () => (await data(node, 'items/late')) === '"late"')
      await waitFor(async () => (await data(node, 'items/x')) === '2')
    }
    expect(old.plugin.status()?.lease).toMatchObject({ state: 'follower' })
    expect(old.plugin.status()?.lease?.lost).toBeGreaterThan(0)
  })

  it('learn from each other who leads, when one of them can not reach the lease', async () => {
    const leases = new Leases()
    const nodes = await trio(leases)
    const [old] = await settled(nodes)
    leases.cut.add(old.id)
    const rest = nodes.filter((node) => node !== old)
    const [next] = await settled(rest)
    await waitFor(() =>
      old.plugin.status()?.links.some(({ url, state }) => url === next.url && state === 'live'),
    )
    await next.request('POST', '/items/news', '1')
    await waitFor(async () => (await data(old, 'items/news')) === '1')
    const made = await old.request('POST', '/items/once', '1', { 'if-none-match': '*' })
    expect([made.status, made.headers['ooo-answered-by']]).toEqual([200, next.url])
    // What others know of the lease confirms who leads.
    const told = JSON.parse((await old.request('GET', '/-/leader')).body)
    expect(told).toMatchObject({ leader: next.url, id: next.id })
    expect((await old.request('GET', '/-/readyz')).body).not.toContain('not known who leads')
    for (const node of rest) leases.cut.add(node.id)
    await waitFor(async () => {
      const { body } = await old.request('GET', '/-/readyz')
      return body.includes(`it is not known who leads: ${next.url} did last, unconfirmed since`)
    })
    // Nor do nodes confirm each other what none of them knows any more.
    const sinceMs = (): number => old.plugin.status()?.lease?.unconfirmedSinceMs ?? 0
    const first = sinceMs()
    await waitFor(() => Date.now() > first + SHORT_MS)
    expect(Math.abs(sinceMs() - first)).toBeLessThan(SHORT_MS / 4)
  })

  it('owe the new leader what the old one wrote and nobody got', async () => {
    const leases = new Leases()
    const { election } = leases
    const old = await startNode({ election })
    await waitFor(() => leads(old))
    const other = await startNode({ election })
    await other.live()
    await old.request('POST', '/items/shared', '1')
    await waitFor(async () => (await data(other, 'items/shared')) === '1')
    await old.live(1)
    other.link.cut()
    const written = await old.request('POST', '/items/alone', '1')
    leases.cut.add(old.id)
    await waitFor(() => leads(other) && other.plugin.status()?.role === 'leader')
    old.link.cut()
    leases.cut.clear()
    await waitFor(() => old.plugin.status()?.links[0]?.url === other.url)
    const pending = await old.server.store.pending(other.url, 10, new Set())
    expect(pending.map(({ record }) => record.key)).toContain('items/alone')
    expect(pending.map(({ record }) => record.key)).not.toContain('items/shared')
    const status = await old.request(
      'GET',
      `/-/writes/${written.headers['ooo-write-id']}?key=items/alone`,
    )
    expect(JSON.parse(status.body)).toMatchObject({ state: 'local' })
    old.link.heal()
    await waitFor(async () => (await data(other, 'items/alone')) === '1')
    await waitFor(() => old.server.store.pendingCount(other.url) === 0)
  })

  it('start without a lease in reach: the last leader is followed', async () => {
    const leases = new Leases()
    const storage = new MemoryStorage()
    const { election } = leases
    const leader = await startNode({ election })
    await waitFor(() => leads(leader))
    const first = await startNode({ election, storage })
    await first.live()
    await first.server.close()
    await leader.request('POST', '/items/a', '1')
    leases.cut.add('all')
    const again = await startNode({ election, storage })
    await again.live()
    await waitFor(async () => (await data(again, 'items/a')) === '1')
    expect(again.plugin.status()?.links.map(({ url }) => url)).toEqual([leader.url])
    const told = JSON.parse((await again.request('GET', '/-/leader')).body)
    expect(told).toMatchObject({ leader: null, last: { url: leader.url } })
    const { body } = await again.request('GET', '/-/readyz')
    expect(body).toContain(`it is not known who leads: ${leader.url} did last, unconfirmed since`)
    expect(body).not.toContain('no leader at present')
  })
})

describe('a node whose leader is elected', () => {
  it('alone and without a lease in reach takes writes, and says that nobody leads', async () => {
    const leases = new Leases()
    leases.cut.add('all')
    const node = await startNode({ election: leases.election })
    expect((await node.request('POST', '/items/a', '1')).status).toBe(200)
    const answer = await node.request('GET', '/-/leader')
    expect([answer.status, answer.body]).toEqual([503, '{"leader":null}'])
    leases.cut.clear()
    await waitFor(() => leads(node))
    await waitFor(async () => (await node.request('GET', '/-/leader')).status === 200)
    expect(await data(node, 'items/a')).toBe('1')
  })

  it('does not answer for what it decided when its lease lapsed before that was on disk', async () => {
    const leases = new Leases()
    const storage = new HeldStorage()
    const node = await startNode({ election: leases.election, storage })
    await waitFor(() => node.plugin.status()?.voters?.decides)
    storage.hold('items/')
    const absent = { 'if-none-match': '*' }
    const asked = node.request('POST', '/items/a', '1', absent)
    await waitFor(() => storage.heldBatches > 0)
    leases.cut.add('all')
    await waitFor(() => node.plugin.status()?.lease?.state === 'demoting')
    storage.release()
    const answer = await asked
    expect([answer.status, answer.body]).toEqual([
      502,
      'storage: key "items/a" was written, but meanwhile this node may have ceased to lead it; another one may have decided it otherwise',
    ])
    expect(await data(node, 'items/a')).toBe('1')
  })

  it('is refused a clusterUrl', async () => {
    const { election } = new Leases()
    await expect(startNode({ election, clusterUrl: 'http://a:1' })).rejects.toThrow(
      'cluster: clusterUrl is http://a:1, but the leader is elected by custom; give one of them',
    )
  })
})
