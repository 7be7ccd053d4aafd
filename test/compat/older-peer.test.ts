/**
 * A peer of stream protocol 2 knows no fields of records. It gets none, and what it compares with agrees:
 * else each comparison with it would find a difference that no repair removes.
 */
import { afterEach, describe, expect, it } from 'vitest'
import { addDigests, EMPTY_DIGEST, encodeDigest, hashRecord } from '../../src/core/data/digest.ts'
import { type StoredRecord, withMarks } from '../../src/core/data/entry.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import { helloOf, RawPeer } from '../cluster/raw-peer.ts'
import { EngineRig, type RigNode } from '../support/engine-rig.ts'
import { FAKE_START_NS } from '../support/fake-time.ts'
import { waitFor } from '../support/wait.ts'
import { isAnswered, OldLeader, parse, Recording } from './recording.ts'

const WAIT = { deadlineMs: 20_000 }
const DAY_NS = 86_400_000_000_000n
const SET = { path: 'items/*', except: [] }

const at = { created: FAKE_START_NS - 1000n, updated: 0n, origin: 'x-r1' }
const MARKS = `${FAKE_START_NS + 100_000_000_000n}@x`
const RECORDS: readonly StoredRecord[] = [
  withMarks({ kind: 'entry', key: 'items/marked', data: '1', ...at }, MARKS),
  { kind: 'entry', key: 'items/later', data: '2', ...at, fields: { later: 'x', marks: MARKS } },
  { kind: 'entry', key: 'items/plain', data: '3', ...at, origin: 'y' },
  withMarks({ kind: 'tombstone', key: 'items/gone', deleted: at.created, origin: 'x-r1' }, MARKS),
]
/** A tombstone older than the retention, which its mark keeps. */
const KEPT: StoredRecord = withMarks(
  { kind: 'tombstone', key: 'items/kept', deleted: FAKE_START_NS - 30n * DAY_NS, origin: 'x-r1' },
  MARKS,
)

const rigs: EngineRig[] = []
afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.close()
})

/** Of a node that has been up for a week, the retention, before it was started. */
const LIVED = `${7n * DAY_NS} tombstones=0:${FAKE_START_NS - 7n * DAY_NS}`

async function leaderWith(records: readonly StoredRecord[]): Promise<RigNode> {
  const rig = new EngineRig()
  rigs.push(rig)
  const fill = async (store: ReplicationStore): Promise<void> => {
    await store.saveMeta(new Map([['lived', LIVED]]))
    await store.merge(records, { source: 'x' })
  }
  return rig.add({ host: 'leader', fill })
}

/** Says it and gives the answers. */
async function ask(peer: RawPeer, message: { t: string; n: number }): Promise<string[]> {
  peer.say(message)
  await waitFor(() => isAnswered(peer, message), { ...WAIT, what: message.t })
  return peer.sent.filter((text) => parse(text).n === message.n)
}

const digestOf = (records: readonly StoredRecord[], protocol: number): string =>
  encodeDigest(
    records.reduce(
      (sum, record) => addDigests(sum, { count: 1, ...hashRecord(record, protocol) }),
      EMPTY_DIGEST,
    ),
  )

/** Everything that a leader says to a follower of this protocol: a comparison, and live changes. */
async function hearAll(protocol: number): Promise<readonly string[]> {
  const leader = await leaderWith(RECORDS)
  const peer = new RawPeer(leader)
  peer.say(helloOf({ protocol }))
  await waitFor(() => peer.heard.includes('rows'), WAIT)
  await ask(peer, { t: 'ask', n: 1, ...{ set: SET, nodes: [''] } })
  const wanted = { set: SET, nodes: [''], after: leader.store.head, parts: 0 }
  await ask(peer, { t: 'want', n: 2, ...wanted })
  peer.say({ t: 'ack', seq: leader.store.head, complete: true })
  const live = RECORDS.map((record) => ({ ...record, key: `${record.key}-live` }))
  await leader.store.merge(live, { source: 'x' })
  const { head } = leader.store
  await waitFor(() => peer.sent.some((text) => parse(text).through === head), WAIT)
  return peer.sent
}

