/**
 * Random programs of writes, reads that take their time, slow connections and reconnects. Whatever
 * the order, a subscriber that has been heard out holds exactly what the source holds.
 */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { EMPTY_META, metaJson, metaListJson } from '../../src/core/entry.ts'
import { hasGlob, matchKey } from '../../src/core/key.ts'
import type { Subscription } from '../../src/fanout/hub.ts'
import { canonicalText } from '../core/exact-apply.ts'
import { createBench, FakeSink, type FakeSource, settle } from './fake-source.ts'

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
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('hold', 'answer', 'tick', 'fail', 'lag', 'announce'),
    }),
  },
)

interface Client {
  readonly pattern: string
  sink: FakeSink
  subscription: Promise<Subscription | undefined>
}

function stateOf(source: FakeSource, pattern: string): string {
  const entries = source.list(pattern)
  if (hasGlob(pattern)) return canonicalText(metaListJson(entries))
  return canonicalText(entries[0] === undefined ? EMPTY_META : metaJson(entries[0]))
}

it('every subscriber ends with the exact state, after any program', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 80, size: 'max' }), (steps) => run(steps)),
    { numRuns: 2000 },
  )
})

async function run(steps: readonly Step[]): Promise<void> {
  const bench = createBench({ maxBufferedBytes: 50, maxIdlePools: 3, maxPendingKeys: 4 })
  const { source, hub, time } = bench
  const clients = new Map<number, Client>()

  function connect(id: number, pattern: string, previous: FakeSink | undefined): void {
    const sink = new FakeSink()
    // A reconnecting client keeps its state and says which version it is.
    sink.state = previous?.state
    sink.heldVersion = previous?.version
    const subscription = hub.subscribe(pattern).then(
      (joined) => {
        joined.attach(sink, previous?.version)
        return joined
      },
      () => undefined,
    )
    clients.set(id, { pattern, sink, subscription })
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

  for (const next of steps) {
    if (next.do === 'set') source.set(next.key, next.data, next.created)
    else if (next.do === 'delete') {
      const keys = [...source.entries.keys()].filter((key) => matchKey(next.pattern, key))
      source.delete(...(keys.length > 0 ? keys : ['absent']))
    } else if (next.do === 'lag') source.holdCommits()
    else if (next.do === 'announce') source.announceCommits()
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
      if (left !== undefined) connect(next.client, left.pattern, left.sink)
    } else if ('client' in next) {
      const sink = clients.get(next.client)?.sink
      if (sink !== undefined) sink.stuck = next.do === 'stick'
      if (next.do === 'drain') sink?.drain()
    }
  }

  source.failure = undefined
  source.announceCommits()
  await source.answerReads()
  await time.advanceAsync(2000)
  for (const { pattern, sink, subscription } of clients.values()) {
    if ((await subscription) === undefined) continue
    sink.stuck = false
    sink.drain()
    expect(sink.state).toBe(stateOf(source, pattern))
  }
  for (const id of [...clients.keys()]) await leave(id)
  expect(hub.metrics()).toMatchObject({ pools: 0, subscribers: 0, reloads: 0 })
  expect(hub.metrics().idlePools).toBeLessThanOrEqual(3)
  hub.close()
  expect(time.pending).toBe(0)
}
