/**
 * Subscribers in another process, over a channel that is late but in order: each ends with what one in
 * the same process has, whatever happened on the way.
 */

import { describe, expect, it } from 'vitest'
import { newFanoutCounters, type Subscriber } from '../../../src/fanout/frames/subscriber.ts'
import { UnreadLedger } from '../../../src/fanout/frames/unread-ledger.ts'
import type { Subscription } from '../../../src/fanout/hub.ts'
import type { PoolNews, PoolQuestion } from '../../../src/fanout/relay/messages.ts'
import { RelayPool } from '../../../src/fanout/relay/pool.ts'
import { Relay } from '../../../src/fanout/relay/relay.ts'
import { fc } from '../../support/property.ts'
import { type Bench, createBench, FakeSink, join, settle } from './fake-source.ts'

const PATTERN = 'a/*'

interface Client {
  readonly sink: FakeSink
  readonly subscriber: Subscriber
}

/** A pool with a relay, and its other end. Messages wait until they are let through. */
class Remote {
  readonly #toWorker: PoolNews[] = []
  readonly #toHub: PoolQuestion[] = []
  readonly #subscription: Subscription
  readonly #pool: RelayPool
  readonly #leaving: 'at once' | 'later'
  #relay: Relay | undefined
  #requests = 0
  readonly clients: Client[] = []
  /** Messages that went to the other process. */
  posted: PoolNews[] = []

  /** @param leaving when frames leave the other process: at once, or with the next messages */
  constructor(
    { time }: Bench,
    subscription: Subscription,
    leaving: 'at once' | 'later' = 'at once',
  ) {
    this.#subscription = subscription
    this.#leaving = leaving
    const limits = { maxBufferedBytes: 60, slowConsumerTimeoutMs: 1000 }
    const context = { limits, time, counters: newFanoutCounters(), unread: new UnreadLedger(1e9) }
    this.#pool = new RelayPool(
      context,
      (heldVersion) => {
        const request = ++this.#requests
        this.#toHub.push({ kind: 'asked', pool: 1, request, heldVersion })
        return request
      },
      this.#leaving === 'at once' ? (pool) => pool.flush() : () => undefined,
    )
    subscription.join((catchUp) => {
      this.#relay = new Relay(1, (news) => this.#post(news), catchUp)
      return this.#relay
    })
  }

  static async open(bench: Bench, leaving?: 'at once' | 'later'): Promise<Remote> {
    return new Remote(bench, await bench.hub.subscribe(PATTERN), leaving)
  }

  join(heldVersion?: string, state?: string): Client {
    const sink = new FakeSink()
    sink.heldVersion = heldVersion
    sink.state = state
    this.#relay?.entered()
    const client = { sink, subscriber: this.#pool.add(sink, heldVersion) }
    this.clients.push(client)
    return client
  }

  leave(index: number): Client | undefined {
    const [client] = this.clients.splice(index, 1)
    if (client === undefined) return undefined
    this.#pool.remove(client.subscriber)
    this.#relay?.left()
    return client
  }

  /** Lets up to so many messages of each direction through. */
  pass(count: number = Number.POSITIVE_INFINITY): boolean {
    const news = this.#toWorker.splice(0, count)
    this.#pool.flush()
    for (const message of news) this.#pool.hear(message)
    const questions = this.#toHub.splice(0, count)
    for (const question of questions) this.#relay?.answer(question)
    return news.length + questions.length > 0
  }

  close(): void {
    this.#subscription.close()
  }

  #post(news: PoolNews): void {
    this.posted.push(news)
    this.#toWorker.push(structuredClone(news))
  }
}

