/** Subscriptions to what filters show: the state is always what a fresh read would give. */

import { describe, expect, it } from 'vitest'
import { EMPTY_META, metaJson, metaListJson } from '../../../src/core/data/entry.ts'
import { hasGlob, matchKey } from '../../../src/core/keys/key.ts'
import { Filters } from '../../../src/store/filters/filters.ts'
import type { FakeTime } from '../../support/fake-time.ts'
import { fc } from '../../support/property.ts'
import { canonicalText } from '../core/exact-apply.ts'
import { type Bench, createBench, FakeSink, join, settle } from './fake-source.ts'

const DAY_NS = 86_400_000_000_000n

function filtered(): Bench & { filters: Filters } {
  const filters = new Filters()
  const bench = createBench({ shape: filters, reloadDelayMs: 500 })
  useTime(filters, bench.time)
  filters.onChange((path) => bench.hub.reshape(path))
  return { ...bench, filters }
}

function useTime(filters: Filters, time: FakeTime): void {
  const store = { sweep: async () => undefined }
  filters.start({ store, time, logger: SILENT, refresh: () => undefined })
}

const SILENT = { debug() {}, info() {}, warn() {}, error() {} }

function freshRead(
  { source, filters }: { source: Bench['source']; filters: Filters },
  pattern: string,
): string {
  const entries = source.list(pattern)
  if (hasGlob(pattern)) return canonicalText(metaListJson(filters.applyReadList(pattern, entries)))
  const entry = filters.applyReadObject(pattern, entries[0])
  return canonicalText(entry === undefined ? EMPTY_META : metaJson(entry))
}

describe('a limited list', () => {
  it('drops the oldest and adds the newest in one frame, and says nothing of what it never shows', async () => {
    const bench = filtered()
    bench.filters.limit('a/*', { limit: 2 })
    const { sink } = await join(bench.hub, 'a/*')
    for (const key of ['a/1', 'a/2', 'a/3']) bench.source.set(key, '0')
    expect(JSON.parse(sink.patches.at(-1) ?? '')).toMatchObject([
      { op: 'remove', path: '/1' },
      { op: 'add', path: '/0' },
    ])
    bench.source.set('a/0', '0', 1n)
    bench.source.delete('a/0')
    expect(sink.frames).toHaveLength(4)
    expect(sink.state).toBe(freshRead(bench, 'a/*'))
  })

  it('loses several expired entries in the frame of one write, also for an update of an expired one', async () => {
    const bench = filtered()
    bench.filters.limit('a/*', { maxAgeMs: 1000 })
    const now = bench.time.wallNs()
    for (let i = 0; i < 4; i++) bench.source.set(`a/${i}`, '0', now + BigInt(i))
    const { sink } = await join(bench.hub, 'a/*')
    bench.time.advance(2000)
    bench.source.set('a/new', '0', bench.time.wallNs())
    expect(sink.frames).toHaveLength(2)
    expect(sink.state).toBe(freshRead(bench, 'a/*'))
    bench.source.set('a/2', '1')
    expect(sink.frames).toHaveLength(2)
  })

  it('loses expired entries when it is refreshed or joined, and proves nothing it has not shown', async () => {
    const bench = filtered()
    bench.filters.limit('a/*', { maxAgeMs: 1000 })
    bench.source.set('a/1', '0', bench.time.wallNs())
    const first = await join(bench.hub, 'a/*')
    bench.time.advance(2000)
    bench.hub.refresh('a/*')
    expect(first.sink.state).toBe('[]')
    bench.source.set('a/2', '0', bench.time.wallNs())
    first.subscription.close()
    const same = await join(bench.hub, 'a/*', first.sink.version)
    expect(same.sink.frames).toEqual([])
    same.subscription.close()
    bench.time.advance(2000)
    const later = await join(bench.hub, 'a/*', first.sink.version)
    expect(later.sink.frames).toMatchObject([{ snapshot: true, data: '[]' }])
  })
})

