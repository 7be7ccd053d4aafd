/**
 * What a leader may not say to a follower: the link is dropped with a reason that is counted, what
 * the follower holds stays as it was, and it serves on and dials again.
 */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ERROR_TABLE, type ErrorCode } from '../../../src/core/errors.ts'
import { STREAM_PROTOCOL } from '../../../src/core/wire/protocol.ts'
import { EngineRig, type RigNode } from '../../support/engine-rig.ts'
import { type FakeDial, FakeTransport } from '../../support/fake-transport.ts'
import { BAD_RECORDS } from '../bad-records.ts'

const STAMP = '1767225600000000000'
const LIMITS = { maxPendingBytes: 20_000, maxBufferedBytes: 10_000 }

let rig: EngineRig
let transport: FakeTransport
let follower: RigNode

beforeEach(async () => {
  rig = new EngineRig()
  transport = new FakeTransport()
  follower = await rig.add({ host: 'follower', follows: 'leader', transport, limits: LIMITS })
  transport.last.accept()
  await rig.until(() => transport.last.sent.length > 0, 'the hello')
})
afterEach(() => rig.close())

function welcomeOf(changes: Readonly<Record<string, unknown>> = {}): object {
  return {
    t: 'welcome',
    protocol: STREAM_PROTOCOL,
    id: 'l',
    epoch: 'e1',
    head: 5,
    resume: false,
    clock: STAMP,
    forgotten: '0',
    continues: false,
    ...changes,
  }
}

function rowsOf(through: number, ...records: unknown[]): object {
  return { t: 'rows', records, through, head: Math.max(through, 5) }
}

const record = (key: string, data = '1'): unknown[] => [key, 'l', STAMP, '0', data]
const welcome = welcomeOf()

const CASES: readonly (readonly [string, readonly unknown[], ErrorCode, RegExp])[] = [
  ['no JSON', ['}{'], 'invalid_message', /not JSON/],
  ['an unknown kind of message', [welcome, { t: 'obey' }], 'invalid_message', /obey/],
  ['rows before a welcome', [rowsOf(5)], 'out_of_order', /"rows" before "welcome"/],
  ['a second welcome', [welcome, welcome], 'out_of_order', /second "welcome"/],
  ['another protocol', [welcomeOf({ protocol: 99 })], 'out_of_order', /protocol 99/],
  [
    'a log that goes back',
    [welcome, rowsOf(9), rowsOf(7)],
    'out_of_order',
    /through 7 of 7 after 9/,
  ],
  [
    'more than its log has',
    [welcome, { t: 'beat', through: 12, head: 9 }],
    'out_of_order',
    /through 12 of 9/,
  ],
  [
    'an answer to no push',
    [welcome, { t: 'pushed', n: 1, outcomes: ['applied'], head: 9 }],
    'out_of_order',
    /answer to push 1/,
  ],
  [
    'what was not asked for',
    [welcome, { t: 'found', n: 9, part: 1, head: 5, records: [], fresh: 0, lacks: '', last: true }],
    'out_of_order',
    /not asked for/,
  ],
]

function expectDrop(dial: FakeDial, code: ErrorCode, reason: RegExp): void {
  const { refusals, links } = follower.engine.status()
  expect(refusals.latest.map((refusal) => refusal.reason).join()).toMatch(reason)
  expect(dial.closedWith?.code).toBe(ERROR_TABLE[code].closeCode)
  expect(refusals.total).toBe(1)
  expect(refusals.latest[0]?.peer).toBe('http://leader')
  expect(links[0]).toMatchObject({ state: 'offline', lastError: expect.stringMatching(reason) })
}

/** Clients are served, and another connection is tried. */
async function servesOn(): Promise<void> {
  await follower.store.set('items/own', '1')
  const dials = transport.dials.length
  await rig.time.advanceAsync(5_000)
  expect(transport.dials.length).toBeGreaterThan(dials)
}

test.each(CASES)('%s', async (_what, messages, code, reason) => {
  const dial = transport.last
  for (const message of messages) {
    if (dial.phase !== 'open') break
    dial.message(typeof message === 'string' ? message : JSON.stringify(message))
    await rig.time.advanceAsync(0)
  }
  expectDrop(dial, code, reason)
  expect(await follower.store.list('items/*')).toEqual([])
  await servesOn()
})

