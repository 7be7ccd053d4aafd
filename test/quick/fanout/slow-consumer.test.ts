import { describe, expect, it } from 'vitest'
import { metaListJson } from '../../../src/core/data/entry.ts'
import { canonicalText } from '../core/exact-apply.ts'
import { createBench, join } from './fake-source.ts'

const big = `"${'x'.repeat(400)}"`

describe('a subscriber that reads too slowly', () => {
  it('loses patches beyond its budget and gets one snapshot when it has caught up', async () => {
    const { hub, source } = createBench({ maxBufferedBytes: 2000 })
    const slow = await join(hub, 'a/*')
    const quick = await join(hub, 'a/*')
    slow.sink.stuck = true
    for (let i = 0; i < 100; i++) source.set(`a/${i}`, big)
    expect(quick.sink.frames).toHaveLength(101)
    const received = slow.sink.frames.length
    expect(received).toBeLessThan(10)
    expect(slow.sink.bufferedBytes).toBeLessThanOrEqual(2000 + 100)
    expect(hub.metrics().framesDropped).toBe(101 - received)
    slow.sink.stuck = false
    slow.sink.drain()
    expect(slow.sink.frames).toHaveLength(received + 1)
    expect(slow.sink.frames.at(-1)?.snapshot).toBe(true)
    expect(slow.sink.state).toBe(canonicalText(metaListJson(source.list('a/*'))))
    source.set('a/1', '0')
    expect(slow.sink.state).toBe(quick.sink.state)
  })

  it('is closed when it takes nothing for the timeout, with a code that invites it back', async () => {
    const { hub, source, time } = createBench({
      maxBufferedBytes: 500,
      slowConsumerTimeoutMs: 1000,
    })
    const { sink } = await join(hub, 'a/*')
    sink.stuck = true
    for (let i = 0; i < 5; i++) source.set(`a/${i}`, big)
    time.advance(999)
    expect(sink.closed).toBeUndefined()
    time.advance(1)
    expect(sink.closed?.code).toBe(4003)
    expect(hub.metrics().slowConsumersClosed).toBe(1)
  })

  it('is left alone while it makes progress', async () => {
    const { hub, source, time } = createBench({
      maxBufferedBytes: 500,
      slowConsumerTimeoutMs: 1000,
    })
    const { sink } = await join(hub, 'a/*')
    sink.stuck = true
    for (let i = 0; i < 5; i++) source.set(`a/${i}`, big)
    for (let i = 0; i < 5; i++) {
      sink.bufferedBytes -= 10
      time.advance(1000)
    }
    expect(sink.closed).toBeUndefined()
    time.advance(1000)
    expect(sink.closed?.code).toBe(4003)
  })

  it('leaves no timer behind when it goes', async () => {
    const { hub, source, time } = createBench({ maxBufferedBytes: 500 })
    const { sink, subscription } = await join(hub, 'a/*')
    sink.stuck = true
    for (let i = 0; i < 5; i++) source.set(`a/${i}`, big)
    expect(time.pending).toBe(1)
    subscription.close()
    sink.drain()
    expect(time.pending).toBe(0)
  })

  it('gets a frame larger than the budget when it has read everything before', async () => {
    const { hub, source } = createBench({ maxBufferedBytes: 10 })
    const { sink } = await join(hub, 'a')
    source.set('a', big)
    expect(sink.frames).toHaveLength(2)
  })

  it('is not slow for having a large snapshot on its way', async () => {
    const { hub, source } = createBench({ maxBufferedBytes: 1000 })
    for (let i = 0; i < 50; i++) source.set(`a/${i}`, big)
    const { sink } = await join(hub, 'a/*')
    sink.bufferedBytes = sink.bytes[0]?.byteLength ?? 0
    source.set('a/1', '0')
    expect(sink.frames).toHaveLength(2)
  })
})
