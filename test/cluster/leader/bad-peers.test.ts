/**
 * What a follower may not do on a stream: each is refused with a reason and counted, and nobody else
 * notices.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { cluster } from '../../../cluster/index.ts'
import { encodeHash, hashText } from '../../../src/core/data/digest.ts'
import { ERROR_TABLE, type ErrorCode } from '../../../src/core/errors.ts'
import { STREAM_PATH } from '../../../src/core/wire/protocol.ts'
import { SocketClient, serve } from '../../server/serve.ts'
import { EngineRig, type RigNode } from '../../support/engine-rig.ts'
import { waitFor } from '../../support/wait.ts'
import { BAD_RECORDS } from '../bad-records.ts'
import { helloOf, RawPeer } from '../raw-peer.ts'

const LIMITS = {
  maxStreams: 5,
  helloTimeoutMs: 5_000,
  maxBufferedBytes: 10_000,
  maxPendingBytes: 20_000,
}

let rig: EngineRig
let leader: RigNode
let follower: RigNode

beforeEach(async () => {
  rig = new EngineRig()
  leader = await rig.add({ host: 'leader', limits: LIMITS })
  await leader.store.set('items/first', '1')
  follower = await rig.add({ host: 'follower', follows: 'leader' })
  await rig.untilInStep(follower)
})
afterEach(() => rig.close())

function record(key: string, data = '1', stamp = '1767225600000000000'): unknown[] {
  return [key, 'stranger', stamp, '0', data]
}

function push(n: number, ...records: unknown[]): object {
  return { t: 'push', n, records }
}

/** Writes at the leader and waits for the honest follower to have it. */
async function honestWorkGoesOn(): Promise<void> {
  await leader.store.set('items/honest', '"still here"')
  await rig.untilInStep(follower)
  await rig.until(
    () => follower.engine.status().links[0]?.cursor === leader.store.head,
    'the honest follower to have the write',
  )
  expect((await follower.store.get('items/honest'))?.data).toBe('"still here"')
  expect(leader.engine.status().followers.map(({ name }) => name)).toEqual(['follower'])
}

function expectRefusal(peer: RawPeer, code: ErrorCode, reason: RegExp): void {
  expect(peer.closedWith?.reason).toMatch(reason)
  expect(peer.closedWith?.code).toBe(ERROR_TABLE[code].closeCode)
  const { counts, latest, total } = leader.engine.status().refusals
  expect(counts).toEqual({ [code]: 1 })
  expect(total).toBe(1)
  expect(latest).toMatchObject([{ code, peer: '192.0.2.66' }])
  expect(latest[0]?.reason).toMatch(reason)
}

const hello = helloOf()
const tooManyScopes = Array.from({ length: 1001 }, (_, i) => `items${i}/*`)
const tooManyRecords = Array.from({ length: 10_001 }, () => [])
const set = { path: 'items/*', except: [] }

