import { describe, expect, it } from 'vitest'
import { Heartbeat, type HeartbeatPeer } from '../../src/server/heartbeat.ts'
import { FakeTime } from '../support/fake-time.ts'

class FakePeer implements HeartbeatPeer {
  bytesRead = 0
  pings = 0
  terminated = 0

  ping(): void {
    this.pings++
  }

  terminate(): void {
    this.terminated++
  }
}

function bench(): { time: FakeTime; heartbeat: Heartbeat } {
  const time = new FakeTime()
  return {
    time,
    heartbeat: new Heartbeat({ time, pingIntervalMs: 60_000, pongTimeoutMs: 150_000 }),
  }
}

describe('Heartbeat', () => {
  it('pings each peer at every interval', () => {
    const { time, heartbeat } = bench()
    const early = new FakePeer()
    heartbeat.add(early)
    time.advance(30_000)
    const late = new FakePeer()
    heartbeat.add(late)
    for (let i = 0; i < 20; i++) {
      early.bytesRead++
      late.bytesRead++
      time.advance(30_000)
    }
    expect(early.pings).toBe(10)
    expect(late.pings).toBe(10)
    expect(early.terminated).toBe(0)
  })

  it('drops a peer after the timeout without a byte, not before', () => {
    const { time, heartbeat } = bench()
    const peer = new FakePeer()
    heartbeat.add(peer)
    time.advance(60_000)
    peer.bytesRead = 1
    time.advance(15_000)
    time.advance(149_000)
    expect(peer.terminated).toBe(0)
    time.advance(16_000)
    expect(peer.terminated).toBe(1)
  })

  it('has no timer without peers, and starts again with the next', () => {
    const { time, heartbeat } = bench()
    const peer = new FakePeer()
    expect(time.pending).toBe(0)
    heartbeat.add(peer)
    expect(time.pending).toBe(1)
    heartbeat.remove(peer)
    expect(time.pending).toBe(0)
    heartbeat.add(peer)
    time.advance(60_000)
    expect(peer.pings).toBe(1)
  })
})
