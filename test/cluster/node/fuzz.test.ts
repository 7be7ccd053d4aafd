/**
 * Peers that talk nonsense which looks right. Nothing they say makes a handler throw, stops the
 * replication of others, or leaves anything behind. Seeds: OOO_FUZZ_SEED is the first,
 * OOO_FUZZ_CASES how many.
 */
import { expect, test } from 'vitest'
import type { DialRequest, SocketHandlers, Transport } from '../../../src/core/ports/transport.ts'
import { STREAM_PROTOCOL } from '../../../src/core/wire/protocol.ts'
import { EngineRig, type RigNode } from '../../support/engine-rig.ts'
import { SeededRandom } from '../../support/seeded-random.ts'
import { damage, shuffle } from '../fuzz-frames.ts'
import { helloOf, RawPeer } from '../raw-peer.ts'

const FIRST = Number(process.env.OOO_FUZZ_SEED ?? 1)
const CASES = Number(process.env.OOO_FUZZ_CASES ?? 2_000)

/** How much of a conversation is left whole: the more, the further it gets. */
const WHOLE = [0.4, 0.8, 0.95]
const STAMP = '1767225600000000000'
const SET = { path: 'items/*', except: [] }
const RECORDS = [
  ['items/a', 'stranger', STAMP, '0', '{"n":1}'],
  ['items/b', 'stranger', STAMP, STAMP, '2'],
  ['items/c', 'stranger', STAMP],
]

/** What a follower may say, in an order that is right. */
const FOLLOWER_SAYS = [
  helloOf() as { [name: string]: never },
  { t: 'ack', seq: 0, complete: false },
  { t: 'terms', n: 1 },
  { t: 'ask', n: 1, set: SET, nodes: [''] },
  { t: 'ask', n: 2, set: SET, nodes: ['0', 'a', 'f'] },
  { t: 'want', n: 3, set: SET, nodes: ['a3f', '0'], after: 0, parts: 2 },
  { t: 'have', n: 3, hashes: '0123456789abcdef'.repeat(3) },
  { t: 'have', n: 3, hashes: '' },
  { t: 'taken', n: 3, part: 1 },
  { t: 'push', n: 1, records: RECORDS },
  { t: 'push', n: 2, records: [], seen: [] },
  { t: 'ack', seq: 2, complete: true },
]

/** What a leader may say. */
const LEADER_SAYS = [
  {
    t: 'welcome',
    protocol: STREAM_PROTOCOL,
    id: 'l',
    epoch: 'e1',
    head: 9,
    resume: false,
    clock: STAMP,
    forgotten: '0',
    continues: false,
  },
  { t: 'terms', n: 0, clock: STAMP, greatest: STAMP, latest: STAMP, horizon: '0' },
  { t: 'rows', records: [], through: 9, head: 9 },
  { t: 'digests', n: 1, head: 9, horizon: '0', digests: ['3:0123456789abcdef'] },
  {
    t: 'digests',
    n: 2,
    head: 9,
    horizon: '0',
    digests: Array.from({ length: 16 }, () => '1:0123456789abcdef'),
  },
  { t: 'found', n: 3, part: 1, head: 9, records: RECORDS, fresh: 0, lacks: '', last: true },
  { t: 'rows', records: RECORDS, through: 12, head: 12 },
  { t: 'pushed', n: 1, outcomes: ['applied'], head: 13 },
  { t: 'beat', through: 13, head: 13 },
]

/** Refusals and drops are what is expected; a throw out of a handler fails the test with its seed. */
function guarded(seed: number, action: () => void): void {
  try {
    action()
  } catch (error) {
    throw new Error(`seed ${seed}: a handler threw`, { cause: error })
  }
}

