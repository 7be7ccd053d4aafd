/**
 * A follower and a leader of release 0.1.0, as they spoke stream protocol 2 and 3, meet a leader and a follower
 * of this release: what a rolling upgrade brings about. And peers of other protocols are turned away by name.
 */
import { afterEach, describe, expect, it } from 'vitest'
import type { SocketHandlers } from '../../src/core/ports/transport.ts'
import {
  decodeFollowerMessage,
  decodeLeaderMessage,
  encodeMessage,
  STREAM_PROTOCOL,
} from '../../src/core/wire/protocol.ts'
import { helloOf, RawPeer } from '../cluster/raw-peer.ts'
import { EngineRig } from '../support/engine-rig.ts'
import { FAKE_START_NS } from '../support/fake-time.ts'
import { waitFor } from '../support/wait.ts'
import { isAnswered, OldLeader, parse, Recording } from './recording.ts'

const WAIT = { deadlineMs: 20_000 }
const KEYS = ['items/*', 'settings']

const rigs: EngineRig[] = []
afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.close()
})

/** Nodes at the time of a recording. */
function rigOfThen(recording: Recording): EngineRig {
  const rig = new EngineRig()
  rig.time.advance(Number((recording.startNs - FAKE_START_NS) / 1_000_000n))
  rigs.push(rig)
  return rig
}

describe.each([
  [2, 'compat'],
  [3, 'compat-3'],
])('with stream protocol %i', (protocol, folder) => {
  const recording = new Recording(folder)

  describe('the messages', () => {
    it('are of that protocol, and of every kind that an ordinary meeting has', () => {
      const [followers, leaders] = [recording.said('follower'), recording.said('leader')]
      expect(followers[0]).toMatchObject({ t: 'hello', protocol })
      expect(leaders[0]).toMatchObject({ t: 'welcome', protocol })
      expect(new Set(followers.map(({ t }) => t))).toEqual(
        new Set(['hello', 'ack', 'ask', 'want', 'push', 'taken', 'terms']),
      )
      expect(new Set(leaders.map(({ t }) => t))).toEqual(
        new Set(['welcome', 'terms', 'rows', 'digests', 'found', 'pushed', 'beat']),
      )
    })

    it('have fields from protocol 3 on, wherever they have records', () => {
      const messages = recording.lines.map(({ text }) => parse(text))
      const withFields = messages.filter(({ records = [] }) =>
        records.some((record) => typeof record.at(-1) === 'object'),
      )
      const expected = protocol < 3 ? [] : ['found', 'push', 'rows']
      expect([...new Set(withFields.map(({ t }) => t))].toSorted()).toEqual(expected)
    })

    it('are read, and written the same by this release', () => {
      for (const { by, text } of recording.lines) {
        const decode = by === 'leader' ? decodeLeaderMessage : decodeFollowerMessage
        expect(JSON.parse(encodeMessage(decode(text), protocol))).toMatchObject(JSON.parse(text))
      }
    })
  })

  it('a follower is answered all that it asks, and its writes are taken', async () => {
    const rig = rigOfThen(recording)
    const fill = recording.fillLeader.bind(recording)
    const leader = await rig.add({ host: 'leader', keys: KEYS, fill })
    const old = new RawPeer(leader)
    for (const { by, text } of recording.lines) {
      if (by === 'leader') continue
      const message = parse(text)
      if (message.t === 'ack') {
        // What the leader of the recording wrote or was given meanwhile, this one writes too.
        while (leader.store.head < (message.seq ?? 0)) {
          await leader.store.set('items/a', '{"n":"changed"}')
        }
        await waitFor(() => old.sent.some((line) => parse(line).through === message.seq), WAIT)
      }
      old.say(text)
      const what = `an answer to ${text.slice(0, 100)}`
      await waitFor(() => isAnswered(old, message), { ...WAIT, what })
    }
    expect(old.closedWith).toBeUndefined()
    const answers = old.sent.map((line) => parse(line))
    expect(answers.find(({ t }) => t === 'welcome')).toMatchObject({ protocol })
    const pushes = recording.said('follower').filter(({ t }) => t === 'push')
    expect(answers.filter(({ t }) => t === 'pushed')).toMatchObject(
      pushes.map(({ n }) => ({ n, outcomes: ['applied'] })),
    )
    expect((await leader.store.get('items/c'))?.data).toBe('{"from":"the follower"}')
    expect(await leader.store.get('items/b')).toBeUndefined()
    const taken = await leader.store.keyState('items/of-follower')
    expect(taken?.record.fields).toEqual(protocol < 3 ? undefined : { later: 'x' })
    expect(leader.engine.status().followers).toMatchObject([{ name: 'follower', lagRows: 0 }])
  })

  it('a leader is followed: what it has is taken over, digit for digit, and live changes too', async () => {
    const rig = rigOfThen(recording)
    const old = new OldLeader(recording)
    const follower = await rig.add({
      host: 'follower',
      keys: KEYS,
      follows: 'http://leader',
      transport: old.transport,
      fill: recording.fillFollower.bind(recording),
    })
    const { store, engine } = follower
    await rig.until(() => engine.status().links[0]?.state === 'live', 'a live link')
    expect((await store.get('settings'))?.data).toBe('{"exact":12345678901234567890.10}')
    expect((await store.keyState('items/gone'))?.record.kind).toBe('tombstone')
    old.sayRows()
    await waitFor(async () => (await store.get('items/a'))?.data === '{"n":"changed"}', WAIT)
    await store.set('items/new', '1')
    await waitFor(() => old.heard.some((text) => text.includes('"items/new"')), WAIT)
    await rig.until(() => engine.status().links[0]?.outbox === 0, 'an empty outbox')
    const fieldsOf = async (key: string) => (await store.keyState(key))?.record.fields
    const marks = '1600000090000000000@x'
    expect(await Promise.all(['items/of-leader', 'items/live'].map(fieldsOf))).toEqual(
      protocol < 3 ? [undefined, undefined] : [{ marks }, { later: 'x', marks }],
    )
  })
})

describe('a peer of another stream protocol', () => {
  const recording = new Recording('compat')
  const fill = recording.fillLeader.bind(recording)
  it('that is too old is turned away with what is spoken here, and counted', async () => {
    const rig = rigOfThen(recording)
    const leader = await rig.add({ host: 'leader', keys: KEYS, fill })
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
    const rig = rigOfThen(recording)
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
    const rig = rigOfThen(recording)
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
      const message = recording.said('leader').find(({ t }) => t === 'welcome')
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