describe('a follower of stream protocol 2', () => {
  it('never gets a field of a record, which one of protocol 3 does', async () => {
    const [older, newer] = [await hearAll(2), await hearAll(3)]
    for (const kind of ['found', 'rows']) {
      const textOf = (sent: readonly string[]): string =>
        sent.filter((text) => parse(text).t === kind).join('\n')
      expect(textOf(newer)).toContain(`"marks":"${MARKS}"`)
      expect(textOf(newer)).toContain('"later":"x"')
      expect(textOf(older)).toContain('items/marked')
      expect(textOf(older)).toContain('items/gone')
    }
    const all = older.join('\n')
    expect(all).not.toMatch(/marks|later":|x"}/)
    const records = older.flatMap((text) => parse(text).records ?? [])
    expect(records.length).toBe(RECORDS.length * 2)
    expect(records.filter((record) => typeof record.at(-1) !== 'string')).toEqual([])
  })

  it.each([2, 3])(
    'as one of protocol %i agrees by digest on keys that have marks',
    async (protocol) => {
      const leader = await leaderWith(RECORDS)
      const peer = new RawPeer(leader)
      peer.say(helloOf({ protocol }))
      const [answer = ''] = await ask(peer, { t: 'ask', n: 1, ...{ set: SET, nodes: [''] } })
      expect(JSON.parse(answer)).toMatchObject({ digests: [digestOf(RECORDS, protocol)] })
      expect(digestOf(RECORDS, 2)).not.toBe(digestOf(RECORDS, 3))
    },
  )

  it('agrees on a tombstone that is kept for its marks, which it removes itself', async () => {
    const leader = await leaderWith([...RECORDS, KEPT])
    const digests: string[] = []
    for (const protocol of [2, 3]) {
      const peer = new RawPeer(leader)
      peer.say(helloOf({ protocol, id: `of-${protocol}` }))
      const [answer = ''] = await ask(peer, { t: 'ask', n: 1, ...{ set: SET, nodes: [''] } })
      digests.push(...(JSON.parse(answer) as { digests: string[] }).digests)
    }
    expect(digests).toEqual([digestOf(RECORDS, 2), digestOf([...RECORDS, KEPT], 3)])
    // Also when it comes, or goes, once the digests are counted.
    await leader.store.merge([{ ...KEPT, key: 'items/kept-2' }], { source: 'x' })
    const peer = new RawPeer(leader)
    peer.say(helloOf({ protocol: 2 }))
    const [answer = ''] = await ask(peer, { t: 'ask', n: 1, ...{ set: SET, nodes: [''] } })
    expect(JSON.parse(answer)).toMatchObject({ digests: [digestOf(RECORDS, 2)] })
  })
})

describe('a leader of stream protocol 2', () => {
  it('is never pushed a field of a record', async () => {
    const recording = new Recording('compat')
    const rig = new EngineRig()
    rigs.push(rig)
    rig.time.advance(Number((recording.startNs - FAKE_START_NS) / 1_000_000n))
    const old = new OldLeader(recording)
    const follower = await rig.add({
      host: 'follower',
      keys: ['items/*', 'settings'],
      follows: 'http://leader',
      transport: old.transport,
      fill: async (store) => {
        await recording.fillFollower(store)
        await store.merge(RECORDS, { source: 'x' })
      },
    })
    await rig.until(() => follower.engine.status().links[0]?.state === 'live', 'a live link')
    await rig.until(() => follower.engine.status().links[0]?.outbox === 0, 'an empty outbox')
    const pushed = old.heard
      .filter((text) => parse(text).t === 'push')
      .flatMap((text) => parse(text).records ?? [])
    const keys = pushed.map(([key]) => key)
    expect(keys).toEqual(expect.arrayContaining(RECORDS.map(({ key }) => key)))
    expect(pushed.filter((record) => typeof record.at(-1) !== 'string')).toEqual([])
    expect((await follower.store.keyState('items/later'))?.record.fields).toMatchObject({
      later: 'x',
    })
  })
})