type Step =
  | { do: 'set' | 'delete'; key: number; size: number }
  | { do: 'join' | 'leave' | 'reconnect' | 'stick' | 'drain'; client: number }
  | { do: 'pass'; count: number }
  | { do: 'fail' | 'settle' }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constantFrom('set', 'set', 'set', 'delete'),
      key: fc.nat({ max: 4 }),
      size: fc.nat({ max: 30 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constantFrom('join', 'leave', 'reconnect', 'stick', 'drain'),
      client: fc.nat({ max: 4 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('pass'), count: fc.integer({ min: 1, max: 3 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('fail', 'settle') }) },
)

async function run(steps: readonly Step[], leaving: 'at once' | 'later'): Promise<void> {
  const bench = createBench()
  const { source, hub } = bench
  const control = await join(hub, PATTERN)
  const remote = await Remote.open(bench, leaving)
  for (const now of steps) {
    const client = 'client' in now ? remote.clients[now.client] : undefined
    if (now.do === 'set') source.set(`a/${now.key}`, `"${'x'.repeat(now.size)}${source.seq}"`)
    else if (now.do === 'delete') source.delete(`a/${now.key}`)
    else if (now.do === 'join') remote.join()
    else if (now.do === 'leave') remote.leave(now.client)
    else if (now.do === 'reconnect') {
      const left = remote.leave(now.client)?.sink
      // What it was sent last may have got lost: it says what it holds.
      if (left !== undefined) remote.join(left.version, left.state)
    } else if (now.do === 'stick' && client !== undefined) client.sink.stuck = true
    else if (now.do === 'drain' && client !== undefined) {
      client.sink.stuck = false
      client.sink.drain()
    } else if (now.do === 'pass') remote.pass(now.count)
    else if (now.do === 'fail') hub.reshape(PATTERN)
    else await settle()
  }
  await settle()
  for (const { sink } of remote.clients) {
    sink.stuck = false
    sink.drain()
  }
  while (remote.pass()) await settle()
  remote.pass()
  for (const { sink } of remote.clients) expect(sink.state).toBe(control.sink.state)
}

describe('a relay', () => {
  it('leaves every subscriber with the state, after any program', async () => {
    const program = fc.array(step, { maxLength: 60, size: 'max' })
    await fc.assert(fc.asyncProperty(program, fc.constantFrom('at once', 'later'), run), {
      numRuns: 1000,
    })
  })

  it('takes one message per batch, however many subscribers there are', async () => {
    const bench = createBench()
    const remote = await Remote.open(bench)
    for (let i = 0; i < 50; i++) remote.join()
    while (remote.pass()) await settle()
    remote.posted = []
    for (let i = 0; i < 10; i++) bench.source.set('a/1', `${i}`)
    expect(remote.posted.map(({ kind }) => kind)).toEqual(Array.from({ length: 10 }, () => 'batch'))
    remote.pass()
    for (const { sink } of remote.clients) expect(sink.frames).toHaveLength(11)
  })

  it('gives batches that came together to each subscriber as one', async () => {
    const bench = createBench()
    const remote = await Remote.open(bench, 'later')
    for (let i = 0; i < 3; i++) remote.join()
    while (remote.pass()) await settle()
    for (let i = 0; i < 10; i++) bench.source.set('a/1', `${i}`)
    remote.pass()
    remote.pass()
    for (const { sink } of remote.clients) {
      expect(sink.frames).toHaveLength(11)
      expect(sink.batches).toHaveLength(2)
    }
  })

  it('sends a full state once, for all who come before the next change', async () => {
    const bench = createBench()
    bench.source.set('a/1', `"${'x'.repeat(5000)}"`)
    const remote = await Remote.open(bench)
    for (let i = 0; i < 20; i++) remote.join()
    while (remote.pass()) await settle()
    const whole = remote.posted.filter(
      (news) => 'catchUp' in news && news.catchUp.kind === 'behind',
    )
    expect(whole).toHaveLength(1)
    for (const { sink } of remote.clients) expect(sink.frames).toHaveLength(1)
  })

  it('counts its connections as those of the pool', async () => {
    const bench = createBench()
    const remote = await Remote.open(bench)
    for (let i = 0; i < 3; i++) remote.join()
    expect(bench.hub.metrics().subscribers).toBe(3)
    remote.leave(0)
    expect(bench.hub.describe()).toMatchObject([{ key: PATTERN, connections: 2 }])
    remote.close()
    expect(bench.hub.metrics()).toMatchObject({ subscribers: 0, pools: 0 })
  })
})