const CASES: readonly (readonly [string, readonly unknown[], ErrorCode, RegExp])[] = [
  ['no JSON', ['{"t":"hel'], 'invalid_message', /not JSON/],
  ['JSON that is no object', ['7'], 'invalid_message', /message/],
  ['an unknown kind of message', [{ t: 'conquer' }], 'invalid_message', /"t".*conquer/],
  ['a hello without an id', [helloOf({ id: undefined })], 'invalid_message', /"id"/],
  ['a hello with an id of spaces', [helloOf({ id: 'a b' })], 'invalid_message', /"id".*a b/],
  [
    'a hello with an incarnation of spaces',
    [helloOf({ incarnations: ['a b'] })],
    'invalid_message',
    /"incarnations".*a b/,
  ],
  [
    'a hello with too many incarnations',
    [helloOf({ incarnations: Array.from({ length: 65 }, (_, i) => `i${i}`) })],
    'invalid_message',
    /65 incarnations, the limit is 64/,
  ],
  ['a hello of an old protocol', [helloOf({ protocol: 1 })], 'invalid_message', /protocol 1,/],
  [
    'a hello with too many scopes',
    [helloOf({ scopes: tooManyScopes })],
    'invalid_message',
    /1001 scopes, the limit is 1000/,
  ],
  [
    'a hello with a scope that is no path',
    [helloOf({ scopes: ['a//b'] })],
    'invalid_message',
    /scopes/,
  ],
  [
    'a cursor that is no place in a log',
    [helloOf({ cursor: { epoch: 'e', seq: -1 } })],
    'invalid_message',
    /seq/,
  ],
  ['an ack before hello', [{ t: 'ack', seq: 0 }], 'out_of_order', /before "hello"/],
  ['a push before hello', [push(1)], 'out_of_order', /before "hello"/],
  ['a question before hello', [{ t: 'ask', n: 1, set, nodes: [''] }], 'out_of_order', /before/],
  ['a second hello', [hello, hello], 'out_of_order', /second "hello"/],
  [
    'an ack of what was not sent',
    [hello, { t: 'ack', seq: 99, complete: true }],
    'out_of_order',
    /acknowledged seq 99/,
  ],
  ['an ack of half a row', [hello, { t: 'ack', seq: 0.5 }], 'invalid_message', /"seq".*0.5/],
  ['a push out of turn', [hello, push(2)], 'out_of_order', /push 2 after push 0/],
  ['a push again', [hello, push(1), push(1)], 'out_of_order', /push 1 after push 1/],
  ['an old push again', [hello, push(1), push(2), push(1)], 'out_of_order', /push 1 after push 2/],
  ['too many records', [hello, push(1, ...tooManyRecords)], 'invalid_message', /10001 records/],
  ['records that are no list', [hello, { ...push(1), records: 7 }], 'invalid_message', /records/],
  [
    'a hello without a scope',
    [helloOf({ scopes: [] })],
    'invalid_message',
    /^stream: a hello with no scopes$/,
  ],
  [
    'a question about what it does not follow',
    [hello, { t: 'ask', n: 1, set: { path: 'secret/*', except: [] }, nodes: [''] }],
    'out_of_order',
    /secret/,
  ],
  ['hashes for nothing', [hello, { t: 'have', n: 1, hashes: '' }], 'out_of_order', /awaits none/],
  [
    'more than is stored in time',
    [hello, push(1, record('items/a', `"${'a'.repeat(21_000)}"`)), push(2, record('items/b'))],
    'overloaded',
    /wait, the limits are/,
  ],
]

describe('a follower is refused for', () => {
  test.each(CASES)('%s', async (_what, messages, code, reason) => {
    const peer = new RawPeer(leader)
    for (const message of messages) peer.say(message)
    expectRefusal(peer, code, reason)
    await honestWorkGoesOn()
  })

  test('saying nothing', async () => {
    const peer = new RawPeer(leader)
    await rig.time.advanceAsync(LIMITS.helloTimeoutMs)
    expectRefusal(peer, 'deadline', /no "hello" within 5000 ms/)
    await honestWorkGoesOn()
  })

  test('coming when all streams are taken', async () => {
    const others = [1, 2, 3, 4].map(() => new RawPeer(leader))
    expectRefusal(new RawPeer(leader), 'overloaded', /5 streams are open, the limit is 5/)
    for (const other of others) other.cut()
    const late = new RawPeer(leader)
    late.say(hello)
    expect(late.heard[0]).toBe('welcome')
    late.cut()
    await honestWorkGoesOn()
  })

  test('never acknowledging what it is sent', async () => {
    const peer = new RawPeer(leader)
    peer.say(hello)
    await rig.time.advanceAsync(60_000)
    expectRefusal(peer, 'slow_consumer', /silent for 3 beats/)
    await honestWorkGoesOn()
  })

  test('not reading, even if it talks', async () => {
    const peer = new RawPeer(leader)
    peer.say(hello)
    peer.bufferedBytes = LIMITS.maxBufferedBytes + 1
    peer.say(push(1, record('items/a')))
    await rig.until(() => peer.closedWith !== undefined, 'the end of the stream')
    expectRefusal(peer, 'slow_consumer', /10001 bytes wait to be read, the limit is 10000/)
    await honestWorkGoesOn()
  })

  test('a message larger than the limit, as the WebSocket tells it', async () => {
    const peer = new RawPeer(leader)
    peer.cut(1009, 'Max payload size exceeded')
    expect(leader.engine.status().refusals.counts).toEqual({ too_large: 1 })
    await honestWorkGoesOn()
  })
})

