/**
 * Random programs of writes, deletes, subscriptions and reconnects against a real server over real
 * sockets. Each frame takes a subscriber from what the filters showed after one commit to what they
 * showed after the next that changed it. When all is quiet, what it has put together equals what a
 * fresh GET gives: once exactly, digit for digit, once with fast-json-patch.
 */

import jsonPatch from 'fast-json-patch'
import { expect, it } from 'vitest'
import {
  EMPTY_META,
  type Entry,
  metaJson,
  metaListJson,
  newestFirst,
} from '../../../src/core/data/entry.ts'
import { hasGlob, matchKey } from '../../../src/core/keys/key.ts'
import { applyExactly, canonicalText } from '../../quick/core/exact-apply.ts'
import { parseEnvelope } from '../../quick/fanout/fake-source.ts'
import { type Places, StateHistory } from '../../quick/fanout/state-history.ts'
import { fc } from '../../support/property.ts'
import { waitFor } from '../../support/wait.ts'
import { SocketClient, serve, type TestServer } from '../serve.ts'

const PATTERNS = ['*', 'a/*', 'a/*/b', 'a*', '*/*', 'a', 'a/k-1', 'x_y.z/*'] as const
const KEYS = ['a', 'ab', 'a/k-1', 'a/k_2', 'a/k.3', 'a/k-1/b', 'a/k_2/b', 'x_y.z/1', 'b'] as const
const PUSHES = ['a/*', '*', 'x_y.z/*'] as const
const DATA = [
  '{"n":9007199254740993,"m":0.10,"t":"é<&>\\u2028"}',
  '{"n":9007199254740995,"list":[{"id":1},{"id":2},{"id":3}]}',
  '{"n":123456789012345678901234567890,"list":[{"id":1},{"id":3}],"a/b~c":null}',
  '[3,2,1]',
  '"text"',
  'null',
] as const
const MERGES = [
  '{"n":9007199254740997}',
  '{"list":{"0":{"id":9007199254740999}}}',
  '{"deep":{"er":[1,2]}}',
  '{"deep":1}',
] as const

type Step =
  | { do: 'set'; key: string; data: string }
  | { do: 'push'; glob: string; data: string }
  | { do: 'patch'; key: string; data: string }
  | { do: 'delete'; key: string }
  | { do: 'subscribe'; client: number; pattern: string }
  | { do: 'cut'; client: number }
  | { do: 'reconnect'; client: number }

const client = fc.nat({ max: 3 })
const key = fc.constantFrom(...KEYS)
const data = fc.constantFrom(...DATA)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('set'), key, data }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('push'), glob: fc.constantFrom(...PUSHES), data }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('patch'), key, data: fc.constantFrom(...MERGES) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('delete'), key: fc.constantFrom(...KEYS, ...PATTERNS) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('subscribe'),
      client,
      pattern: fc.constantFrom(...PATTERNS),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cut'), client }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('reconnect'), client }) },
)

/** A subscriber that keeps its state over connections. */
interface Follower {
  readonly pattern: string
  readonly connections: Connection[]
}

interface Connection extends SocketClient {
  /** Place in the history of the pattern of the latest state when the connection was begun. */
  begunAt: number
}

it('every subscriber sees the states in order and ends with what GET gives, after any program', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 5, maxLength: 40, size: 'max' }),
      fc.boolean(),
      fc.boolean(),
      (steps, oneByOne, isFiltered) => run(steps, oneByOne, isFiltered),
    ),
    { numRuns: 60 },
  )
}, 600_000)

/** @param oneByOne whether each write is awaited before the next step begins */
async function run(steps: readonly Step[], oneByOne: boolean, isFiltered: boolean): Promise<void> {
  const server = await serve({ maxIdlePools: 2 })
  if (isFiltered) registerFilters(server)
  const histories = recordHistories(server)
  const followers = new Map<number, Follower>()
  const writes: Promise<unknown>[] = []
  for (const next of steps) {
    if ('client' in next) await connect(server, followers, histories, next)
    else {
      const written = write(server, next)
      writes.push(written)
      if (oneByOne) await written
    }
  }
  await Promise.all(writes)
  for (const follower of followers.values()) {
    await assertCaughtUp(server, follower)
    assertInOrder(follower, histories.get(follower.pattern))
  }
  for (const { connections } of followers.values()) connections.at(-1)?.socket.terminate()
  await waitFor(() => server.server.hub.metrics().subscribers === 0)
  expect(server.server.hub.metrics()).toMatchObject({ pools: 0, reloads: 0, framesDropped: 0 })
  await server.server.close()
}

