/** What is kept on disk of the leaders that a node follows and followed. */
import { expect, it } from 'vitest'
import { planPlacement } from '../../../../cluster/members/placement.ts'
import {
  encodeProgress,
  horizonRow,
  loadProgress,
  settlePlacement,
} from '../../../../cluster/progress/link-progress.ts'
import { metaRow } from '../../../../src/store/format/rows.ts'
import { progressRow } from '../../../../src/store/lineage/link-rows.ts'
import { MemoryStorage } from '../../../../storage-adapters/memory/memory.ts'
import { openStore } from '../../../support/store.ts'

it('leaders that were followed long ago leave nothing behind', async () => {
  const adapter = new MemoryStorage()
  const store = await openStore({ adapter })
  let ids = 0
  const url = (n: number): string => `http://10.0.0.${n}:8800`
  const follow = async (n: number): Promise<string> => {
    const id = await settlePlacement(
      store,
      planPlacement([{ path: 'items/*' }], url(n), 'nodes/*'),
      () => `p${++ids}`,
    )
    const cursor = { epoch: `e${n}`, seq: n }
    const progress = encodeProgress(id, { cursor, seen: null })
    await store.saveMeta(new Map([[progressRow(url(n)), progress]]))
    await store.saveMeta(new Map([[horizonRow(url(n)), '7']]))
    return id
  }
  for (let n = 0; n < 100; n++) await follow(n)
  const id = await follow(99)
  const kept = async (n: number): Promise<unknown[]> => {
    const names = [progressRow(url(n)), horizonRow(url(n))]
    const rows = await adapter.getMany(names.map(metaRow))
    return [...names.map((name) => store.meta(name)), ...rows].map((text) => text !== undefined)
  }
  expect(loadProgress(store, url(99), id).cursor).toEqual({ epoch: 'e99', seq: 99 })
  expect(await kept(99)).toEqual([true, true, true, true])
  expect(await kept(98)).toEqual([true, true, true, true])
  for (let n = 0; n < 50; n++) expect(await kept(n)).toEqual([false, false, false, false])
  await store.close()
  await adapter.open()
  const again = await openStore({ adapter })
  expect(again.meta(progressRow(url(0)))).toBeUndefined()
  expect(again.meta(progressRow(url(99)))).toBeDefined()
})