describe('a filter that hides or changes entries', () => {
  it('hides them from lists and from their own subscribers alike', async () => {
    const bench = filtered()
    bench.filters.readObject('a/*', (_key, entry) =>
      (entry.data as { hidden?: boolean }).hidden ? undefined : { ...entry, data: { seen: true } },
    )
    const list = await join(bench.hub, '*/*')
    const one = await join(bench.hub, 'a/1')
    bench.source.set('a/1', '{"secret":1}')
    bench.source.set('b/1', '{"open":1}')
    for (const { sink } of [list, one]) expect(JSON.stringify(sink.frames)).not.toContain('secret')
    bench.source.set('a/1', '{"hidden":true}')
    expect(one.sink.state).toBe(canonicalText(EMPTY_META))
    expect(list.sink.state).toBe(canonicalText(metaListJson(bench.source.list('b/*'))))
  })

  it('that throws for an entry takes it out of lists and spares the others', async () => {
    const bench = filtered()
    bench.filters.readObject('a/*', (_key, entry) => {
      if (entry.data === 0) throw new Error('not for you')
      return entry
    })
    const { sink } = await join(bench.hub, 'a/*')
    bench.source.set('a/1', '1')
    bench.source.set('a/2', '1')
    bench.source.set('a/1', '0')
    expect(sink.patches.at(-1)).toBe('[{"op":"remove","path":"/1"}]')
    expect(bench.hub.metrics().reloads).toBe(0)
  })

  it('registered while serving gives everyone a fresh snapshot', async () => {
    const bench = filtered()
    bench.source.set('a/1', '1')
    const { sink } = await join(bench.hub, 'a/*')
    const idle = await join(bench.hub, 'a/1')
    idle.subscription.close()
    bench.filters.readList('a/*', () => [])
    bench.filters.readObject('a/*', () => undefined)
    await settle()
    expect(sink.state).toBe('[]')
    const again = await join(bench.hub, 'a/1', idle.sink.version)
    expect(again.sink.state).toBe(canonicalText(EMPTY_META))
  })

  it.each(['a/*', 'a/1'])(
    'registered while the pool of %s is read again is seen by a client that holds its version',
    async (pattern) => {
      const bench = filtered()
      bench.source.set('a/1', '1')
      const { sink, subscription } = await join(bench.hub, pattern)
      subscription.close()
      bench.source.holdReads()
      const again = join(bench.hub, pattern, sink.version)
      bench.filters.readObject('a/*', () => undefined)
      await bench.source.answerReads()
      const frames = (await again).sink.frames
      expect(frames.map(({ snapshot }) => snapshot)).toEqual([true])
      expect((await again).sink.state).toBe(freshRead(bench, pattern))
      expect(frames[0]?.version).not.toBe(sink.version)
    },
  )

  it('loses what expires while a pool is read again, refreshed or not', async () => {
    const bench = filtered()
    bench.filters.limit('a/*', { maxAgeMs: 1000 })
    bench.source.set('a/1', '1', bench.time.wallNs())
    const { sink, subscription } = await join(bench.hub, 'a/*')
    subscription.close()
    bench.source.holdReads()
    const again = join(bench.hub, 'a/*', sink.version)
    bench.time.advance(2000)
    bench.hub.refresh('a/*')
    await bench.source.answerReads()
    expect((await again).sink.frames).toMatchObject([{ snapshot: true, data: '[]' }])
    expect(bench.hub.metrics()).toMatchObject({ reloads: 0, failedReads: 0 })
  })
})

describe('a read filter that throws', () => {
  it('refuses new subscribers, keeps the state of others, and ends with a snapshot', async () => {
    const bench = filtered()
    let fault: Error | undefined
    bench.filters.readList('a/*', (_key, entries) => {
      if (fault !== undefined) throw fault
      return entries
    })
    const { sink } = await join(bench.hub, 'a/*')
    const other = await join(bench.hub, '*/*')
    fault = new Error('filter fault')
    bench.source.set('a/1', '1')
    await settle()
    expect(sink.frames).toHaveLength(1)
    expect(other.sink.frames).toHaveLength(2)
    await expect(join(bench.hub, 'a/*')).rejects.toThrow('filter fault')
    fault = undefined
    await bench.time.advanceAsync(5000)
    expect(sink.frames.map((frame) => frame.snapshot)).toEqual([true, true])
    bench.source.set('a/2', '2')
    expect(sink.state).toBe(freshRead(bench, 'a/*'))
  })
})

describe('what a client missed', () => {
  it('is sent as patches while the history holds them, else as a snapshot', async () => {
    const bench = createBench({ historyFrames: 3 })
    const held = await join(bench.hub, 'a/*')
    const versions: (string | undefined)[] = [held.sink.version]
    const states: (string | undefined)[] = [held.sink.state]
    for (let i = 0; i < 5; i++) {
      bench.source.set(`a/${i}`, String(i))
      versions.push(held.sink.version)
      states.push(held.sink.state)
    }
    for (const [i, expected] of [
      [5, 0],
      [4, 1],
      [2, 3],
    ] as const) {
      const sink = new FakeSink()
      sink.state = states[i]
      ;(await bench.hub.subscribe('a/*')).attach(sink, versions[i])
      expect(sink.frames.map((frame) => frame.snapshot)).toEqual(Array(expected).fill(false))
      expect(sink.state).toBe(held.sink.state)
    }
    const old = await join(bench.hub, 'a/*', versions[1])
    expect(old.sink.frames.map((frame) => frame.snapshot)).toEqual([true])
  })

  it('is a snapshot when the patches outgrow the budget in bytes', async () => {
    const bench = createBench({ historyBytes: 100 })
    const { sink } = await join(bench.hub, 'a/*')
    const before = sink.version
    bench.source.set('a/1', `"${'x'.repeat(200)}"`)
    const again = await join(bench.hub, 'a/*', before)
    expect(again.sink.frames.map((frame) => frame.snapshot)).toEqual([true])
  })

  it('is always a snapshot without patches', async () => {
    const bench = createBench({ noPatch: true })
    const { sink } = await join(bench.hub, 'a/*')
    bench.source.set('a/1', '1')
    bench.source.set('a/1', '2')
    expect(sink.frames.map((frame) => frame.snapshot)).toEqual([true, true, true])
    expect(sink.state).toBe(canonicalText(metaListJson(bench.source.list('a/*'))))
  })
})