function write(server: TestServer, next: Exclude<Step, { client: number }>): Promise<unknown> {
  if (next.do === 'set') return server.post(`/${next.key}`, next.data)
  if (next.do === 'push') return server.post(`/${next.glob}`, next.data)
  if (next.do === 'patch') return server.request('PATCH', `/${next.key}`, next.data)
  return server.request('DELETE', `/${next.key}`)
}

async function connect(
  server: TestServer,
  followers: Map<number, Follower>,
  histories: Histories,
  next: Extract<Step, { client: number }>,
): Promise<void> {
  let follower = followers.get(next.client)
  const last = follower?.connections.at(-1)
  last?.socket.terminate()
  if (next.do === 'cut') {
    await last?.waitClosed()
    return
  }
  if (next.do === 'subscribe') {
    follower = { pattern: next.pattern, connections: [] }
    followers.set(next.client, follower)
  }
  if (follower === undefined) return
  const held = next.do === 'reconnect' ? last : undefined
  const version = held?.version === undefined ? '' : `?v=${held.version}`
  const url = `ws://127.0.0.1:${server.port}/${follower.pattern}${version}`
  const begunAt = histories.get(follower.pattern)?.end ?? 0
  const socket = Object.assign(new SocketClient(url), { begunAt })
  socket.state = held?.state
  socket.version = held?.version
  follower.connections.push(socket)
  await socket.opened
}

type Histories = ReadonlyMap<string, StateHistory>

/** What the filters show of each pattern after every commit, from here on. */
function recordHistories({ server: { store, filters } }: TestServer): Histories {
  const entries = new Map<string, Entry>()
  const shown = (pattern: string): string => {
    const matching = [...entries.values()].filter(({ key }) => matchKey(pattern, key))
    matching.sort(newestFirst)
    if (hasGlob(pattern))
      return canonicalText(metaListJson(filters.applyReadList(pattern, matching)))
    const entry = filters.applyReadObject(pattern, matching[0])
    return canonicalText(entry === undefined ? EMPTY_META : metaJson(entry))
  }
  const histories = new Map(PATTERNS.map((p) => [p as string, new StateHistory(p, shown(p))]))
  store.onCommit(({ changes }) => {
    for (const { key, after } of changes) {
      if (after.kind === 'entry') entries.set(key, after)
      else entries.delete(key)
    }
    for (const [pattern, history] of histories) history.add(shown(pattern))
  })
  return histories
}

/** Only the first frame of a connection may skip states, and none may go back. */
function assertInOrder(follower: Follower, history: StateHistory | undefined): void {
  let places: Places | undefined
  let state = ''
  for (const { texts, begunAt } of follower.connections) {
    for (const [i, text] of texts.entries()) {
      const { snapshot, data } = parseEnvelope(text)
      state = snapshot ? canonicalText(data) : applyExactly(state, data)
      const from = new Set([Math.max(begunAt, Math.min(...(places ?? [0])))])
      if (i === 0 && snapshot) places = history?.later(from, state)
      else places = history?.next(places ?? new Set(), state)
    }
  }
}

async function assertCaughtUp(server: TestServer, follower: Follower): Promise<void> {
  const last = follower.connections.at(-1)
  if (last === undefined || last.socket.readyState !== last.socket.OPEN) return
  const answer = await server.get(`/${follower.pattern}`)
  const expected = canonicalText(answer.status === 404 ? EMPTY_META : answer.body)
  await waitFor(() => last.state === expected, {
    what: `${follower.pattern} to be ${expected}; it is ${last.state}`,
  })
  expect(looseState(follower)).toEqual(JSON.parse(expected))
}

/** The state as a browser client has it: numbers as doubles, patches by fast-json-patch. */
function looseState(follower: Follower): unknown {
  let state: unknown
  for (const text of follower.connections.flatMap((connection) => connection.texts)) {
    const { snapshot, data } = JSON.parse(text) as { snapshot: boolean; data: never }
    state = snapshot ? data : jsonPatch.applyPatch(state, data, true, true).newDocument
  }
  return state
}

/** A limit, and a filter that hides one kind of data, refuses another and changes a third. */
function registerFilters({ server: { filters } }: TestServer): void {
  filters.limit('x_y.z/*', { limit: 2 })
  filters.limit('a/*', { limit: 2, order: 'asc' })
  filters.readObject('*/*', (_key, entry) => {
    if (entry.data === 'text') return undefined
    return entry.data === null ? { ...entry, data: 'nothing' } : entry
  })
}
