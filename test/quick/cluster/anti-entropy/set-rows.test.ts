import { expect, test } from 'vitest'
import { HashSet } from '../../../../cluster/anti-entropy/hash-set.ts'
import { settleUnknown } from '../../../../cluster/anti-entropy/set-rows.ts'
import { hashText } from '../../../../src/core/data/digest.ts'
import { versionOf } from '../../../../src/core/data/entry.ts'
import { ManualTime, openStore } from '../../../support/store.ts'

const LEADER = 'http://l'

test('what the leader acknowledged while the two compared is not enqueued again: what is written over it has seen it', async () => {
  const time = new ManualTime()
  const store = await openStore({ time, leaderOf: () => LEADER })
  await store.set('a', '1')
  const rows = await store.pending(LEADER, 10, new Set())
  const sent = rows.map(({ seq, record }) => ({ seq, key: record.key }))
  await store.acknowledge(LEADER, sent, new Map())
  const acknowledged = new HashSet()
  acknowledged.add(hashText('a'))
  const retention = { forgotten: 0n, removed: 0n, horizon: 0n, isWanted: () => true }
  const doubts = { isApart: () => false, doubted: () => undefined }
  const reading = { store, time, set: { path: 'a', except: [] }, nodes: [''] }
  const unknown = { leader: LEADER, lacks: undefined, underWay: new HashSet(), acknowledged }
  await settleUnknown(reading, { ...unknown, ...retention, ...doubts })
  expect(store.pendingCount(LEADER)).toBe(0)
  const [first] = rows.map(({ record }) => record)
  if (first === undefined) throw new Error('nothing was owed')
  await store.set('a', '2')
  expect(await store.pending(LEADER, 10, new Set())).toMatchObject([
    { causalContext: `${versionOf(first)}@${first.origin}` },
  ])
})