describe('a follower that asks for little', () => {
  test('is sent a window at most until it acknowledges', async () => {
    const peer = new RawPeer(leader)
    peer.say(hello)
    const value = JSON.stringify('v'.repeat(50_000))
    for (let i = 0; i < 60; i++) await leader.store.set(`items/${i}`, value)
    await rig.untilInStep(follower)
    const bytes = peer.sent.join('').length
    // A window of 1 MiB, and the message of 256 KiB that passes it.
    expect(bytes).toBeGreaterThan(1024 * 1024)
    expect(bytes).toBeLessThan(1400 * 1024)
    peer.cut()
    await honestWorkGoesOn()
  })

  test('can not write what it does not follow, nor what the leader does not replicate', async () => {
    const peer = new RawPeer(leader)
    peer.say(helloOf({ scopes: ['items/*', 'private/*'] }))
    peer.say(push(1, record('items/mine'), record('private/a'), record('nodes/forged')))
    await rig.until(() => peer.heard.includes('pushed'), 'the answer')
    const answer = peer.sent.find((text) => text.includes('"pushed"'))
    expect(JSON.parse(answer ?? '')).toMatchObject({ outcomes: ['applied', 'refused', 'refused'] })
    expect(await leader.store.get('private/a')).toBeUndefined()
    expect(await leader.store.get('nodes/forged')).toBeUndefined()
    peer.cut()
    await honestWorkGoesOn()
  })
})

describe('a follower that sends values in pieces', () => {
  const offer = (n: number, key: string, size = 1000): object => ({
    ...{ t: 'offer', n, key, version: '1767225600000000000', origin: 'stranger', size },
    hash: '0123456789abcdef',
  })

  test.each([
    ['two at once', [offer(1, 'items/a'), offer(2, 'items/b')]],
    ['a piece of none', [{ t: 'piece', n: 1, at: 0, data: 'x' }]],
    ['a record whose value never came', [{ ...push(1, record('items/a', 'null')), whole: [0] }]],
    ['a place that is none', [{ ...push(1, record('items/a')), whole: [1] }]],
  ])('is refused for %s', async (_, messages) => {
    const peer = new RawPeer(leader)
    peer.say(helloOf())
    for (const message of messages) peer.say(message)
    await rig.until(() => peer.closedWith !== undefined, 'the end of the stream')
    expect(peer.closedWith?.code).toBe(ERROR_TABLE.invalid_message.closeCode)
    await honestWorkGoesOn()
  })

  test.each([
    ['is longer than may be', offer(1, 'items/a', 2 ** 27), undefined, 'items/a', /134217728/],
    ['is of a glob', offer(1, 'items/*'), undefined, 'items/*', /no key of an entry/],
    [
      'is stamped with a text',
      { ...offer(1, 'items/a'), version: 'now' },
      undefined,
      'items/a',
      /version/,
    ],
    [
      'has another hash',
      offer(1, 'items/a', 5),
      '12345',
      'items/a',
      /not the one that was offered/,
    ],
    ['is longer than was offered', offer(1, 'items/a', 5), '123456', 'items/a', /not the one that/],
    [
      'is no JSON',
      { ...offer(1, 'items/a', 5), hash: encodeHash(hashText('{"a":')) },
      '{"a":',
      'items/a',
      /invalid JSON/,
    ],
  ])('loses alone the record whose value %s', async (_, offered, piece, key, reason) => {
    const peer = new RawPeer(leader)
    peer.say(helloOf())
    peer.say(offered)
    await rig.until(() => peer.heard.includes('got'), 'the place to begin at')
    if (piece !== undefined) peer.say({ t: 'piece', n: 1, at: 0, data: piece })
    peer.say({ ...push(1, record('items/b'), record(key, 'null'), record('items/c')), whole: [1] })
    expect(await answersOf(peer, 1)).toMatchObject([
      { n: 1, outcomes: ['applied', 'denied', 'applied'] },
    ])
    expectRefusedRecord(reason)
    // The next value travels as ever.
    const value = `"${'v'.repeat(100)}"`
    const good = { ...offer(2, 'items/d', value.length), hash: encodeHash(hashText(value)) }
    peer.say(good)
    await rig.until(() => peer.heard.filter((t) => t === 'got').length >= 2, 'the next place')
    peer.say({ t: 'piece', n: 2, at: 0, data: value })
    peer.say({ ...push(2, record('items/d', 'null')), whole: [0] })
    expect(await answersOf(peer, 2)).toMatchObject([{ n: 1 }, { n: 2, outcomes: ['applied'] }])
    peer.cut()
    await honestWorkGoesOn()
  })
})

