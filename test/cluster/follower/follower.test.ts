import { beforeEach, describe, expect, test } from 'vitest'
import { DigestTable } from '../../../cluster/anti-entropy/digest-table.ts'
import { FollowerLink } from '../../../cluster/follower/follower.ts'
import { laterSeen, loadProgress } from '../../../cluster/progress/link-progress.ts'
import { PartialValues } from '../../../cluster/stream/partial-values.ts'
import { SILENT_LOGGER } from '../../../src/core/ports/logger.ts'
import type { LeaderMessage } from '../../../src/core/wire/protocol.ts'
import {
  decodeFollowerMessage,
  encodeMessage,
  STREAM_PROTOCOL,
} from '../../../src/core/wire/protocol.ts'
import type { ReplicationStore } from '../../../src/store/replication-store.ts'
import { FakeTime } from '../../support/fake-time.ts'
import { FakeTransport } from '../../support/fake-transport.ts'
import { openStore } from '../../support/store.ts'
import { waitFor } from '../../support/wait.ts'
import { entry, LIMITS } from '../fixtures.ts'

const LEADER = 'http://leader:8800'
const welcome: LeaderMessage = {
  t: 'welcome',
  protocol: STREAM_PROTOCOL,
  id: 'l',
  epoch: 'e1',
  head: 17,
  resume: true,
  clock: '1',
  continues: true,
  forgotten: '0',
}

let store: ReplicationStore
let transport: FakeTransport
let link: FollowerLink

beforeEach(async () => {
  store = await openStore()
  store.setLeaderOf(() => LEADER)
  transport = new FakeTransport()
  const time = new FakeTime()
  const digests = new DigestTable(store, time, [])
  link = new FollowerLink({
    retentionMs: 0,
    leader: LEADER,
    identity: { id: store.id, name: 'f', scopes: ['items/*'] },
    progress: { cursor: { epoch: 'e1', seq: 0 }, seen: null },
    sets: [{ path: 'items/*', except: [] }],
    digests,
    conflicts: store.conflictLog({
      maxEntries: 10,
      oldNs: () => 0n,
      now: () => 1n,
      scopeOf: () => '',
      onError: () => undefined,
    }),
    partials: new PartialValues({ time, maxUnits: 1_000_000, keepMs: 60_000 }),
    placementId: 'p',
    store,
    clock: undefined,
    time,
    random: () => 0.5,
    transport,
    token: 'secret',
    limits: LIMITS,
    logger: SILENT_LOGGER,
  })
  link.start()
  transport.last.accept()
  await sent('hello')
})

function say(message: LeaderMessage): void {
  transport.last.message(encodeMessage(message))
}

/** Waits until the follower has sent a message of this kind on its present connection. */
async function sent(kind: string): Promise<void> {
  const kinds = (): string[] => transport.last.sent.map((text) => decodeFollowerMessage(text).t)
  await waitFor(() => kinds().includes(kind), { what: `"${kind}" to be sent` })
}

describe('a follower link', () => {
  test('dials the stream of its leader with the cluster token', () => {
    expect(transport.last.request).toMatchObject({
      url: 'ws://leader:8800/_pivot/stream',
      headers: { 'x-ooo-cluster-token': 'secret' },
    })
  })

  test('stores with each page the state of the log that the page was read from', async () => {
    say(welcome)
    say({ t: 'rows', records: [entry('items/a', 1)], through: 8, head: 17 })
    await sent('ack')
    expect(loadProgress(store, LEADER, 'p')).toMatchObject({
      cursor: { epoch: 'e1', seq: 8 },
      seen: { epoch: 'e1', seq: 17 },
    })
    expect((await store.get('items/a'))?.origin).toBe('nodeA')
  })

  test('progress of another placement counts for nothing', async () => {
    say(welcome)
    say({ t: 'rows', records: [], through: 17, head: 17 })
    await sent('ack')
    expect(loadProgress(store, LEADER, 'other')).toEqual({ cursor: null, seen: null })
  })

  test('drops a leader that it does not understand, and says why in its status', async () => {
    transport.last.message('{"t":"nonsense"}')
    expect(link.status()).toMatchObject({ state: 'offline' })
    expect(link.status().lastError).toContain('"t"')
  })

  test('pushes what was written here once it is live, and forgets it when that is acknowledged', async () => {
    await store.set('items/b', '1')
    expect(link.status().outbox).toBe(1)
    say(welcome)
    say({ t: 'rows', records: [], through: 17, head: 17 })
    await sent('push')
    say({ t: 'pushed', n: 1, outcomes: ['applied'], head: 18 })
    await waitFor(() => link.status().outbox === 0, { what: 'an empty outbox' })
    expect(loadProgress(store, LEADER, 'p').seen).toEqual({ epoch: 'e1', seq: 18 })
  })
})

test('of two states of one epoch the later counts; a new epoch replaces an old one', () => {
  const at = (epoch: string, seq: number) => ({ epoch, seq })
  expect(laterSeen(null, at('e1', 3))).toEqual(at('e1', 3))
  expect(laterSeen(at('e1', 5), at('e1', 3))).toEqual(at('e1', 5))
  expect(laterSeen(at('e1', 3), at('e1', 5))).toEqual(at('e1', 5))
  expect(laterSeen(at('e1', 5), at('e2', 3))).toEqual(at('e2', 3))
})
