/** What a node tells of its cluster: lag in rows and time, traffic, refusals, as JSON and as metrics. */
import { afterEach, describe, expect, test } from 'vitest'
import { type ClusterOptions, cluster } from '../../../cluster/index.ts'
import { clusterMetrics } from '../../../cluster/metrics/metrics.ts'
import { reportCluster } from '../../../cluster/node/status.ts'
import { SeqTimes } from '../../../cluster/progress/seq-times.ts'
import { HybridClock } from '../../../src/core/data/clock.ts'
import { STREAM_PATH } from '../../../src/core/wire/protocol.ts'
import { exchange, handshake, serve } from '../../server/serve.ts'
import { EngineRig, type RigNode } from '../../support/engine-rig.ts'
import { SeededRandom } from '../../support/seeded-random.ts'
import { waitFor } from '../../support/wait.ts'
import { helloOf, RawPeer } from '../raw-peer.ts'

const MS = 1_000_000n

let rig = new EngineRig()
afterEach(async () => {
  await rig.close()
  rig = new EngineRig()
})

const linkOf = ({ engine }: RigNode) => engine.status().links[0]

describe('the age of a place in a log', () => {
  test('is the time since the log went beyond it', () => {
    const times = new SeqTimes()
    times.note(10, 0n)
    times.note(11, 100n * MS)
    times.note(15, 200n * MS)
    const ages = [9, 10, 11, 14, 15, 16].map((seq) => times.ageMs(seq, 500n * MS))
    expect(ages).toEqual([500, 400, 300, 300, 0, 0])
  })

  test('starts anew with another log', () => {
    const times = new SeqTimes()
    times.note(100, 0n)
    times.note(3, 50n * MS)
    expect(times.ageMs(2, 60n * MS)).toBe(10)
    expect(times.ageMs(50, 60n * MS)).toBe(0)
  })

  test('is remembered in bounded space: exactly for the newest, coarsely and never too great for old ones', () => {
    const random = new SeededRandom(7)
    const times = new SeqTimes()
    let seq = 0
    const reached: { seq: number; at: bigint }[] = []
    for (let i = 0; i < 20_000; i++) {
      seq += 1 + random.below(3)
      const at = BigInt(i) * MS
      times.note(seq, at)
      reached.push({ seq, at })
    }
    expect(times.size).toBeLessThanOrEqual(1024)
    const now = 20_000n * MS
    for (const [i, { seq: place }] of reached.entries()) {
      const next = reached[i + 1]
      const exact = next === undefined ? 0 : Number((now - next.at) / MS)
      const told = times.ageMs(place, now)
      expect(told).toBeLessThanOrEqual(exact)
      if (i > 20_000 - 400) expect(told).toBe(exact)
      else expect(told).toBeGreaterThan(0)
    }
  })
})

