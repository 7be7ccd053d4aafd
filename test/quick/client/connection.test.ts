import { beforeEach, describe, expect, it } from 'vitest'
import {
  Connection,
  type ConnectionDown,
  type ConnectionOptions,
} from '../../../src/client/connection.ts'
import { isStateError } from '../../../src/core/errors.ts'
import { FakeTime } from '../../support/fake-time.ts'
import { type FakeDial, FakeTransport } from '../../support/fake-transport.ts'

let time: FakeTime
let transport: FakeTransport
let downs: ConnectionDown[]
let messages: string[]
let kinds: string[]

beforeEach(() => {
  time = new FakeTime()
  transport = new FakeTransport()
  downs = []
  messages = []
  kinds = []
})

function connect(options: Partial<ConnectionOptions> = {}): Connection {
  const connection = new Connection({
    transport,
    time,
    random: () => 0,
    request: () => ({ url: `ws://host/${transport.dials.length}` }),
    backoff: { initialMs: 100, maxMs: 800, factor: 2, jitter: 'equal' },
    goodAfterMs: 0,
    onMessage: (text) => messages.push(text),
    onDown: (down) => downs.push(down),
    onState: ({ kind }) => kinds.push(kind),
    ...options,
  })
  connection.open()
  return connection
}

describe('a connection', () => {
  it('dials once, hands over messages, and sends in order once open', () => {
    const connection = connect()
    expect(connection.send('too early')).toBe(false)
    transport.last.accept()
    transport.last.message('a')
    transport.last.message('b')
    expect(connection.send('1')).toBe(true)
    connection.send('2')
    expect(messages).toEqual(['a', 'b'])
    expect(transport.last.sent).toEqual(['1', '2'])
    connection.open()
    expect(transport.dials).toHaveLength(1)
    expect(kinds).toEqual(['connecting', 'open'])
  })

  it('waits longer after each failed dial and asks for a new request each time', () => {
    connect()
    for (let i = 0; i < 6; i++) {
      transport.last.cut(1006, 'refused')
      time.advance(time.nextDueMs ?? 0)
    }
    expect(downs.map((down) => down.retryInMs)).toEqual([50, 100, 200, 400, 400, 400])
    expect(transport.dials.map((dial) => dial.request.url)).toEqual(
      [0, 1, 2, 3, 4, 5, 6].map((n) => `ws://host/${n}`),
    )
  })

  it('waits at least as long as a server asks to, and no less than it would by itself', () => {
    connect()
    for (const reason of ['x; retry in 700 ms', 'x; retry in 10 ms', 'x; retry in 9999999 ms']) {
      transport.last.cut(1001, reason)
      time.advance(time.nextDueMs ?? 0)
    }
    expect(downs.map((down) => down.retryInMs)).toEqual([700, 100, 300_000])
  })

  it('backs off from a peer that accepts and drops, until it proves good', () => {
    const connection = connect()
    for (let i = 0; i < 3; i++) {
      transport.last.accept()
      transport.last.cut()
      time.advance(time.nextDueMs ?? 0)
    }
    expect(downs.map((down) => down.retryInMs)).toEqual([50, 100, 200])
    transport.last.accept()
    connection.connectionIsGood()
    transport.last.cut()
    expect(downs.at(-1)?.retryInMs).toBe(50)
  })

  it('counts a connection that stays open long enough as good', () => {
    connect({ goodAfterMs: 1_000 })
    transport.last.cut()
    time.advance(50)
    transport.last.accept()
    time.advance(999)
    transport.last.cut()
    expect(downs.at(-1)?.retryInMs).toBe(100)
    time.advance(100)
    transport.last.accept()
    time.advance(1_000)
    transport.last.cut()
    expect(downs.at(-1)?.retryInMs).toBe(50)
  })

  it('gives up a dial that takes too long, and ignores what becomes of it', () => {
    connect({ connectTimeoutMs: 3_000 })
    const slow = transport.last
    time.advance(3_000)
    expect(slow.phase).toBe('terminated')
    expect(downs).toEqual([{ code: 1006, reason: 'no connection within 3000 ms', retryInMs: 50 }])
    time.advance(50)
    expect(transport.dials).toHaveLength(2)
  })

  it('stops at a close code of 4500–4999 and tells the reason', () => {
    const connection = connect()
    transport.last.accept()
    transport.last.cut(4501, 'unauthorized')
    expect(connection.state).toEqual({ kind: 'closed', code: 4501, reason: 'unauthorized' })
    expect(downs).toEqual([{ code: 4501, reason: 'unauthorized', retryInMs: undefined }])
    expect(time.pending).toBe(0)
  })

  it.each([1000, 1001, 1006, 1011, 4000, 4499, 5000])('comes back after close code %i', (code) => {
    connect()
    transport.last.accept()
    transport.last.cut(code)
    time.advance(50)
    expect(transport.dials).toHaveLength(2)
  })

  it('never gives up when its owner says so', () => {
    const connection = connect({ shouldReconnect: () => true })
    transport.last.cut(4501, 'unauthorized')
    expect(connection.state).toEqual({ kind: 'waiting', attempt: 1 })
  })

  it('closes for good, once, from every state', () => {
    const prepare: ((connection: Connection) => void)[] = [
      () => undefined,
      () => transport.last.accept(),
      () => transport.last.cut(),
    ]
    for (const step of prepare) {
      downs = []
      const connection = connect()
      step(connection)
      const downsBefore = downs.length
      const dialsBefore = transport.dials.length
      connection.close(1000, 'bye')
      connection.close(4000, 'again')
      connection.open()
      connection.reconnectNow()
      time.advance(60_000)
      expect(connection.state).toEqual({ kind: 'closed', code: 1000, reason: 'bye' })
      expect(downs).toHaveLength(downsBefore)
      expect(transport.dials).toHaveLength(dialsBefore)
      expect(transport.alive).toEqual([])
      expect(time.pending).toBe(0)
    }
  })

  it('does not hear an abandoned socket any more', () => {
    const connection = connect()
    const first = transport.last
    first.accept()
    connection.drop(4500, 'bad frame')
    expect(first.closedWith).toEqual({ code: 4500, reason: 'bad frame' })
    time.advance(50)
    transport.last.accept()
    expect(() => first.message('late')).toThrow()
    expect(messages).toEqual([])
    expect(downs).toEqual([{ code: 4500, reason: 'bad frame', retryInMs: 50 }])
  })

  it('dials at once when told not to wait, and leaves no timer behind', () => {
    const connection = connect()
    transport.last.cut()
    connection.reconnectNow()
    expect(transport.dials).toHaveLength(2)
    transport.last.accept()
    connection.reconnectNow()
    expect(time.pending).toBe(0)
    expect(transport.dials).toHaveLength(2)
  })

  it('treats a request that cannot be made as a failed dial', () => {
    let fail = true
    connect({
      request() {
        if (fail) throw new Error('no token yet')
        return { url: 'ws://host/' }
      },
    })
    expect(downs).toEqual([{ code: 1006, reason: 'no token yet', retryInMs: 50 }])
    fail = false
    time.advance(50)
    expect(transport.dials).toHaveLength(1)
  })

  it('may be closed from inside its own callbacks', () => {
    const connection = connect({ onDown: () => connection.close() })
    transport.last.cut()
    expect(connection.state.kind).toBe('closed')
    expect(time.pending).toBe(0)
    expect(kinds).toEqual(['connecting', 'closed'])
  })

  it('holds one socket and one timer at most, whatever happens in whatever order', () => {
    for (let seed = 1; seed <= 100; seed++) {
      let state = Math.imul(seed, 0x9e3779b1) | 1
      const random = (): number => {
        state ^= state << 13
        state ^= state >>> 17
        state ^= state << 5
        return (state >>> 0) / 2 ** 32
      }
      const connection = connect({ random, goodAfterMs: 500, connectTimeoutMs: 300 })
      const peer = (): FakeDial | undefined => transport.alive[0]
      const steps: (() => void)[] = [
        () => connection.open(),
        () => connection.connectionIsGood(),
        () => connection.reconnectNow(),
        () => connection.drop(4500, 'bad frame'),
        () => time.advance(random() * 1_000),
        () => peer()?.cut(random() < 0.5 ? 1006 : 4000),
        () => peer()?.phase === 'dialling' && peer()?.accept(),
        () => peer()?.phase === 'open' && peer()?.message('hello'),
      ]
      for (let i = 0; i < 200; i++) {
        steps[Math.floor(random() * steps.length)]?.()
        const { kind } = connection.state
        const hasSocket = kind === 'connecting' || kind === 'open'
        expect(transport.alive.length, `seed ${seed}, step ${i}`).toBe(hasSocket ? 1 : 0)
        expect(time.pending, `seed ${seed}, step ${i}`).toBeLessThanOrEqual(1)
      }
      connection.close()
      expect(transport.alive, `seed ${seed}`).toEqual([])
      expect(time.pending, `seed ${seed}`).toBe(0)
    }
  })

  it('refuses a connect timeout that is not positive', () => {
    expect.assertions(1)
    try {
      connect({ connectTimeoutMs: 0 })
    } catch (error) {
      expect(isStateError(error, 'invalid_option')).toBe(true)
    }
  })
})
