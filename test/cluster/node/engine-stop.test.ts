/** An engine that is stopped while it is about to begin anew, as a change of leader does it. */
import { expect, it } from 'vitest'
import { resolveClusterOptions } from '../../../cluster/config/options.ts'
import { planPlacement } from '../../../cluster/members/placement.ts'
import { ClusterEngine } from '../../../cluster/node/engine.ts'
import { HybridClock } from '../../../src/core/data/clock.ts'
import { metaRow } from '../../../src/store/format/rows.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { FakeTime } from '../../support/fake-time.ts'
import { openStore } from '../../support/store.ts'
import { waitFor } from '../../support/wait.ts'

/** Holds back the note of the placement when told to. */
class HeldPlacement extends MemoryStorage {
  #gate: Promise<void> | undefined
  isHolding = false

  /** @returns what lets it be written. */
  hold(): () => void {
    let open = (): void => undefined
    this.#gate = new Promise((resolve) => {
      open = resolve
    })
    return open
  }

  override async batch(...args: Parameters<MemoryStorage['batch']>): Promise<void> {
    if (this.#gate !== undefined && args[0].some(({ key }) => key === metaRow('placement'))) {
      this.isHolding = true
      await this.#gate
    }
    return super.batch(...args)
  }
}

it('leaves no link behind that was being made when damage was found', async () => {
  const adapter = new HeldPlacement()
  const time = new FakeTime()
  const clock = new HybridClock(time)
  const store = await openStore({ adapter, clock, time, cacheBytes: 0 })
  await store.set('items/a', '1')
  const clusterUrl = 'http://leader:1'
  const keys = [{ path: 'items/*' }]
  let dials = 0
  const engine = new ClusterEngine({
    ...{ store, clock, time, random: () => 0.5, newId: () => 'x' },
    options: resolveClusterOptions({ keys, clusterUrl }),
    placement: planPlacement(keys, clusterUrl, 'nodes/*'),
    transport: {
      dial: () => {
        dials++
        return { bufferedBytes: 0, send() {}, close() {}, terminate() {} }
      },
    },
  })
  await engine.start()
  expect(dials).toBe(1)
  const go = adapter.hold()
  await adapter.batch([{ type: 'put', key: 'e/items/a', value: 'damaged' }])
  await expect(store.get('items/a')).rejects.toMatchObject({ code: 'corrupt_record' })
  await waitFor(() => adapter.isHolding)
  const stopped = engine.stop()
  go()
  await stopped
  // The store has a timer of its own.
  await store.close()
  expect([dials, time.pending]).toEqual([1, 0])
})