/** All that `peer` was answered to its pushes, once there are `count` answers. */
async function answersOf(peer: RawPeer, count: number): Promise<unknown[]> {
  const answers = (): { t: string }[] =>
    peer.sent.map((text) => JSON.parse(text) as { t: string }).filter(({ t }) => t === 'pushed')
  await rig.until(() => peer.closedWith !== undefined || answers().length >= count, 'the answer')
  expect(peer.closedWith).toBeUndefined()
  return answers()
}

/** The leader has named one record that it did not take, with the reason and who sent it. */
function expectRefusedRecord(reason: RegExp): void {
  const { count, reasons } = leader.store.refused
  expect([count, reasons.size]).toEqual([1, 1])
  const [text = ''] = reasons.values()
  expect(text).toMatch(reason)
  expect(text).toMatch(/; sent by stranger$/)
}

describe('a record that no node may hold is left out of a push alone:', () => {
  test.each(BAD_RECORDS)('%s', async (_, bad, reason) => {
    const peer = new RawPeer(leader)
    peer.say(helloOf())
    peer.say({
      ...push(1, record('items/b'), bad, record('items/c')),
      seen: ['-', 7, '1767225600000000000@other'],
    })
    peer.say(push(2, record('items/d')))
    expect(await answersOf(peer, 2)).toMatchObject([
      {
        outcomes: ['applied', 'denied', 'applied'],
        reasons: [[1, expect.any(String), expect.stringMatching(reason)]],
      },
      { outcomes: ['applied'] },
    ])
    expectRefusedRecord(reason)
    expect((await leader.store.list('items/*')).map(({ key }) => key).sort()).toEqual(
      ['items/b', 'items/c', 'items/d', 'items/first'].sort(),
    )
    peer.cut()
    await honestWorkGoesOn()
  })
})

test('hundreds of bad peers leave nothing behind but counts', async () => {
  for (let i = 0; i < 500; i++) new RawPeer(leader, `192.0.2.${i % 250}`).say({ t: 'ack', seq: i })
  const { refusals, followers } = leader.engine.status()
  expect(refusals.counts).toEqual({ out_of_order: 500 })
  expect(refusals.latest.length).toBe(20)
  expect(followers.length).toBe(1)
  expect(leader.engine.departed.size).toBe(0)
  await honestWorkGoesOn()
})

test('a frame larger than the limit ends the connection and is counted', async () => {
  const plugin = cluster({ keys: [{ path: 'items/*' }], limits: { maxMessageBytes: 10_000 } })
  const server = await serve({ plugins: [plugin] })
  const client = new SocketClient(`${server.url.replace('http', 'ws')}${STREAM_PATH}`)
  await client.opened
  client.socket.send('x'.repeat(10_001))
  expect(await client.waitClosed()).toMatchObject({ code: 1009 })
  await waitFor(() => plugin.status()?.refusals.counts.too_large === 1)
  expect(plugin.status()?.followers).toEqual([])
})