const PATTERNS = ['a/*', '*/*', 'a/1', 'b/*', 'b/2'] as const
const KEYS = ['a/1', 'a/2', 'a/3', 'a/4', 'b/1', 'b/2', 'b/3'] as const

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('set' as const),
      key: fc.constantFrom(...KEYS),
      value: fc.nat({ max: 5 }),
      ageDays: fc.option(fc.nat({ max: 3 }), { nil: undefined }),
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
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('join', 'leave', 'reconnect'),
      client: fc.nat({ max: 3 }),
      pattern: fc.constantFrom(...PATTERNS),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('day', 'fault', 'heal', 'register') }) },
)

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

it('every subscriber ends with what a fresh read gives, after any program under filters', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), fc.nat({ max: 3 }), run),
    { numRuns: 700 },
  )
})

async function run(steps: readonly Step[], variant: number): Promise<void> {
  const bench = filtered()
  const { source, hub, time, filters } = bench
  let isFaulty = false
  registerFilters(filters, variant, () => isFaulty)
  const clients = new Map<number, { pattern: string; sink: FakeSink; leave: () => void }>()
  const connect = async (id: number, pattern: string, held?: FakeSink): Promise<void> => {
    const sink = new FakeSink()
    sink.state = held?.state
    sink.heldVersion = held?.version
    const subscription = await hub.subscribe(pattern).catch(() => undefined)
    subscription?.attach(sink, held?.version)
    if (subscription === undefined) clients.delete(id)
    else clients.set(id, { pattern, sink, leave: () => subscription.close() })
  }
  for (const next of steps) {
    if (next.do === 'set') {
      const age = BigInt(next.ageDays ?? 0) * DAY_NS
      const created =
        source.entries.get(next.key)?.created ?? time.wallNs() - age + BigInt(source.seq)
      source.set(next.key, String(next.value), created)
    } else if (next.do === 'delete') {
      const keys = [...source.entries.keys()].filter((key) => matchKey(next.pattern, key))
      if (keys.length > 0) source.delete(...keys)
    } else if ('client' in next) {
      const client = clients.get(next.client)
      client?.leave()
      if (next.do === 'join') await connect(next.client, next.pattern)
      else if (next.do === 'reconnect' && client) {
        await connect(next.client, client.pattern, client.sink)
      } else clients.delete(next.client)
    } else if (next.do === 'day') await time.advanceAsync(86_400_000)
    else if (next.do === 'register') filters.readList('b/*', (_key, all) => all.slice(0, 1))
    else isFaulty = next.do === 'fault'
  }
  isFaulty = false
  await time.advanceAsync(130_000)
  for (const path of PATTERNS) hub.refresh(path)
  await settle()
  for (const { pattern, sink } of clients.values()) {
    const fresh = readOrRefused(bench, pattern)
    // Refused: the subscriber was told nothing more, and a new one would not get in.
    if (fresh !== 'refused') expect(sink.state).toBe(fresh)
  }
  for (const { leave } of clients.values()) leave()
  expect(hub.metrics()).toMatchObject({ pools: 0, subscribers: 0 })
  hub.close()
  await filters.stop()
}

function readOrRefused(bench: ReturnType<typeof filtered>, pattern: string): string {
  try {
    return freshRead(bench, pattern)
  } catch {
    return 'refused'
  }
}

function registerFilters(filters: Filters, variant: number, isFaulty: () => boolean): void {
  if (variant === 0) filters.limit('a/*', { limit: 2, maxAgeMs: 2 * 86_400_000 })
  if (variant === 1) filters.limit('a/*', { limit: 2, order: 'asc' })
  if (variant === 2) {
    filters.readList('*/*', (_key, entries) => {
      if (isFaulty()) throw new Error('fault')
      return entries.filter(({ data }) => data !== 0).toReversed()
    })
  }
  filters.readObject('a/*', (_key, entry) => {
    if (entry.data === 5) throw new Error('refused')
    if (entry.data === 4 || entry.index === '') return undefined
    return entry.data === 3 ? { ...entry, data: { three: true } } : entry
  })
}