test(`a leader outlives ${CASES} followers that talk nonsense (OOO_FUZZ_SEED=${FIRST})`, async () => {
  const rig = new EngineRig()
  const leader = await rig.add({ host: 'leader', limits: { maxStreams: 50 } })
  await leader.store.set('items/x', '1')
  const honest = await rig.add({ host: 'honest', follows: 'leader' })
  await rig.untilInStep(honest)
  let sentBytes = 0
  let saidBytes = 0
  for (let seed = FIRST; seed < FIRST + CASES; seed++) {
    const random = new SeededRandom(seed)
    const whole = random.pick(WHOLE)
    const peer = new RawPeer(leader)
    for (const message of shuffle(random, FOLLOWER_SAYS)) {
      const text = damage(random, message, whole)
      saidBytes += text.length
      guarded(seed, () => peer.say(text))
      if (random.chance(0.3)) await new Promise(setImmediate)
    }
    if (random.chance(0.9)) guarded(seed, () => peer.cut())
    sentBytes += peer.sent.join('').length
    if (seed % 100 !== 0) continue
    await leader.store.set('items/honest', String(seed))
    await rig.untilInStep(honest)
  }
  // Those that were not cut are ended for their silence.
  await rig.time.advanceAsync(60_000)
  await agree(rig, leader, honest)
  const { followers, refusals } = leader.engine.status()
  expect(followers.map(({ name }) => name)).toEqual(['honest'])
  expect(refusals.counts.invalid_message).toBeGreaterThan(CASES / 4)
  expect(refusals.counts.out_of_order).toBeGreaterThan(CASES / 20)
  expect(sentBytes).toBeLessThan(saidBytes)
  await rig.close()
}, 600_000)

/** Dials reach a false leader until `isHonest`, then the network below. */
class FalseLeader implements Transport {
  isHonest = false
  dials = 0
  readonly #network: Transport
  #seed = FIRST - 1

  constructor(network: Transport) {
    this.#network = network
  }

  get played(): number {
    return this.#seed - FIRST + 1
  }

  dial(request: DialRequest, opened: () => void, handlers: SocketHandlers) {
    if (this.isHonest) return this.#network.dial(request, opened, handlers)
    const seed = ++this.#seed
    let isOpen = true
    const end = (code: number, reason: string): void => {
      if (!isOpen) return
      isOpen = false
      handlers.close({ code, reason })
    }
    setImmediate(() => {
      opened()
      void this.#play(seed, handlers, () => isOpen).then(() => end(1006, ''))
    })
    return {
      bufferedBytes: 0,
      send: () => undefined,
      close: end,
      terminate: () => end(1006, ''),
    }
  }

  async #play(seed: number, handlers: SocketHandlers, isOpen: () => boolean): Promise<void> {
    const random = new SeededRandom(seed)
    const whole = random.pick(WHOLE)
    // The hello comes first, so that not every conversation ends before it began.
    await new Promise(setImmediate)
    for (const message of shuffle(random, LEADER_SAYS)) {
      const text = damage(random, message, whole)
      if (isOpen()) guarded(seed, () => handlers.message(text))
      if (random.chance(0.5)) await new Promise(setImmediate)
    }
  }
}

test(`a follower outlives ${CASES} leaders that talk nonsense (OOO_FUZZ_SEED=${FIRST})`, async () => {
  const rig = new EngineRig()
  const leader = await rig.add({ host: 'leader' })
  await leader.store.set('items/real', '"from the leader"')
  const transport = new FalseLeader(rig.transport('victim'))
  const victim = await rig.add({
    host: 'victim',
    follows: 'leader',
    transport,
    limits: { reconnectInitialMs: 1, reconnectMaxMs: 2, maxPendingBytes: 5_000_000 },
  })
  for (let writes = 0; transport.played < CASES; writes++) {
    // Clients of the follower notice nothing.
    await victim.store.set('items/own', String(writes))
    await rig.time.advanceAsync(5)
  }
  transport.isHonest = true
  await rig.untilInStep(victim)
  await agree(rig, leader, victim)
  expect((await victim.store.get('items/real'))?.data).toBe('"from the leader"')
  const { counts } = victim.engine.status().refusals
  expect(counts.invalid_message).toBeGreaterThan(CASES / 4)
  expect(counts.out_of_order).toBeGreaterThan(CASES / 20)
  await rig.close()
}, 600_000)

/** Both hold the same, and a new write travels both ways. */
async function agree(rig: EngineRig, leader: RigNode, follower: RigNode): Promise<void> {
  await leader.store.set('items/down', '1')
  await follower.store.set('items/up', '1')
  await rig.untilInStep(follower)
  await rig.until(
    () => follower.engine.status().links[0]?.cursor === leader.store.head,
    'the last write',
  )
  const [own, other] = await Promise.all(
    [leader, follower].map(({ store }) => store.list('items/*')),
  )
  expect(other).toEqual(own)
  expect(other?.map(({ key }) => key)).toEqual(expect.arrayContaining(['items/down', 'items/up']))
}
