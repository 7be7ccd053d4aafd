/** What people are told of the bus: in the status, as text, as metrics; and acknowledgements over it. */
import { describe, expect, test } from 'vitest'
import { formatStatus } from '../../../cli/terminal/status-text.ts'
import { MemoryBus } from '../../../cluster/bus/memory.ts'
import { waitFor } from '../../support/wait.ts'
import { startNode, type TestNode } from '../nodes.ts'

const WAIT = { deadlineMs: 20_000 }

async function pair(
  bus: MemoryBus,
  busMarkIntervalMs = 50,
): Promise<{ leader: TestNode; follower: TestNode }> {
  const limits = { busMarkIntervalMs }
  const leader = await startNode({ bus: bus.connect('leader'), limits, name: 'leader' })
  const follower = await startNode({
    leader,
    bus: bus.connect('follower'),
    limits,
    name: 'follower',
  })
  await waitFor(() => leader.plugin.status()?.followers[0]?.feed === 'bus', {
    ...WAIT,
    what: 'the follower on the bus',
  })
  return { leader, follower }
}

async function reportOf(node: TestNode): Promise<Record<string, unknown>> {
  const { body } = await node.request('GET', '/-/cluster')
  return JSON.parse(body) as Record<string, unknown>
}

describe('a node on a bus', () => {
  test('tells its state, and who is fed by it, as JSON, as text and as metrics', async () => {
    const bus = new MemoryBus()
    const { leader, follower } = await pair(bus)
    await leader.request('POST', '/items/a', '1')
    await waitFor(async () => (await follower.request('GET', '/items/a')).status === 200, WAIT)
    const atLeader = await reportOf(leader)
    expect(atLeader).toMatchObject({
      bus: {
        kind: 'memory',
        publishing: { state: 'up' },
        isFailing: false,
        dropped: 0,
      },
      followers: [{ feed: 'bus' }],
    })
    // Where the bus is is for members only, who show a token.
    expect(atLeader.bus).not.toHaveProperty('address')
    expect(leader.plugin.status()?.bus?.address).toBe('leader')
    const atFollower = await reportOf(follower)
    expect(atFollower).toMatchObject({
      bus: { subscribing: { state: 'up' } },
      links: [{ feed: { from: 'bus', gaps: 0, fallbacks: 0, bus: { state: 'up', refused: 0 } } }],
    })
    expect(formatStatus(atLeader)).toMatch(/^memory +- +up, .* ago +idle/m)
    expect(formatStatus(atFollower)).toMatch(/fed by.*\n.*live .* bus /)
    const { body } = await follower.request('GET', '/-/cluster/metrics')
    expect(body).toContain('ooo_cluster_bus_up{direction="subscribe"} 1')
    expect(body).toMatch(/ooo_cluster_link_bus\{leader="[^"]+"\} 1/)
    const told = await leader.request('GET', '/-/cluster/metrics')
    expect(told.body).toMatch(/ooo_cluster_follower_bus\{[^}]*name="follower"\} 1/)
    expect(told.body).toMatch(/ooo_cluster_bus_published_rows_total [1-9]/)
    const pivot = await leader.request('GET', '/?api=pivot')
    expect(JSON.parse(pivot.body)).toMatchObject({ cluster: { bus: { kind: 'memory' } } })

    bus.goAway()
    await leader.request('POST', '/items/b', '1')
    await waitFor(async () => (await follower.request('GET', '/items/b')).status === 200, WAIT)
    expect(await reportOf(follower)).toMatchObject({
      bus: { subscribing: { state: 'down', lastError: 'the bus is away' } },
      links: [{ feed: { from: 'stream', fallbacks: 1, bus: { state: 'down' } } }],
    })
    expect(formatStatus(await reportOf(leader))).toMatch(/down, .* the bus is away/)
    const down = await follower.request('GET', '/-/cluster/metrics')
    expect(down.body).toContain('ooo_cluster_bus_up{direction="subscribe"} 0')
    expect(down.body).toMatch(/ooo_cluster_link_bus_fallbacks_total\{leader="[^"]+"\} 1/)
  })

  test('without one tells nothing of it', async () => {
    const node = await startNode()
    expect(await reportOf(node)).not.toHaveProperty('bus')
    const { body } = await node.request('GET', '/-/cluster/metrics')
    expect(body).not.toContain('bus')
    expect(formatStatus(await reportOf(node))).not.toMatch(/bus|fed by/)
  })

  test('that closes leaves it', async () => {
    const bus = new MemoryBus()
    const side = bus.connect('leaving')
    const node = await startNode({ bus: side })
    await node.server.close()
    expect(side.publish('x', 'x')).toBe(false)
  })
})

describe('an acknowledgement that was asked for', () => {
  test('comes without waiting for the next mark', async () => {
    // A mark comes once in a minute, so what comes earlier was asked for.
    const { leader } = await pair(new MemoryBus(), 10_000)
    for (let i = 0; i < 5; i++) {
      const answer = await leader.request('POST', `/items/a${i}?ack=1&ackTimeoutMs=9000`, '1')
      expect(answer.status).toBe(200)
      expect(answer.headers['x-ooo-ack'] ?? '1').toBe('1')
    }
    expect(leader.plugin.status()?.followers[0]?.feed).toBe('bus')
  })
})
