import { beforeEach, describe, expect, it } from 'vitest'
import {
  type Client,
  type ClientEntry,
  type ClientOptions,
  createClient,
  type StateError,
  type SubscriptionState,
  type SubscriptionStatus,
} from '../../../src/client/index.ts'
import { FakeTime } from '../../support/fake-time.ts'
import { FakeTransport } from '../../support/fake-transport.ts'

let time: FakeTime
let transport: FakeTransport
let states: SubscriptionState[]
let statuses: SubscriptionStatus[]
let errors: StateError[]

beforeEach(() => {
  time = new FakeTime()
  transport = new FakeTransport()
  states = []
  statuses = []
  errors = []
})

const handlers = {
  onState: (state: SubscriptionState) => {
    states.push(state)
  },
  onStatus: (status: SubscriptionStatus) => {
    statuses.push(status)
  },
  onError: (error: StateError) => {
    errors.push(error)
  },
}

function client(options: Partial<ClientOptions> = {}): Client {
  return createClient({
    url: 'http://host:1',
    transport,
    time,
    random: () => 0,
    reconnectBackoff: { initialMs: 100, maxMs: 800 },
    ...options,
  })
}

const meta = (index: string, created: number, data: string): string =>
  `{"created":${1781600000000000000n + BigInt(created)},"updated":0,"index":"${index}","path":"a/${index}","data":${data}}`
const snapshot = (version: string, data: string): string =>
  `{"snapshot":true,"version":"${version}","data":${data}}`
const patch = (version: string, operations: string): string =>
  `{"snapshot":false,"version":"${version}","data":${operations}}`
const EMPTY = '{"created":0,"updated":0,"index":"","data":{}}'

describe('a subscription to a key', () => {
  it('follows snapshots and patches with exact integers', () => {
    const subscription = client().subscribe('a/b', handlers)
    expect(subscription.isLoaded).toBe(false)
    transport.last.accept()
    transport.last.message(snapshot('1', meta('b', 1, '{"n":9007199254740993}')))
    transport.last.message(
      patch(
        '2',
        '[{"op":"replace","path":"/updated","value":1781600000000000009},{"op":"replace","path":"/data/n","value":9007199254740995}]',
      ),
    )
    const entry = states[1] as ClientEntry
    expect(entry).toEqual({
      created: 1781600000000000001n,
      updated: 1781600000000000009n,
      index: 'b',
      path: 'a/b',
      data: { n: 9007199254740995n },
    })
    expect((states[0] as ClientEntry).data).toEqual({ n: 9007199254740993n })
    expect(subscription.state).toBe(states[1])
    expect(statuses).toEqual([{ kind: 'live' }])
  })

  it('gives undefined while the key is absent and after a delete', () => {
    const subscription = client().subscribe('a/b', handlers)
    transport.last.accept()
    transport.last.message(snapshot('1', EMPTY))
    expect(subscription.isLoaded).toBe(true)
    transport.last.message(snapshot('2', meta('b', 1, '7')))
    const toEmpty =
      '[{"op":"replace","path":"/created","value":0},{"op":"replace","path":"/index","value":""},{"op":"remove","path":"/path"},{"op":"replace","path":"/data","value":{}}]'
    transport.last.message(patch('3', toEmpty))
    expect(states.map((state) => (state as ClientEntry | undefined)?.data)).toEqual([
      undefined,
      7,
      undefined,
    ])
  })
})

describe('a subscription to a list', () => {
  it('keeps the identity of entries that did not change, and never changes a state', () => {
    client().subscribe('a/*', handlers)
    transport.last.accept()
    transport.last.message(snapshot('1', `[${meta('y', 2, '{"v":1}')},${meta('x', 1, '{"v":1}')}]`))
    const first = states[0] as readonly ClientEntry[]
    const copy = [...first]
    transport.last.message(
      patch(
        '2',
        `[{"op":"remove","path":"/0"},{"op":"add","path":"/0","value":${meta('z', 3, '1')}}]`,
      ),
    )
    const second = states[1] as readonly ClientEntry[]
    expect(first).toEqual(copy)
    expect(second.map((entry) => entry.index)).toEqual(['z', 'x'])
    expect(second[1]).toBe(first[1])
  })

  it('calls nothing for an empty patch', () => {
    client().subscribe('a/*', handlers)
    transport.last.accept()
    transport.last.message(snapshot('1', '[]'))
    transport.last.message(patch('2', '[]'))
    expect(states).toHaveLength(1)
  })
})

