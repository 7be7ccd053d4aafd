import { describe, expect, test } from 'vitest'
import { LivedTime } from '../../../../cluster/progress/lived-time.ts'
import { HybridClock } from '../../../../src/core/data/clock.ts'
import { SILENT_LOGGER } from '../../../../src/core/ports/logger.ts'
import { MemoryStorage } from '../../../../storage-adapters/memory/memory.ts'
import { FakeTime } from '../../../support/fake-time.ts'
import { openStore } from '../../../support/store.ts'

const DAY_MS = 86_400_000
const AGES = { tombstones: 7 * DAY_MS, conflicts: 30 * DAY_MS }

/** One life of a node whose storage and time go on. */
async function begin(adapter: MemoryStorage, time: FakeTime, ages = AGES) {
  const clock = new HybridClock(time)
  const store = await openStore({ adapter, clock, time })
  const warned: string[] = []
  const logger = { ...SILENT_LOGGER, warn: (message: string) => void warned.push(message) }
  const lived = new LivedTime({ store, clock, time, logger, ages })
  lived.start()
  const stop = async (): Promise<void> => {
    await lived.stop()
    await store.close()
  }
  return { store, lived, stop, warned }
}

/** Ends a process at once: none of its timers runs, and what it did not save is lost. */
async function life(adapter: MemoryStorage, start: FakeTime, ms: number): Promise<number> {
  const time = new FakeTime(start.wallNs())
  const { lived, store } = await begin(adapter, time)
  const before = lived.ms
  await time.advanceAsync(ms)
  start.jumpWall(ms)
  await store.close()
  return before
}

describe('the time a node has lived', () => {
  test('goes on over a stop, without the time for which it was off, whatever its clock says', async () => {
    const [adapter, time] = [new MemoryStorage(), new FakeTime()]
    const first = await begin(adapter, time)
    await time.advanceAsync(5000)
    time.jumpWall(315_576_000_000)
    expect(first.lived.ms).toBe(5000)
    await first.stop()
    await time.advanceAsync(100_000)
    const second = await begin(adapter, time)
    await time.advanceAsync(1)
    expect(second.lived.ms).toBe(5001)
    await second.stop()
  })

  test('loses half at most of a life that was ended by a kill', async () => {
    const [adapter, time] = [new MemoryStorage(), new FakeTime()]
    for (const minutes of [3, 10, 30, 100]) {
      const before = await life(adapter, time, minutes * 60_000)
      const after = await life(adapter, time, 0)
      expect(after - before).toBeGreaterThanOrEqual(minutes * 30_000)
      expect(after - before).toBeLessThanOrEqual(minutes * 60_000)
    }
    const before = await life(adapter, time, DAY_MS)
    expect((await life(adapter, time, 0)) - before).toBeGreaterThanOrEqual(DAY_MS - 3_600_000)
  })

  test('is saved seldom once the node has been up for long', async () => {
    const time = new FakeTime()
    const { store, stop } = await begin(new MemoryStorage(), time)
    let saves = 0
    let last = store.meta('lived')
    for (let minutes = 0; minutes < 24 * 60; minutes++) {
      await time.advanceAsync(60_000)
      if (store.meta('lived') !== last) saves++
      last = store.meta('lived')
    }
    expect(saves).toBeGreaterThan(20)
    expect(saves).toBeLessThan(40)
    await stop()
  })

  test('that can not be saved is lived on, and is said', async () => {
    const time = new FakeTime()
    const { store, lived, warned } = await begin(new MemoryStorage(), time)
    await store.close()
    await time.advanceAsync(200_000)
    await lived.stop()
    expect(lived.ms).toBe(200_000)
    expect(warned.length).toBeGreaterThan(0)
  })
})

describe('what is old', () => {
  test('is told per kind, and goes on over restarts', async () => {
    const [adapter, time] = [new MemoryStorage(), new FakeTime()]
    for (let day = 0; day < 20; day++) {
      const { lived, stop } = await begin(adapter, time)
      if (day < 7) expect(lived.oldNs('tombstones')).toBe(0n)
      await time.advanceAsync(DAY_MS)
      await stop()
    }
    const { lived, store, stop } = await begin(adapter, time)
    const backMs = Number((time.wallNs() - lived.oldNs('tombstones')) / 1_000_000n)
    expect(backMs).toBeGreaterThanOrEqual(7 * DAY_MS)
    expect(backMs).toBeLessThan(8 * DAY_MS)
    expect(lived.oldNs('conflicts')).toBe(0n)
    expect(store.meta('lived')?.length).toBeLessThan(1000)
    await stop()
  })

  test('is nothing where the row on disk says nothing that can be read', async () => {
    const [adapter, time] = [new MemoryStorage(), new FakeTime()]
    const { store } = await begin(adapter, time)
    for (const row of [
      '',
      'x',
      '5 tombstones',
      '5 tombstones=1',
      '-1 tombstones=1:1',
      '5 a=1:1,',
    ]) {
      await store.saveMeta(new Map([['lived', row]]))
      const clock = new HybridClock(time)
      const read = new LivedTime({ store, clock, time, logger: SILENT_LOGGER, ages: AGES })
      expect([read.ns, read.oldNs('tombstones')], row).toEqual([0n, 0n])
    }
    await store.close()
  })

  test('begins, after an earlier release, with what that one removed', async () => {
    const [adapter, time] = [new MemoryStorage(), new FakeTime()]
    const forgotten = time.wallNs() - BigInt(8 * DAY_MS) * 1_000_000n
    const earlier = await openStore({ adapter, time })
    await earlier.saveMeta(new Map([['retention', `5 ${forgotten}`]]))
    await earlier.close()
    const { lived, stop } = await begin(adapter, time)
    expect([lived.oldNs('tombstones'), lived.oldNs('conflicts')]).toEqual([forgotten, 0n])
    time.jumpWall(315_576_000_000)
    await time.advanceAsync(DAY_MS)
    expect(lived.oldNs('tombstones')).toBe(forgotten)
    await stop()
  })

  test('is nothing for a longer retention until that is lived', async () => {
    const [adapter, time] = [new MemoryStorage(), new FakeTime()]
    const first = await begin(adapter, time)
    await time.advanceAsync(10 * DAY_MS)
    expect(first.lived.oldNs('tombstones')).toBeGreaterThan(0n)
    await first.stop()
    const longer = await begin(adapter, time, { ...AGES, tombstones: 12 * DAY_MS })
    expect(longer.lived.oldNs('tombstones')).toBe(0n)
    await longer.stop()
  })
})
