import { describe, expect, test } from 'vitest'
import { LATEST_STAMP } from '../../../../src/core/data/clock.ts'
import type { StoredRecord } from '../../../../src/core/data/entry.ts'
import { StateError } from '../../../../src/core/errors.ts'
import { flawOf } from '../../../../src/core/records/check.ts'
import {
  decodeFollowerMessage,
  decodeLeaderMessage,
  encodeMessage,
  STREAM_PROTOCOL,
} from '../../../../src/core/wire/protocol.ts'
import { fc } from '../../../support/property.ts'

const seq = fc.nat()
const stamp = fc.bigInt({ min: 0n, max: LATEST_STAMP })
const id = fc.stringMatching(/^[A-Za-z0-9_-]{1,30}$/)
const key = fc.constantFrom('a', 'items/a-b', 'users/u.1/posts/p_2')
/** JSON texts a double would spoil are among them. */
const data = fc.oneof(
  fc.json().map((text) => JSON.stringify(JSON.parse(text))),
  fc.constantFrom('9007199254740993', '1e400', '1.0', '{"n":0.1000000000000000055}'),
)
const record: fc.Arbitrary<StoredRecord> = fc.oneof(
  fc.record({
    kind: fc.constant('entry' as const),
    key,
    created: stamp,
    updated: stamp,
    origin: id,
    data,
  }),
  fc.record({ kind: fc.constant('tombstone' as const), key, deleted: stamp, origin: id }),
)
const set = fc.record({
  path: fc.constantFrom('items/*', 'settings'),
  except: fc.array(fc.constantFrom('items/a', 'b/*')),
})
const nodes = fc.array(fc.stringMatching(/^[0-9a-f]{0,3}$/))
const lane = fc.nat({ max: 0xffff_ffff })
const hashes = fc.array(fc.stringMatching(/^[0-9a-f]{16}$/)).map((list) => list.join(''))
const position = fc.option(fc.record({ epoch: id, seq }))

describe('every message survives its spelling', () => {
  test('from followers', () => {
    const message = fc.oneof(
      fc.record(
        {
          t: fc.constant('hello' as const),
          protocol: fc.constant(STREAM_PROTOCOL),
          id,
          name: fc.string({ maxLength: 50 }),
          scopes: fc.array(fc.constantFrom('items/*', 'settings', 'a/*/b'), { minLength: 1 }),
          cursor: position,
          seen: position,
          base: position,
          incarnations: fc.array(id, { maxLength: 64 }),
          url: fc.webUrl(),
        },
        { requiredKeys: ['t', 'protocol', 'id', 'name', 'scopes', 'cursor', 'seen', 'base'] },
      ),
      fc.record({ t: fc.constant('ack' as const), seq, complete: fc.boolean() }),
      fc.record({ t: fc.constant('ask' as const), n: seq, set, nodes }),
      fc.record({ t: fc.constant('want' as const), n: seq, set, nodes, after: seq, parts: seq }),
      fc.record({ t: fc.constant('have' as const), n: seq, hashes }),
      fc.record({ t: fc.constant('taken' as const), n: seq, part: seq }),
      fc.record({ t: fc.constant('push' as const), n: seq, records: fc.array(record) }),
      fc.record({ t: fc.constant('terms' as const), n: seq }),
    )
    fc.assert(
      fc.property(message, (sent) => {
        expect(decodeFollowerMessage(encodeMessage(sent))).toEqual(sent)
      }),
    )
  })

  test('from leaders', () => {
    const outcome = fc.constantFrom('applied', 'equal', 'superseded', 'refused', 'drift')
    const message = fc.oneof(
      fc.record({
        t: fc.constant('welcome' as const),
        protocol: fc.constant(STREAM_PROTOCOL),
        id,
        epoch: id,
        head: seq,
        resume: fc.boolean(),
        clock: stamp.map(String),
        continues: fc.boolean(),
        forgotten: stamp.map(String),
      }),
      fc.record({
        t: fc.constant('rows' as const),
        records: fc.array(record),
        through: seq,
        head: seq,
      }),
      fc.record({
        t: fc.constant('pushed' as const),
        n: seq,
        outcomes: fc.array(outcome),
        head: seq,
      }),
      fc.record({ t: fc.constant('beat' as const), through: seq, head: seq }),
      fc.record({
        t: fc.constant('terms' as const),
        n: seq,
        clock: stamp,
        greatest: stamp,
        latest: stamp,
        horizon: stamp,
      }),
      fc.record({
        t: fc.constant('digests' as const),
        n: seq,
        head: seq,
        horizon: stamp,
        digests: fc.array(fc.record({ count: seq, high: lane, low: lane })),
      }),
      fc
        .record({
          t: fc.constant('found' as const),
          n: seq,
          part: seq,
          head: seq,
          records: fc.array(record),
          lacks: hashes,
          last: fc.boolean(),
        })
        .map((found) => ({ ...found, fresh: found.records.length })),
    )
    fc.assert(
      fc.property(message, (sent) => {
        expect(decodeLeaderMessage(encodeMessage(sent))).toEqual(sent)
      }),
    )
  })
})