describe('a lost connection', () => {
  it('keeps the state, tells when it comes back, and resumes from the last version', () => {
    const subscription = client().subscribe('a/*', handlers)
    transport.last.accept()
    transport.last.message(snapshot('1', '[]'))
    transport.last.message(
      patch('18b9a', `[{"op":"add","path":"/0","value":${meta('x', 1, '1')}}]`),
    )
    transport.last.cut(1006)
    expect(subscription.state).toBe(states[1])
    time.advance(50)
    expect(transport.dials.map((dial) => dial.request.url)).toEqual([
      'ws://host:1/a/*',
      'ws://host:1/a/*?v=18b9a',
    ])
    transport.last.accept()
    transport.last.message(patch('18b9b', '[{"op":"remove","path":"/0"}]'))
    expect(subscription.state).toEqual([])
    expect(statuses).toEqual([
      { kind: 'live' },
      { kind: 'offline', retryInMs: 50, reason: 'connection lost (1006)' },
      { kind: 'connecting' },
      { kind: 'live' },
    ])
    expect(errors).toEqual([])
  })

  it('is not live again before the first snapshot when there was none', () => {
    client().subscribe('a', handlers)
    transport.last.accept()
    transport.last.cut(1001, 'restart')
    time.advance(50)
    transport.last.accept()
    expect(statuses).toEqual([
      { kind: 'offline', retryInMs: 50, reason: 'restart' },
      { kind: 'connecting' },
    ])
  })

  it('ends for good when the server says so', () => {
    const subscription = client().subscribe('a', handlers)
    transport.last.accept()
    transport.last.cut(4503, 'no reading here')
    expect(subscription.status).toEqual({ kind: 'closed', reason: 'no reading here' })
    expect(time.pending).toBe(0)
  })

  it('is retried at once when the client is told that the network is back', () => {
    const one = client()
    one.subscribe('a', handlers)
    transport.last.cut()
    one.reconnectNow()
    expect(transport.dials).toHaveLength(2)
  })
})

describe('a bad frame', () => {
  it.each([
    ['is not JSON', 'hello'],
    ['has no data', '{"snapshot":true,"version":"1"}'],
    ['does not apply', patch('2', '[{"op":"remove","path":"/5"}]')],
    ['is no list', snapshot('2', '{}')],
    ['holds no entries', snapshot('2', '[7]')],
    ['patches an entry into something else', patch('2', '[{"op":"add","path":"/0","value":7}]')],
  ])('that %s reconnects for a snapshot and keeps the state', (_what, frame) => {
    const subscription = client().subscribe('a/*', handlers)
    transport.last.accept()
    transport.last.message(snapshot('1', `[${meta('x', 1, '1')}]`))
    transport.last.message(frame)
    expect(errors.map((error) => error.code)).toEqual(['invalid_message'])
    expect(subscription.state).toBe(states[0])
    time.advance(50)
    expect(transport.last.request.url).toBe('ws://host:1/a/*')
    transport.last.accept()
    expect(subscription.status.kind).toBe('connecting')
    transport.last.message(snapshot('3', '[]'))
    expect(states).toHaveLength(2)
    expect(subscription.status.kind).toBe('live')
  })

  it('that comes first is refused when it is a patch', () => {
    client().subscribe('a/*', handlers)
    transport.last.accept()
    transport.last.message(patch('1', '[]'))
    expect(errors[0]?.message).toBe('a patch arrived before any snapshot')
  })
})

describe('closing', () => {
  it('is idempotent, final, and hears nothing more', () => {
    const subscription = client().subscribe('a', handlers)
    transport.last.accept()
    subscription.close()
    subscription.close()
    expect(statuses).toEqual([{ kind: 'closed', reason: 'closed by its owner' }])
    expect(transport.last.closedWith?.code).toBe(1000)
    expect(time.pending).toBe(0)
  })

  it('of the client closes every subscription', () => {
    const one = client()
    const all = [one.subscribe('a', handlers), one.subscribe('a/*', handlers), one.clock(() => {})]
    one.close()
    one.close()
    expect(all.map(({ status }) => status.kind)).toEqual(['closed', 'closed', 'closed'])
    expect(transport.alive).toEqual([])
  })

  it('inside a handler stops what would follow', () => {
    const subscription = client().subscribe('a', {
      ...handlers,
      onStatus: () => subscription.close(),
    })
    transport.last.accept()
    transport.last.message(snapshot('1', EMPTY))
    expect(states).toEqual([])
  })
})

describe('the clock', () => {
  it('gives nanoseconds exactly and never asks for a version', () => {
    const times: bigint[] = []
    const clock = client().clock((now) => times.push(now))
    transport.last.accept()
    transport.last.message('1781600000000000001')
    expect(times).toEqual([1781600000000000001n])
    expect(clock.state).toBe(1781600000000000001n)
    transport.last.cut()
    time.advance(50)
    expect(transport.last.request.url).toBe('ws://host:1/')
  })

  it('refuses a frame that is no number', () => {
    client().clock(() => {}, { onError: (error) => errors.push(error) })
    transport.last.accept()
    transport.last.message('noon')
    expect(errors[0]?.code).toBe('invalid_message')
  })
})

describe('what is dialled', () => {
  it('carries the token as subprotocols, then the further ones', () => {
    let token = 'one'
    const options = { token: () => token, protocols: ['extra'], headers: { 'X-Trace': '7' } }
    client(options).subscribe('a', handlers)
    expect(transport.last.request).toEqual({
      url: 'ws://host:1/a',
      protocols: ['bearer', 'one', 'extra'],
      headers: { 'X-Trace': '7' },
    })
    token = 'two'
    transport.last.cut()
    time.advance(50)
    expect(transport.last.request.protocols).toEqual(['bearer', 'two', 'extra'])
  })

  it('is nothing for a key that is not valid', () => {
    expect(() => client().subscribe('/a', handlers)).toThrow('key is not valid')
    expect(transport.dials).toEqual([])
  })
})