describe('lag', () => {
  test('grows at the leader with the age of the oldest change that is not acknowledged', async () => {
    const leader = await rig.add({ host: 'leader' })
    const peer = new RawPeer(leader)
    peer.say(helloOf())
    peer.say({ t: 'ack', seq: 0, complete: true })
    const seen = () => leader.engine.status().followers[0]
    expect(seen()).toMatchObject({ lagRows: 0, lagMs: 0 })
    await leader.store.set('items/a', '1')
    await rig.time.advanceAsync(700)
    await leader.store.set('items/b', '1')
    await rig.time.advanceAsync(300)
    expect(seen()).toMatchObject({ lagRows: 2, lagMs: 1000 })
    peer.say({ t: 'ack', seq: 1, complete: true })
    expect(seen()).toMatchObject({ lagRows: 1, lagMs: 300 })
    peer.say({ t: 'ack', seq: 2, complete: true })
    expect(seen()).toMatchObject({ lagRows: 0, lagMs: 0 })
  })

  test('is not what a follower itself has written, which is not sent back to it', async () => {
    const leader = await rig.add({ host: 'leader' })
    const follower = await rig.add({ host: 'follower', follows: 'leader' })
    await rig.untilInStep(follower)
    for (let i = 0; i < 5; i++) await follower.store.set(`items/${i}`, '1')
    await rig.until(() => linkOf(follower)?.outbox === 0, 'what was written to be delivered')
    expect(leader.store.head).toBe(5)
    expect(linkOf(follower)).toMatchObject({ lagRows: 0, lagMs: 0 })
    // The next beat brings the cursor up, and a change of another makes a lag again.
    await rig.time.advanceAsync(11_000)
    expect(linkOf(follower)).toMatchObject({ cursor: 5, lagRows: 0 })
    await leader.store.set('items/other', '1')
    await rig.until(() => linkOf(follower)?.cursor === 6, 'the change')
    expect(linkOf(follower)?.lagRows).toBe(0)
  })

  test('is told by a follower that is away as the time since its leader was heard', async () => {
    const leader = await rig.add({ host: 'leader' })
    const follower = await rig.add({ host: 'follower', follows: 'leader' })
    expect(linkOf(follower)?.lagMs).toBeUndefined()
    await rig.untilInStep(follower)
    expect(linkOf(follower)).toMatchObject({ lagRows: 0, lagMs: 0 })
    rig.unplug('leader')
    await rig.until(() => linkOf(follower)?.state === 'offline', 'the outage')
    await rig.time.advanceAsync(60_000)
    expect(linkOf(follower)?.lagMs).toBeGreaterThanOrEqual(60_000)
    expect(linkOf(follower)?.lagMs).toBeLessThan(61_000)
    rig.plug(leader)
    await rig.untilInStep(follower)
    expect(linkOf(follower)).toMatchObject({ lagRows: 0, lagMs: 0 })
  })
})

