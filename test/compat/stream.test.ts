/**
 * A follower and a leader of release 0.1.0, as they spoke (stream protocol 2), meet a leader and a follower of
 * this release: what a rolling upgrade brings about. And peers of other protocols are turned away by name.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import {
  decodeFollowerMessage,
  decodeLeaderMessage,
  encodeMessage,
  STREAM_PROTOCOL,
} from '../../src/core/protocol.ts'
import type { SocketHandlers, Transport } from '../../src/core/transport.ts'
import { helloOf, RawPeer } from '../cluster/raw-peer.ts'
import { EngineRig, type RigNode } from '../support/engine-rig.ts'
import { FAKE_START_NS } from '../support/fake-time.ts'
import { waitFor } from '../support/wait.ts'

interface Said {
  readonly by: 'leader' | 'follower'
  readonly text: string
}

/** Any message, as far as the replay looks at it. */
interface Message {
  readonly t: string
  readonly n?: number
  readonly seq?: number
  readonly protocol?: number
  readonly clock?: string
  readonly set?: { readonly path: string }
  readonly last?: boolean
}

const FIXTURE = fileURLToPath(new URL('../fixtures/compat/stream.json', import.meta.url))
const recorded = JSON.parse(readFileSync(FIXTURE, 'utf8')) as unknown as Said[]
const parse = (text: string): Message => JSON.parse(text) as Message
const said = (by: Said['by']): Message[] =>
  recorded.filter((line) => line.by === by).map(({ text }) => parse(text))
const WAIT = { deadlineMs: 20_000 }
const KEYS = ['items/*', 'settings']

const rigs: EngineRig[] = []
afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.close()
})

/** Nodes at the time of the recording. */
function rigOfThen(): EngineRig {
  const rig = new EngineRig()
  const then = BigInt(said('leader').find(({ t }) => t === 'welcome')?.clock ?? 0)
  rig.time.advance(Number((then - FAKE_START_NS) / 1_000_000n))
  rigs.push(rig)
  return rig
}

describe('the messages of stream protocol 2', () => {
  it('are of that protocol, and of every kind that an ordinary meeting has', () => {
    expect(said('follower')[0]).toMatchObject({ t: 'hello', protocol: 2 })
    expect(new Set(said('follower').map(({ t }) => t))).toEqual(
      new Set(['hello', 'ack', 'ask', 'want', 'push', 'taken', 'terms']),
    )
    expect(new Set(said('leader').map(({ t }) => t))).toEqual(
      new Set(['welcome', 'terms', 'rows', 'digests', 'found', 'pushed', 'beat']),
    )
  })

  it('are read, and written the same by this release', () => {
    for (const { by, text } of recorded) {
      const decode = by === 'leader' ? decodeLeaderMessage : decodeFollowerMessage
      expect(JSON.parse(encodeMessage(decode(text)))).toMatchObject(JSON.parse(text))
    }
  })
})

describe('a follower of release 0.1.0', () => {
  it('is answered all that it asks, and its writes are taken', async () => {
    const rig = rigOfThen()
    const leader = await rig.add({ host: 'leader', keys: KEYS, fill: fillLeader })
    const old = new RawPeer(leader)
    for (const { by, text } of recorded) {
      if (by === 'leader') continue
      const message = parse(text)
      if (message.t === 'ack' && message.seq === 9) {
        if (leader.store.head === 8) await leader.store.set('items/a', '{"n":"changed"}')
        await waitFor(() => old.sent.some((line) => line.includes('"through":9')), WAIT)
      }
      old.say(text)
      await waitFor(() => isAnswered(old, message), {
        ...WAIT,
        what: `an answer to ${text.slice(0, 100)}`,
      })
    }
    expect(old.closedWith).toBeUndefined()
    const pushed = old.sent.map((line) => parse(line)).filter(({ t }) => t === 'pushed')
    expect(pushed).toMatchObject([
      { n: 1, outcomes: ['applied'] },
      { n: 2, outcomes: ['applied'] },
      { n: 3, outcomes: ['applied'] },
    ])
    expect((await leader.store.get('items/c'))?.data).toBe('{"from":"the follower"}')
    expect(await leader.store.get('items/b')).toBeUndefined()
    expect(leader.engine.status().followers).toMatchObject([{ name: 'follower', lagRows: 0 }])
  })
})

