/** What all pools and all subscribers together hold in memory. */
import { describe, expect, it } from 'vitest'
import type { Hub } from '../../../src/fanout/hub.ts'
import { createBench, FakeSink, join } from './fake-source.ts'

/** A subscriber that reads nothing, from its first frame on. */
function joinStuck(hub: Hub, pattern: string): ReturnType<typeof join> {
  const sink = new FakeSink()
  sink.stuck = true
  return join(hub, pattern, undefined, sink)
}

const LARGE = JSON.stringify('x'.repeat(100_000))

describe('full states that are not read', () => {
  it('are bounded in all: who holds one longest is closed, and told to come back', async () => {
    const { hub, source } = createBench({ maxUnreadBytes: 450_000 })
    for (let i = 0; i < 6; i++) source.set(`k/${i}`, LARGE)
    const stuck = []
    for (let i = 0; i < 6; i++) {
      const client = await joinStuck(hub, `k/${i}`)
      stuck.push(client.sink)
      expect(hub.metrics().unreadStateBytes).toBeLessThanOrEqual(450_000)
    }
    expect(stuck.map(({ closed }) => closed?.code)).toEqual([
      ...[4003, 4003, undefined, undefined, undefined, undefined],
    ])
    const back = await join(hub, 'k/0')
    expect(back.sink.state).toContain('xxx')
  })

  it('count once for all who share them', async () => {
    const { hub, source } = createBench({ maxUnreadBytes: 150_000 })
    source.set('k/0', LARGE)
    const sinks = []
    for (let i = 0; i < 10; i++) sinks.push((await joinStuck(hub, 'k/0')).sink)
    expect(sinks.map(({ closed }) => closed)).toEqual(sinks.map(() => undefined))
    expect(hub.metrics().unreadStateBytes).toBeLessThan(150_000)
  })

  it('do not count once they are read', async () => {
    const { hub, source } = createBench({ maxUnreadBytes: 250_000 })
    for (let i = 0; i < 20; i++) source.set(`k/${i}`, LARGE)
    for (let i = 0; i < 20; i++) {
      const { sink } = await join(hub, `k/${i}`)
      expect(sink.closed).toBeUndefined()
    }
    expect(hub.metrics().slowConsumersClosed).toBe(0)
  })
})

describe('patches that are not read', () => {
  it('are bounded in all: who is behind gets a state later, and nobody is closed', async () => {
    const { hub, source } = createBench({ maxUnreadBytes: 300_000, maxBufferedBytes: 1_000_000 })
    const piece = JSON.stringify('p'.repeat(20_000))
    const sinks = []
    for (let i = 0; i < 10; i++) {
      source.set(`k/${i}/first`, '1')
      sinks.push((await joinStuck(hub, `k/${i}/*`)).sink)
    }
    for (let round = 0; round < 30; round++) {
      for (let i = 0; i < 10; i++) source.set(`k/${i}/r${round}`, piece)
    }
    const held = sinks.reduce((sum, { bufferedBytes }) => sum + bufferedBytes, 0)
    // What each may have before it counts as behind comes on top.
    expect(held).toBeLessThan(300_000 + 10 * 110_000)
    for (const sink of sinks) {
      sink.stuck = false
      sink.drain()
      expect(sink.closed).toBeUndefined()
      expect(JSON.parse(sink.state ?? '[]')).toHaveLength(31)
    }
  })
})

describe('what pools keep for subscribers to come', () => {
  it('is bounded in all, and costs nobody a state that is right', async () => {
    const { hub, source } = createBench({ maxPoolBytes: 350_000, historyBytes: 1_000_000 })
    for (let i = 0; i < 10; i++) source.set(`k/${i}`, LARGE)
    const clients = []
    for (let i = 0; i < 10; i++) {
      clients.push(await join(hub, `k/${i}`))
      expect(hub.metrics().poolBytes).toBeLessThanOrEqual(350_000)
    }
    for (let i = 0; i < 10; i++) {
      source.set(`k/${i}`, JSON.stringify('y'.repeat(100_000)))
      expect(hub.metrics().poolBytes).toBeLessThanOrEqual(350_000)
    }
    for (const { sink } of clients) expect(sink.state).toContain('yyy')
    for (let i = 0; i < 10; i++) {
      expect((await join(hub, `k/${i}`)).sink.state).toContain('yyy')
    }
  })
})