describe('bad messages are refused, naming the field', () => {
  const row = ['a', 'node', '1', '0', '1']
  const push = (records: unknown): string => JSON.stringify({ t: 'push', n: 1, records })
  const hello = (fields: object): string =>
    JSON.stringify({
      t: 'hello',
      protocol: 1,
      id: 'f',
      name: '',
      scopes: ['a'],
      cursor: null,
      seen: null,
      base: null,
      ...fields,
    })

  const ask = (fields: object): string =>
    JSON.stringify({ t: 'ask', n: 1, set: { path: 'a/*', except: [] }, nodes: [], ...fields })

  test.each([
    ['not JSON', '{', 'not JSON'],
    ['not an object', '3', 'message'],
    ['unknown type', '{"t":"x"}', '"t"'],
    ['negative seq', '{"t":"ack","seq":-1}', '"seq"'],
    ['fractional seq', '{"t":"ack","seq":1.5}', '"seq"'],
    ['seq as text', '{"t":"ack","seq":"1"}', '"seq"'],
    ['records missing', '{"t":"push","n":1}', '"records"'],
    ['no scope', hello({ scopes: [] }), 'a hello with no scopes'],
    ['too many records', push(Array.from({ length: 10_001 }, () => row)), 'limit is 10000'],
    ['scope invalid', hello({ scopes: ['/a'] }), '"scopes"'],
    ['cursor without epoch', hello({ cursor: { seq: 1 } }), '"cursor.epoch"'],
    ['id missing', hello({ id: 7 }), '"id"'],
    ['node beyond the leaves', ask({ nodes: ['abcd'] }), '"nodes"'],
    ['too many nodes', ask({ nodes: Array.from({ length: 4097 }, () => '') }), 'limit is 4096'],
    ['set missing', ask({ set: null }), '"set"'],
    ['exception invalid', ask({ set: { path: 'a', except: ['/'] } }), '"scopes"'],
    ['half a hash', '{"t":"have","n":1,"hashes":"01234567"}', '"hashes"'],
    ['hash that is none', '{"t":"have","n":1,"hashes":"0123456789abcdeX"}', '"hashes"'],
    ['too many hashes', `{"t":"have","n":1,"hashes":"${'0'.repeat(65_537 * 16)}"}`, '"hashes"'],
  ])('%s', (_name, text, part) => {
    expect(() => decodeFollowerMessage(text)).toThrow(part)
  })

  test('but for records that no node may hold, which keep their places and are refused alone', () => {
    const bad = [['a', 'n', String(LATEST_STAMP + 1n), '0', '1'], ['a', 'n', '1', '0'], 7]
    const decoded = decodeFollowerMessage(push([row, ...bad, row]))
    if (decoded.t !== 'push') throw new Error(decoded.t)
    expect(decoded.records.map((one) => flawOf(one)?.text)).toEqual([
      undefined,
      expect.stringMatching(/^stamp 7258118400000000001/),
      expect.stringMatching(/^4 parts/),
      expect.stringMatching(/^7 is no record/),
      undefined,
    ])
    const found = { t: 'found', n: 1, part: 1, head: 9, records: [row, 7, row], fresh: 2 }
    const reply = JSON.stringify({ ...found, lacks: '', last: true, whole: [2] })
    expect(decodeLeaderMessage(reply)).toMatchObject({ fresh: 2, whole: [2] })
  })

  test('random texts and JSON values never throw anything but a StateError', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        for (const decode of [decodeFollowerMessage, decodeLeaderMessage]) {
          try {
            decode(text)
          } catch (error) {
            expect(error).toBeInstanceOf(StateError)
          }
        }
      }),
      { numRuns: 500 },
    )
  })
})
