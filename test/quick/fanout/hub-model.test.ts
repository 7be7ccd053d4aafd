/**
 * Random programs of writes, reads that take their time, slow connections and reconnects. Whatever
 * the order, each frame takes a subscriber from one state of the source to the next, a snapshot perhaps
 * to a later one; and one that has been heard out holds exactly what the source holds.
 */

import { expect, it } from 'vitest'
import { EMPTY_META, metaJson, metaListJson } from '../../../src/core/data/entry.ts'
import { hasGlob, matchKey } from '../../../src/core/keys/key.ts'
import type { Subscription } from '../../../src/fanout/hub.ts'
import { fc } from '../../support/property.ts'
import { canonicalText } from '../core/exact-apply.ts'
import { createBench, FakeSink, type FakeSource, settle } from './fake-source.ts'
import { type Places, StateHistory } from './state-history.ts'

const PATTERNS = ['*', 'a', 'a/*', 'a*', 'a/*/b', '*/*', 'a/1', 'b-c.d/*', 'a/*1'] as const
const KEYS = ['a', 'ab', 'b', 'a/1', 'a/2', 'a/x_1', 'b-c.d/e_f', 'a/1/b', 'a/2/b', 'b/1'] as const
const DATA = [
  '{"n":9007199254740993,"t":"é"}',
  '{"n":9007199254740992,"list":[1,2,3]}',
  '{"n":9007199254740992,"list":[1,3],"deep":{"a/b":{"~":0.10}}}',
  '[1,2,3]',
  '[0,1,2,3]',
  '1',
  '1.0',
  'null',
  '{"__proto__":1}',
  `"${'long '.repeat(80)}"`,
] as const

type Step =
  | { do: 'set'; key: string; data: string; created: bigint | undefined }
  | { do: 'delete'; pattern: string }
  | { do: 'join' | 'leave' | 'reconnect' | 'stick' | 'drain'; client: number; pattern: string }
  | { do: 'reshape'; pattern: string }
  | { do: 'hold' | 'answer' | 'tick' | 'fail' | 'lag' | 'announce' }

const client = fc.nat({ max: 4 })
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('set' as const),
      key: fc.constantFrom(...KEYS),
      data: fc.constantFrom(...DATA),
      created: fc.option(fc.bigInt({ min: 1n, max: 10n ** 19n }), { nil: undefined, freq: 8 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('delete' as const),
      pattern: fc.constantFrom(...KEYS, ...PATTERNS),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom('join', 'leave', 'reconnect', 'reconnect', 'stick', 'drain'),
      client,
      pattern: fc.constantFrom(...PATTERNS),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('reshape' as const),
      pattern: fc.constantFrom(...PATTERNS),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('hold', 'answer', 'tick', 'fail', 'lag', 'announce'),
    }),
  },
)

interface Client {
  readonly pattern: string
  readonly sink: FakeSink
  /** Where in the history of the pattern it is. */
  readonly places: () => Places
  readonly subscription: Promise<Subscription | undefined>
}

function stateOf(source: FakeSource, pattern: string): string {
  const entries = source.list(pattern)
  if (hasGlob(pattern)) return canonicalText(metaListJson(entries))
  return canonicalText(entries[0] === undefined ? EMPTY_META : metaJson(entries[0]))
}

/** The histories of all patterns, and how much of each the hub has heard. */
interface Histories {
  readonly of: Map<string, StateHistory>
  readonly heard: Map<string, number>
}

function recordHistories(source: FakeSource): Histories {
  const of = new Map(PATTERNS.map((p) => [p as string, new StateHistory(p, stateOf(source, p))]))
  const heard = new Map<string, number>(PATTERNS.map((pattern) => [pattern, 0]))
  source.onChange = ({ changes }) => {
    for (const [pattern, history] of of) {
      if (!changes.some(({ key }) => matchKey(pattern, key))) continue
      history.add(stateOf(source, pattern))
      if (!source.isHoldingCommits) heard.set(pattern, history.end)
    }
  }
  return { of, heard }
}

it('every subscriber sees the states in order and ends with the exact one, after any program', async () => {
  const program = fc.array(step, { maxLength: 80, size: 'max' })
  await fc.assert(fc.asyncProperty(program, fc.constantFrom('at once', 'later'), run), {
    numRuns: 2000,
  })
})

/**
 * @param leaving whether frames leave at once, or when the test settles, many together: a full state then
 *   replaces those before it
 */
