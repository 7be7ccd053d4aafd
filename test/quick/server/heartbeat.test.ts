import { describe, expect, it } from 'vitest'
import type { TimeSource } from '../../../src/core/ports/time.ts'
import { Heartbeat, type HeartbeatPeer } from '../../../src/server/websocket/heartbeat.ts'
import { FakeTime } from '../../support/fake-time.ts'

class FakePeer implements HeartbeatPeer {
  bytesRead = 0
  bufferedBytes = 0
  sendProgress = 0
  pings = 0
  terminated = 0

  ping(): void {
    this.pings++
  }

  terminate(): void {
    this.terminated++
  }
}

const OPTIONS = { pingIntervalMs: 60_000, pongTimeoutMs: 150_000, wsWriteTimeoutMs: 15_000 }

function bench(): { time: FakeTime; heartbeat: Heartbeat } {
  const time = new FakeTime()
  return {
    time,
    heartbeat: new Heartbeat({ ...OPTIONS, time }),
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
    time.advance(4_000)
    time.advance(149_000)
    expect(peer.terminated).toBe(0)
    time.advance(4_000)
    expect(peer.terminated).toBe(1)
  })

  it('counts no silence from before a peer came', () => {
    const { time, heartbeat } = bench()
    heartbeat.add(new FakePeer())
    time.advance(3_000)
    const late = new FakePeer()
    heartbeat.add(late)
    time.advance(149_000)
    expect(late.terminated).toBe(0)
    time.advance(5_000)
    expect(late.terminated).toBe(1)
  })

  it('does not hold a pause of this process against a peer', () => {
    const fake = new FakeTime()
    let pausedNs = 0n
    const time: TimeSource = {
      wallNs: () => fake.wallNs() + pausedNs,
      monotonicNs: () => fake.monotonicNs() + pausedNs,
      after: (delayMs, callback) => fake.after(delayMs, callback),
    }
    const heartbeat = new Heartbeat({ ...OPTIONS, time })
    const peer = new FakePeer()
    heartbeat.add(peer)
    fake.advance(30_000)
    pausedNs = 600_000_000_000n
    fake.advance(4_000)
    expect(peer).toMatchObject({ terminated: 0, pings: 1 })
    fake.advance(149_000)
    expect(peer.terminated).toBe(1)
    expect(heartbeat.dropped).toEqual({ silent: 1, stalled: 0 })
  })

  it('drops a peer that takes nothing of what waits for it, not one that takes some', () => {
    const { time, heartbeat } = bench()
    const [stuck, slow, quiet] = [new FakePeer(), new FakePeer(), new FakePeer()]
    for (const peer of [stuck, slow, quiet]) heartbeat.add(peer)
    stuck.bufferedBytes = 1
    slow.bufferedBytes = 1_000_000
    for (let i = 0; i < 2; i++) {
      time.advance(7_000)
      slow.sendProgress++
    }
    expect(stuck.terminated).toBe(0)
    time.advance(7_000)
    expect(stuck.terminated).toBe(1)
    slow.sendProgress++
    time.advance(7_000)
    expect(slow.terminated).toBe(0)
    expect(quiet.terminated).toBe(0)
    expect(heartbeat.dropped).toEqual({ silent: 0, stalled: 1 })
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