async function fillLeader(store: RigNode['store']): Promise<void> {
  for (const name of ['a', 'b', 'gone']) await store.set(`items/${name}`, `{"n":"${name}"}`)
  await store.set('settings', '{"exact":12345678901234567890.10}')
  await store.delete('items/gone')
}

/** Whether the leader has said what such a message is answered with. */
function isAnswered(peer: RawPeer, { t, n }: Message): boolean {
  const answers: Readonly<Record<string, string>> = {
    hello: 'welcome',
    ask: 'digests',
    push: 'pushed',
    terms: 'terms',
  }
  const heard = peer.sent.map((line) => parse(line))
  if (t === 'want') return heard.some((line) => line.t === 'found' && line.n === n && line.last)
  const answer = answers[t]
  return (
    answer === undefined ||
    heard.some((line) => line.t === answer && (n === undefined || line.n === n))
  )
}

describe('a leader of release 0.1.0', () => {
  it('is followed: what it has is taken over, digit for digit, and live changes too', async () => {
    const rig = rigOfThen()
    const old = new OldLeader()
    const follower = await rig.add({
      host: 'follower',
      keys: KEYS,
      follows: 'http://leader',
      transport: old.transport,
      fill: fillFollower,
    })
    await rig.until(() => follower.engine.status().links[0]?.state === 'live', 'a live link')
    expect((await follower.store.get('settings'))?.data).toBe('{"exact":12345678901234567890.10}')
    expect((await follower.store.slot('items/gone'))?.record.kind).toBe('tombstone')
    old.sayRows()
    await waitFor(
      async () => (await follower.store.get('items/a'))?.data === '{"n":"changed"}',
      WAIT,
    )
    await follower.store.set('items/new', '1')
    await waitFor(() => old.heard.some((text) => text.includes('"items/new"')), WAIT)
    await rig.until(() => follower.engine.status().links[0]?.outbox === 0, 'an empty outbox')
  })
})

/** What the follower of the recording had of its own: its place among the nodes. */
async function fillFollower(store: RigNode['store']): Promise<void> {
  for (const { by, text } of recorded) {
    if (by !== 'follower' || !text.includes('"nodes/')) continue
    const message = decodeFollowerMessage(text)
    if (message.t === 'push') await store.merge(message.records, { source: 'old' })
  }
}

/** Answers a follower with what was recorded, by kind and by what is asked after. */
class OldLeader {
  readonly heard: string[] = []
  #handlers: SocketHandlers | undefined
  readonly transport: Transport = {
    dial: (_request, opened, handlers) => {
      this.#handlers = handlers
      setImmediate(opened)
      return {
        bufferedBytes: 0,
        send: (text) => {
          this.heard.push(text)
          setImmediate(() => this.#answer(parse(text)))
        },
        close: () => undefined,
        terminate: () => undefined,
      }
    },
  }

  /** The live change of the recording. */
  sayRows(): void {
    for (const line of recorded) {
      if (line.by === 'leader' && line.text.includes('"through":9'))
        this.#handlers?.message(line.text)
    }
  }

  #answer(message: Message): void {
    const { t, n, set } = message
    if (t === 'hello') {
      const first = recorded.findIndex(
        ({ by, text }) => by === 'follower' && parse(text).t === 'ack',
      )
      for (const { by, text } of recorded.slice(0, first)) {
        if (by === 'leader') this.#handlers?.message(text)
      }
    } else if (t === 'ask' || t === 'want') {
      const asked = said('follower').find((line) => line.t === t && line.set?.path === set?.path)
      const kind = t === 'ask' ? 'digests' : 'found'
      const answers = said('leader').filter((line) => line.t === kind && line.n === asked?.n)
      for (const answer of answers) this.#say({ ...answer, n })
    } else if (t === 'push') {
      const { records } = message as Message & { readonly records: readonly unknown[] }
      this.#say({ t: 'pushed', n, outcomes: records.map(() => 'applied'), head: 6 })
    } else if (t === 'terms') {
      this.#say({ ...said('leader').find((line) => line.t === 'terms'), n })
    }
  }