describe('the report', () => {
  test('tells per scope who leads it and how far this node is, and how old the outbox is', async () => {
    const leader = await rig.add({ host: 'leader' })
    const follower = await rig.add({ host: 'follower', follows: 'leader' })
    await leader.store.set('items/a', '1')
    await rig.untilInStep(follower)
    const clock = new HybridClock(rig.time)
    const report = await reportCluster(follower.engine, follower.store, clock)
    expect(report.scopes).toMatchObject([
      {
        path: 'items/*',
        role: 'follower',
        leader: 'http://leader',
        epoch: leader.store.epoch,
        cursor: leader.store.head,
        state: 'live',
        lagRows: 0,
      },
      { path: 'nodes/*', role: 'follower' },
    ])
    expect(report.links[0]?.outboxAgeMs).toBeUndefined()

    rig.unplug('leader')
    await rig.until(() => linkOf(follower)?.state === 'offline', 'the outage')
    await follower.store.set('items/b', '1')
    await rig.time.advanceAsync(30_000)
    await follower.store.set('items/c', '1')
    const away = await reportCluster(follower.engine, follower.store, clock)
    expect(away.links[0]).toMatchObject({ outbox: 2, outboxAgeMs: 30_000 })
    const own = await reportCluster(leader.engine, leader.store, clock)
    expect(own.scopes[0]).toMatchObject({
      role: 'leader',
      epoch: leader.store.epoch,
      cursor: leader.store.head,
    })
    // It is sent as JSON.
    expect(JSON.parse(JSON.stringify(away))).toMatchObject({ name: 'follower' })
  })

  test('is told as metrics with every number of links, followers and refusals', async () => {
    const leader = await rig.add({ host: 'leader' })
    const follower = await rig.add({ host: 'follower', follows: 'leader' })
    await rig.untilInStep(follower)
    new RawPeer(leader).say('nonsense')
    const clock = new HybridClock(rig.time)
    const [below, above] = await Promise.all(
      [follower, leader].map(async (node) =>
        clusterMetrics(await reportCluster(node.engine, node.store, clock)),
      ),
    )
    expect(below).toContain('ooo_cluster_link_live{leader="http://leader"} 1\n')
    expect(below).toContain('ooo_cluster_link_lag_seconds{leader="http://leader"} 0\n')
    expect(below).toMatch(
      /ooo_cluster_link_bytes_total\{leader="http:\/\/leader",direction="in"\} [1-9]\d*\n/,
    )
    expect(above).toContain('ooo_cluster_refusals_total{code="invalid_message"} 1\n')
    expect(above).toMatch(/ooo_cluster_follower_lag_rows\{follower="[\w-]+",name="follower"\} 0\n/)
    for (const line of `${below}${above}`.trimEnd().split('\n')) {
      expect(line).toMatch(
        /^(# (HELP|TYPE) ooo_cluster_\w+ .+|ooo_cluster_\w+(\{.+\})? -?[\d.e+]+)$/,
      )
    }
  })

  test('keeps labels whole whatever a node calls itself', async () => {
    const leader = await rig.add({ host: 'leader' })
    new RawPeer(leader).say(helloOf({ name: 'a"b\\c\nd' }))
    const report = await reportCluster(leader.engine, leader.store, new HybridClock(rig.time))
    expect(clusterMetrics(report)).toContain('name="a\\"b\\\\c\\nd"} 0\n')
  })
})

describe('over HTTP', () => {
  test('the status is JSON, the metrics are text, and other paths are none', async () => {
    const node = await serve({ plugins: [cluster({ keys: [{ path: 'items/*' }] })] })
    const status = await node.get('/-/cluster')
    expect(status.headers['content-type']).toBe('application/json')
    expect(JSON.parse(status.body)).toMatchObject({ role: 'leader', refusals: { total: 0 } })
    const metrics = await node.get('/-/cluster/metrics')
    expect(metrics.headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/)
    expect(metrics.body).toContain('ooo_cluster_info{role="leader"} 1\n')
    expect((await node.get('/-/cluster/other')).status).toBe(404)
  })

  test('a stream is refused and counted without the cluster token, and with a wrong one', async () => {
    const token = 'a secret between nodes'
    const plugin = cluster({ keys: [{ path: 'items/*' }], token })
    const leader = await serve({ plugins: [plugin] })
    const attempts = [{}, { 'x-ooo-cluster-token': 'guess' }, { 'x-ooo-cluster-token': '' }]
    for (const headers of attempts) {
      const answer = await exchange(leader.port, handshake(STREAM_PATH, headers))
      expect(answer.status).toBe(401)
      expect(answer.body).not.toContain(token)
    }
    expect(plugin.status()?.refusals).toMatchObject({
      counts: { unauthorized: 3 },
      latest: [{ peer: '127.0.0.1' }, {}, {}],
    })
    const options = { keys: [{ path: 'items/*' }], clusterUrl: leader.url }
    const member = cluster({ ...options, token })
    const stranger = cluster({ ...options, token: 'another' })
    await serve({ plugins: [member] })
    await serve({ plugins: [stranger] })
    await waitFor(() => member.status()?.links[0]?.state === 'live')
    await waitFor(() => (plugin.status()?.refusals.counts.unauthorized ?? 0) > 3)
    expect(stranger.status()?.links[0]?.state).toBe('offline')
    expect(plugin.status()?.followers.length).toBe(1)
  })

  test('a node that others can reach says that its cluster is open, and only then', async () => {
    const warnings: string[] = []
    const logger = {
      debug: () => undefined,
      info: () => undefined,
      warn: (message: string) => warnings.push(message),
      error: () => undefined,
    }
    const start = (host: string, door: Pick<ClusterOptions, 'token' | 'openCluster'> = {}) =>
      serve({
        host,
        open: true,
        plugins: [cluster({ keys: [{ path: 'a' }], logger, ...door })],
      })
    await start('127.0.0.1')
    await start('127.0.0.1', { openCluster: true })
    await start('0.0.0.0', { token: 'secret' })
    await start('0.0.0.0')
    expect(warnings).toEqual([])
    await start('0.0.0.0', { openCluster: true })
    expect(warnings).toEqual([expect.stringContaining('the cluster is open')])
  })
})
