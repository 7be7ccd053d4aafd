import { describe, expect, it } from 'vitest'
import type { HubOptions } from '../../../src/fanout/hub.ts'
import { type Bench, createBench, join } from './fake-source.ts'

/** A hub whose turns end when the test says so. */
function createTurns(options: Partial<HubOptions> = {}): Bench & { endTurn(): void } {
  let turn: (() => void)[] = []
  const endTurn = (): void => {
    const due = turn
    turn = []
    for (const run of due) run()
  }
  return { ...createBench({ endOfTurn: (run) => turn.push(run), ...options }), endTurn }
}

describe('changes of one turn', () => {
  it('leave in one batch that all subscribers share, a frame for each', async () => {
    const { hub, source, endTurn } = createTurns()
    source.set('a/1', '1')
    const one = await join(hub, 'a/*')
    const two = await join(hub, 'a/*')
    for (const value of ['2', '3', '4']) source.set('a/1', value)
    expect(one.sink.batches).toHaveLength(1)
    endTurn()
    expect(one.sink.batches).toHaveLength(2)
    expect(one.sink.batches[1]?.frames).toHaveLength(3)
    expect(two.sink.batches[1]).toBe(one.sink.batches[1])
    expect(hub.metrics()).toMatchObject({ framesSent: 8, batchesSent: 4 })
  })

  it('are encoded for the network once', async () => {
    const { hub, source, endTurn } = createTurns()
    const one = await join(hub, 'a')
    source.set('a', '1')
    endTurn()
    let asked = 0
    const encode = (frames: readonly Uint8Array[]): Uint8Array => {
      asked++
      return Buffer.concat(frames)
    }
    const batch = one.sink.batches.at(-1)
    expect(batch?.encoded(encode)).toBe(batch?.encoded(encode))
    expect(asked).toBe(1)
  })

  it('are not sent twice to one that joins between them and the end of the turn', async () => {
    const { hub, source, endTurn } = createTurns()
    const early = await join(hub, 'a/*')
    source.set('a/1', '1')
    const late = await join(hub, 'a/*')
    source.set('a/2', '2')
    endTurn()
    expect(late.sink.state).toBe(early.sink.state)
    expect(late.sink.frames.map(({ snapshot }) => snapshot)).toEqual([true, false])
  })

  it('are replaced by a full state that comes after them', async () => {
    const { hub, source, endTurn } = createTurns({ noPatch: true })
    const { sink } = await join(hub, 'a/*')
    for (let i = 0; i < 5; i++) source.set('a/1', `${i}`)
    endTurn()
    expect(sink.frames).toHaveLength(2)
    expect(sink.state).toContain('"data":4')
  })

  it('leave before the turn ends when they are many bytes', async () => {
    const { hub, source } = createTurns()
    const { sink } = await join(hub, 'a/*')
    const big = JSON.stringify('x'.repeat(400_000))
    for (let i = 0; i < 4; i++) source.set(`a/${i}`, big)
    expect(sink.frames.length).toBeGreaterThanOrEqual(4)
  })

  it('reach those who stay when others leave before the turn ends', async () => {
    const { hub, source, endTurn } = createTurns()
    const stays = await join(hub, 'a')
    const leaves = await join(hub, 'a')
    source.set('a', '1')
    leaves.subscription.close()
    endTurn()
    expect(stays.sink.frames).toHaveLength(2)
    expect(leaves.sink.frames).toHaveLength(1)
  })
})

describe('a subscriber that was behind', () => {
  /** A list that takes far more bytes than a change to it. */
  async function longList(options: Partial<HubOptions>): Promise<Bench> {
    const bench = createBench(options)
    for (let i = 0; i < 200; i++) bench.source.set(`a/${i}`, `"${'x'.repeat(100)}"`)
    return bench
  }

  it('gets the patches it missed when they are smaller than the list', async () => {
    const { hub, source } = await longList({ maxBufferedBytes: 300 })
    const { sink } = await join(hub, 'a/*')
    const control = await join(hub, 'a/*')
    source.set('a/1', '1')
    sink.bufferedBytes = 100_000
    for (let i = 0; i < 5; i++) source.set(`a/${i}`, '2')
    expect(sink.frames.length).toBeLessThan(control.sink.frames.length)
    sink.drain()
    expect(sink.frames.filter(({ snapshot }) => snapshot)).toHaveLength(1)
    expect(sink.state).toBe(control.sink.state)
    expect(hub.metrics()).toMatchObject({ catchUps: 1, snapshotsSent: 2 })
  })

  it('gets the state when that is smaller', async () => {
    const { hub, source } = createBench({ maxBufferedBytes: 300 })
    source.set('a', `"${'x'.repeat(300)}"`)
    const { sink } = await join(hub, 'a')
    sink.bufferedBytes = 30_000
    for (let i = 0; i < 30; i++) source.set('a', `"${'y'.repeat(290 + i)}"`)
    sink.drain()
    expect(sink.frames.at(-1)?.snapshot).toBe(true)
    expect(sink.frames).toHaveLength(2)
  })
})
