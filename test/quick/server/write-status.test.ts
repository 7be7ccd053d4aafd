/** What the record of a key tells of a write. */
import { describe, expect, it } from 'vitest'
import { standingOf } from '../../../src/server/write-status/status.ts'
import { openStore } from '../../support/store.ts'

const LEADER = 'http://leader'

describe('a write that was given a lesser stamp', () => {
  it('is found under its first id, and under each of its later ones', async () => {
    const store = await openStore({ leaderOf: () => LEADER })
    const first = await store.set('a', '1')
    const ids = [first]
    for (let i = 0; i < 2; i++) {
      const [row] = await store.pending(LEADER, 1, new Set())
      await store.restamp(LEADER, [{ key: 'a', seq: row?.seq ?? 0 }], first.version - 1000n)
      const { record } = (await store.keyState('a')) ?? {}
      if (record?.kind !== 'entry') throw new Error('no entry')
      ids.push({ ...first, origin: record.origin, version: record.created })
    }
    expect(new Set(ids.map(({ origin }) => origin)).size).toBeGreaterThan(1)
    const { record } = (await store.keyState('a')) ?? {}
    for (const id of ids) expect(standingOf(id, record)).toEqual({ isKnown: true })
    const later = await store.set('a', '2')
    const { origin, version } = later
    const standing = standingOf(first, (await store.keyState('a'))?.record)
    expect(standing).toEqual({ isKnown: true, overriddenBy: { origin, version } })
    expect(version).toBeLessThan(first.version + 1000n)
    await store.close()
  })

  it('is not taken for a write of another node with that stamp', async () => {
    const store = await openStore({ leaderOf: () => LEADER })
    const first = await store.set('a', '1')
    const [row] = await store.pending(LEADER, 1, new Set())
    await store.restamp(LEADER, [{ key: 'a', seq: row?.seq ?? 0 }], first.version - 1000n)
    const id = { origin: 'stranger', version: first.version }
    expect(standingOf(id, (await store.keyState('a'))?.record)).toEqual({ isKnown: false })
    await store.close()
  })
})