  #say(message: object): void {
    this.#handlers?.message(JSON.stringify(message))
  }
}

describe('a peer of another stream protocol', () => {
  it('that is too old is turned away with what is spoken here, and counted', async () => {
    const rig = rigOfThen()
    const leader = await rig.add({ host: 'leader', keys: KEYS, fill: fillLeader })
    const peer = new RawPeer(leader)
    peer.say(helloOf({ protocol: 1 }))
    await waitFor(() => peer.closedWith !== undefined, WAIT)
    const reason = 'stream protocol 1, this node speaks 2 to 3'
    expect(peer.closedWith).toEqual({ code: 4500, reason })
    expect(peer.heard).toEqual([])
    expect(leader.engine.status().followers).toEqual([])
    expect(JSON.stringify(leader.engine.status().refusals)).toContain(reason)
    // The next one may have been upgraded.
    const upgraded = new RawPeer(leader)
    upgraded.say(helloOf())
    await waitFor(() => upgraded.heard.includes('welcome'), WAIT)
  })

  it('that leads and refuses ours by its number is offered its own the next time', async () => {
    const rig = rigOfThen()
    const offered: (number | undefined)[] = []
    const follower = await rig.add({
      host: 'follower',
      keys: KEYS,
      follows: 'http://leader',
      transport: {
        dial: (_request, opened, heard) => {
          setImmediate(opened)
          const end = (): void => heard.close({ code: 1000, reason: '' })
          const send = (text: string): void => {
            const { t, protocol } = parse(text)
            if (t !== 'hello') return
            offered.push(protocol)
            if (protocol === 2) return
            const reason = `stream protocol ${protocol}, this node speaks 2`
            setImmediate(() => heard.close({ code: 4500, reason }))
          }
          return { bufferedBytes: 0, send, close: end, terminate: end }
        },
      },
    })
    await rig.until(() => offered.length > 1, 'another attempt')
    expect(offered.slice(0, 2)).toEqual([3, 2])
    expect(follower.engine.status().links[0]?.lastError).toContain('this node speaks 2')
  })

  it('that leads is not followed: it is named, nothing of it is taken, and writes wait', async () => {
    const rig = rigOfThen()
    const handlers: SocketHandlers[] = []
    const follower = await rig.add({
      host: 'follower',
      keys: KEYS,
      follows: 'http://leader',
      transport: {
        dial: (_request, opened, heard) => {
          handlers.push(heard)
          setImmediate(opened)
          const end = (): void => heard.close({ code: 1000, reason: '' })
          return { bufferedBytes: 0, send: () => welcome(heard), close: end, terminate: end }
        },
      },
    })
    const protocol = STREAM_PROTOCOL + 1
    function welcome(heard: SocketHandlers): void {
      const message = said('leader').find(({ t }) => t === 'welcome')
      setImmediate(() => heard.message(JSON.stringify({ ...message, protocol })))
    }
    await follower.store.set('items/mine', '1')
    const link = (): ReturnType<typeof follower.engine.status>['links'][number] | undefined =>
      follower.engine.status().links[0]
    const reason = `stream protocol ${protocol}, this node speaks 2 to 3`
    await rig.until(() => link()?.lastError?.includes(reason) === true, 'the reason')
    // It tries again, so that upgrading either of the two is enough.
    await rig.until(() => handlers.length > 2, 'another attempt')
    expect(link()?.outbox).toBe(1)
    expect((await follower.store.get('items/mine'))?.data).toBe('1')
    expect(follower.store.head).toBe(1)
  })
})
