import { describe, expect, it } from 'vitest'
import { Pacer } from '../../../src/fanout/pacer.ts'
import { FakeTime } from '../../support/fake-time.ts'

interface Bench {
  readonly pacer: Pacer
  readonly time: FakeTime
  flushes: number
  /** Ends the turn of the event loop. */
  endTurn(): void
}

/** @param workMs how long each flush takes */
function createPacer(workMs = 0, settled?: () => Promise<void>): Bench {
  const time = new FakeTime()
  let turn: (() => void)[] = []
  const bench: Bench = {
    time,
    flushes: 0,
    endTurn: () => {
      const due = turn
      turn = []
      for (const run of due) run()
    },
    pacer: new Pacer({ time, endOfTurn: (run) => turn.push(run), settled }, () => {
      bench.flushes++
      time.advance(workMs)
    }),
  }
  return bench
}

/** Has one flush done, and another one asked for at once. */
async function flushTwice({ pacer, endTurn }: Bench): Promise<void> {
  pacer.request()
  endTurn()
  pacer.request()
  await Promise.resolve()
}

describe('the pacer', () => {
  it('flushes once at the end of a turn, however often it was asked', () => {
    const bench = createPacer()
    for (let i = 0; i < 10; i++) bench.pacer.request()
    expect(bench.flushes).toBe(0)
    bench.endTurn()
    bench.endTurn()
    expect(bench.flushes).toBe(1)
  })

  it('pauses for a quarter of what a flush took, and lets requests gather meanwhile', () => {
    const bench = createPacer(20)
    bench.pacer.request()
    bench.endTurn()
    bench.pacer.request()
    bench.pacer.request()
    bench.endTurn()
    bench.time.advance(4)
    expect(bench.flushes).toBe(1)
    bench.time.advance(1)
    expect(bench.flushes).toBe(2)
  })

  it('ends a pause when no write is under way, after a sixteenth of what the flush took', async () => {
    let settle = (): void => undefined
    const bench = createPacer(32, () => new Promise((resolve) => (settle = resolve)))
    await flushTwice(bench)
    bench.time.advance(1)
    settle()
    await Promise.resolve()
    bench.endTurn()
    expect(bench.flushes).toBe(1)
    bench.time.advance(1)
    expect(bench.flushes).toBe(2)

    bench.pacer.request()
    bench.time.advance(7)
    expect(bench.flushes).toBe(2)
    settle()
    await Promise.resolve()
    bench.endTurn()
    expect(bench.flushes).toBe(3)
    expect(bench.time.pending).toBe(0)
  })

  it('pauses no longer than a quarter while writes go on, and waits for their end once', async () => {
    let waiting = 0
    const bench = createPacer(32, () => new Promise(() => waiting++))
    await flushTwice(bench)
    for (let flushes = 2; flushes < 10; flushes++) {
      bench.time.advance(7)
      expect(bench.flushes).toBe(flushes - 1)
      bench.time.advance(1)
      expect(bench.flushes).toBe(flushes)
      bench.pacer.request()
    }
    expect(waiting).toBe(1)
  })

  it('does not pause when the pause is over before the next request', () => {
    const bench = createPacer(20)
    bench.pacer.request()
    bench.endTurn()
    bench.time.advance(21)
    bench.pacer.request()
    bench.endTurn()
    expect(bench.flushes).toBe(2)
  })

  it('tells when what waits has been handed over', async () => {
    const bench = createPacer()
    expect(bench.pacer.flushed()).toBeUndefined()
    bench.pacer.request()
    const flushed = bench.pacer.flushed()
    expect(bench.pacer.flushed()).toBe(flushed)
    let isDone = false
    void flushed?.then(() => {
      isDone = true
    })
    await Promise.resolve()
    expect(isDone).toBe(false)
    bench.endTurn()
    await flushed
    expect(bench.pacer.flushed()).toBeUndefined()
  })

  it('keeps nobody waiting once it is closed, and flushes no more', async () => {
    const bench = createPacer(20)
    bench.pacer.request()
    bench.endTurn()
    bench.pacer.request()
    const flushed = bench.pacer.flushed()
    bench.pacer.close()
    await flushed
    bench.pacer.request()
    bench.time.advance(1000)
    bench.endTurn()
    expect(bench.flushes).toBe(1)
    expect(bench.time.pending).toBe(0)
  })
})
