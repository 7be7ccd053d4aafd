/** When limits are swept: by the clock and after writes, one sweep at a time, and never after stop. */
import { expect, it } from 'vitest'
import { SILENT_LOGGER } from '../../../../src/core/ports/logger.ts'
import { createLimitFilter } from '../../../../src/store/filters/limit-filter.ts'
import { LimitSweeper } from '../../../../src/store/filters/limit-sweeper.ts'
import { FakeTime } from '../../../support/fake-time.ts'
import { openStore } from '../../../support/store.ts'

const limit = createLimitFilter('a/*', { limit: 2, cleanup: { enabled: true } }, () => 0n)

it('sweeps every ten minutes by default, tells of it, and no more once stopped', async () => {
  const store = await openStore()
  const time = new FakeTime()
  let refreshed = 0
  const sweeper = new LimitSweeper({
    store,
    time,
    logger: SILENT_LOGGER,
    refresh: () => refreshed++,
  })
  sweeper.add(limit)
  for (let i = 0; i < 5; i++) await store.set(`a/${i}`, '0')
  await time.advanceAsync(599_999)
  expect(await store.list('a/*')).toHaveLength(5)
  await time.advanceAsync(10)
  expect((await store.list('a/*')).map(({ key }) => key)).toEqual(['a/4', 'a/3'])
  expect(refreshed).toBe(1)
  await sweeper.stop()
  await store.set('a/9', '0')
  await sweeper.sweep(limit)
  expect(await store.list('a/*')).toHaveLength(3)
  expect(time.pending).toBe(0)
})

it('never overlaps itself; calls that come meanwhile share the next sweep', async () => {
  let running = 0
  let sweeps = 0
  const store = {
    async sweep(): Promise<void> {
      sweeps++
      expect(++running).toBe(1)
      await new Promise((resolve) => setImmediate(resolve))
      running--
    },
  }
  const sweeper = new LimitSweeper({
    store,
    time: new FakeTime(),
    logger: SILENT_LOGGER,
    refresh: () => undefined,
  })
  sweeper.add(limit)
  await Promise.all(Array.from({ length: 10 }, () => sweeper.sweep(limit)))
  expect(sweeps).toBe(2)
  await sweeper.stop()
})