async function run(steps: readonly Step[], leaving: 'at once' | 'later'): Promise<void> {
  const bench = createBench({
    maxBufferedBytes: 50,
    maxIdlePools: 3,
    maxPendingKeys: 4,
    ...(leaving === 'later' ? { endOfTurn: setImmediate } : {}),
  })
  const { source, hub, time } = bench
  const clients = new Map<number, Client>()
  const histories = recordHistories(source)
  const problems: unknown[] = []

  function connect(id: number, pattern: string, left: Client | undefined): void {
    const sink = new FakeSink()
    const previous = left?.sink
    // A reconnecting client keeps its state and says which version it is.
    sink.state = previous?.state
    sink.heldVersion = previous?.version
    const history = histories.of.get(pattern)
    // Nobody is shown less than what was announced before it came.
    const announced = histories.heard.get(pattern) ?? 0
    let places: Places = left?.places() ?? new Set([announced])
    sink.onFrame = ({ snapshot }) => {
      const state = sink.state ?? ''
      const isFirst = sink.frames.length === 1
      const from =
        isFirst && snapshot ? new Set([Math.max(announced, Math.min(...places))]) : places
      try {
        const found =
          snapshot && (sink.maySkip || leaving === 'later')
            ? history?.later(from, state)
            : history?.next(places, state)
        places = found ?? places
      } catch (error) {
        problems.push(error)
      }
    }
    const subscription = hub.subscribe(pattern).then(
      (joined) => {
        joined.attach(sink, previous?.version)
        return joined
      },
      () => undefined,
    )
    clients.set(id, { pattern, sink, subscription, places: () => places })
  }

  /** What each client that went away still holds. */
  const away = new Map<number, Client>()

  async function leave(id: number): Promise<void> {
    const left = clients.get(id)
    if (left === undefined) return
    clients.delete(id)
    await source.answerReads()
    const subscription = await left.subscription
    subscription?.close()
    if (subscription !== undefined) away.set(id, left)
  }

  function announce(): void {
    source.announceCommits()
    for (const [pattern, history] of histories.of) histories.heard.set(pattern, history.end)
  }

  /** What is read anew is sent whole, whatever came between. */
  async function reshape(pattern: string): Promise<void> {
    // What waits is no part of that, and leaves before.
    await settle()
    for (const { sink } of clients.values()) sink.maySkip = true
    hub.reshape(pattern)
  }

  for (const next of steps) {
    if (next.do === 'set') source.set(next.key, next.data, next.created)
    else if (next.do === 'delete') {
      const keys = [...source.entries.keys()].filter((key) => matchKey(next.pattern, key))
      source.delete(...(keys.length > 0 ? keys : ['absent']))
    } else if (next.do === 'lag') source.holdCommits()
    else if (next.do === 'announce') announce()
    else if (next.do === 'reshape') await reshape(next.pattern)
    else if (next.do === 'hold') source.holdReads()
    else if (next.do === 'answer') await source.answerReads()
    else if (next.do === 'tick') await settle()
    else if (next.do === 'fail') source.failure = new Error('read fault')
    else if (next.do === 'join') {
      await leave(next.client)
      connect(next.client, next.pattern, undefined)
    } else if (next.do === 'leave') await leave(next.client)
    else if (next.do === 'reconnect') {
      await leave(next.client)
      const left = away.get(next.client)
      if (left !== undefined) connect(next.client, left.pattern, left)
    } else if ('client' in next) {
      const sink = clients.get(next.client)?.sink
      if (sink !== undefined) sink.stuck = next.do === 'stick'
      if (next.do === 'drain') sink?.drain()
    }
  }

  source.failure = undefined
  announce()
  await source.answerReads()
  await settle()
  for (const { sink } of clients.values()) {
    sink.stuck = false
    sink.drain()
  }
  // Longer than the longest pause between two tries to read.
  await time.advanceAsync(130_000)
  expect(problems).toEqual([])
  for (const { pattern, sink, subscription } of clients.values()) {
    if ((await subscription) !== undefined) expect(sink.state).toBe(stateOf(source, pattern))
  }
  for (const id of [...clients.keys()]) await leave(id)
  expect(hub.metrics()).toMatchObject({ pools: 0, subscribers: 0, reloads: 0 })
  expect(hub.metrics().idlePools).toBeLessThanOrEqual(3)
  hub.close()
  expect(time.pending).toBe(0)
}