test.each(BAD_RECORDS)(
  'a record that no node may hold is left out alone: %s',
  async (_, bad, reason) => {
    const dial = transport.last
    const said = (text: unknown): void => dial.message(JSON.stringify(text))
    said(welcomeOf({ head: 0 }))
    said(rowsOf(6, record('items/a1'), bad, record('items/a2')))
    said(rowsOf(7, record('items/a3')))
    const acks = (): number[] =>
      dial.sent
        .map((text) => JSON.parse(text) as { t: string; seq: number })
        .flatMap(({ t, seq }) => (t === 'ack' ? [seq] : []))
    await rig.until(
      () => dial.phase !== 'open' || acks().at(-1) === 7,
      'the rows to be acknowledged',
    )
    expect(dial.phase).toBe('open')
    expect((await follower.store.list('items/*')).map(({ key }) => key).sort()).toEqual([
      ...['items/a1', 'items/a2', 'items/a3'],
    ])
    const { count, reasons } = follower.store.refused
    const [text = ''] = reasons.values()
    expect([count, text]).toEqual([1, expect.stringMatching(reason)])
    expect(text).toMatch(/; sent by http:\/\/leader$/)
    expect(follower.engine.status().refusals.total).toBe(0)
  },
)

test('a write that the leader refuses for good leaves the outbox, and its fate says why', async () => {
  const dial = transport.last
  const said = (text: unknown): void => dial.message(JSON.stringify(text))
  const conflicts = follower.store.conflictLog({
    ...{ maxEntries: 10, oldNs: () => 0n, now: () => 1n, scopeOf: () => 'items/*' },
    onError: (error) => expect(error).toBeUndefined(),
  })
  said(welcomeOf({ head: 0, continues: true }))
  said(rowsOf(5))
  for (const n of [1, 2]) {
    await follower.store.set(`items/${n}`, String(n))
    const pushed = (): boolean =>
      dial.sent
        .map((text) => JSON.parse(text) as { t: string; n: number })
        .some((message) => message.t === 'push' && message.n === n)
    await rig.until(pushed, `push ${n}`)
    said({
      ...{ t: 'pushed', n, outcomes: ['denied'], head: 5 },
      reasons: [[0, n === 1 ? 'invalid_key' : 'of_later', 'not here']],
    })
    await rig.until(() => follower.engine.status().links[0]?.outbox === 0, 'an empty outbox')
  }
  expect(follower.engine.status().links[0]).toMatchObject({ denied: 2, refused: 0 })
  const listed = await conflicts.list({ limit: 10 })
  expect(listed.map(({ key, refusedFor }) => [key, refusedFor]).sort()).toEqual([
    ['items/1', 'invalid_key'],
    ['items/2', 'invalid_message'],
  ])
})

test('more than can be stored in time', async () => {
  const dial = transport.last
  dial.message(JSON.stringify(welcome))
  for (let seq = 6; seq < 500 && dial.phase === 'open'; seq++) {
    dial.message(JSON.stringify(rowsOf(seq, record(`items/${seq}`, `"${'x'.repeat(500)}"`))))
  }
  expectDrop(dial, 'overloaded', /bytes wait to be stored/)
  await servesOn()
  // What was taken before is stored; no more than the limit and one message.
  const stored = await follower.store.list('items/*')
  expect(stored.length * 500).toBeLessThan(LIMITS.maxPendingBytes + 1000)
})

test('silence', async () => {
  const dial = transport.last
  dial.message(JSON.stringify(welcome))
  await rig.time.advanceAsync(41_000)
  expect(dial.closedWith?.code).toBe(ERROR_TABLE.deadline.closeCode)
  expect(follower.engine.status().refusals.counts.deadline).toBe(1)
})

test('not reading what the follower says', async () => {
  const dial = transport.last
  dial.bufferedBytes = LIMITS.maxBufferedBytes + 1
  dial.message(JSON.stringify(welcome))
  await rig.until(() => dial.phase === 'terminated', 'the end of the connection')
  expect(follower.engine.status().refusals.counts).toEqual({ slow_consumer: 1 })
  await servesOn()
})
