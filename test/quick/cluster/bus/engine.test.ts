/** Engines on a bus in memory: who sends what, and what becomes of followers when the bus fails. */
import { afterEach, describe, expect, test } from 'vitest'
import { type Delivery, MemoryBus } from '../../../../cluster/bus/memory.ts'
import { type EngineNode, Engines, recordsOf } from '../../../cluster/engines.ts'
import { SeededRandom } from '../../../support/seeded-random.ts'

const MARK_MS = 200
const LIMITS = { busMarkIntervalMs: MARK_MS, compareIntervalMs: 0 } as const

interface Site {
  readonly engines: Engines
  readonly bus: MemoryBus
  readonly leader: EngineNode
  readonly followers: readonly EngineNode[]
  /** Messages with changes that were handed to the bus. */
  readonly batches: () => number
}

const open: EngineNode[] = []

afterEach(async () => {
  for (const { engine, store } of open.splice(0).reverse()) {
    await engine.stop()
    await store.close()
  }
})

async function site(
  count: number,
  deliver?: (delivery: Delivery, arrive: () => void) => void,
  limits: object = {},
): Promise<Site> {
  const engines = new Engines()
  const bus = new MemoryBus(deliver === undefined ? {} : { deliver })
  const add = async (host: string, follows?: string): Promise<EngineNode> => {
    const node = await engines.add(host, {
      ...(follows === undefined ? {} : { follows }),
      bus: bus.connect(host),
      limits: { ...LIMITS, ...limits },
    })
    open.push(node)
    return node
  }
  const leader = await add('leader')
  const followers: EngineNode[] = []
  for (let i = 0; i < count; i++) followers.push(await add(`f${i}`, 'leader'))
  const batches = (): number => leader.engine.status().bus?.batches ?? 0
  return { engines, bus, leader, followers, batches }
}

function feedOf(node: EngineNode): string {
  return node.link().feed.from
}

/** As both sides see it. */
async function untilOnBus({
  engines,
  leader,
  followers,
}: Omit<Site, 'bus' | 'batches'>): Promise<void> {
  const isOnBus = (): boolean =>
    followers.every((node) => feedOf(node) === 'bus') &&
    leader.engine.followers().every(({ feed }) => feed === 'bus')
  await engines.until(isOnBus, 'all on the bus')
}

async function untilEqual({ engines, leader, followers }: Site): Promise<void> {
  const inStep = (): boolean =>
    followers.every(
      (node) =>
        node.link().lagRows === 0 &&
        node.link().outbox === 0 &&
        node.link().cursor === leader.store.head,
    )
  await engines.until(inStep, 'all followers hold the log')
  const records = await recordsOf(leader.store)
  for (const { store } of followers) expect(await recordsOf(store)).toEqual(records)
}

describe('what a leader sends for one change', () => {
  test.each([1, 16])(
    'is one message on the bus, and no row on the streams of %i',
    async (count) => {
      const all = await site(count)
      const { engines, leader, batches } = all
      await untilOnBus(all)
      engines.sent.length = 0
      const before = batches()
      for (let i = 0; i < 10; i++) {
        await leader.store.set('items/a', `{"n":${i}}`)
        await engines.time.advanceAsync(1)
      }
      await untilEqual(all)
      expect(batches() - before).toBe(10)
      expect(engines.messages('rows')).toEqual([])
      expect(engines.sent.filter(({ from }) => from === 'leader').map(({ text }) => text)).toEqual(
        [],
      )
    },
  )
})

describe('a follower', () => {
  test('that is on the bus is acknowledged for at the next mark, and shown as fed by it', async () => {
    const all = await site(2)
    const { engines, leader } = all
    await untilOnBus(all)
    await leader.store.set('items/a', '1')
    await untilEqual(all)
    await engines.until(
      () =>
        leader.engine
          .followers()
          .every(({ cursor, feed }) => cursor === leader.store.head && feed === 'bus'),
      'the leader to know',
      4 * MARK_MS,
    )
  })

  test('that is asked says at once what it holds', async () => {
    const all = await site(2, undefined, { busMarkIntervalMs: 5000 })
    const { engines, leader } = all
    await untilOnBus(all)
    await leader.store.set('items/a', '1')
    const { head } = leader.store
    leader.engine.ask(head)
    await engines.until(
      () => leader.engine.followers().every(({ cursor }) => cursor >= head),
      'both acknowledgements',
      500,
    )
  })

  test('of some scopes takes only those from the bus, and knows that it has all', async () => {
    const engines = new Engines()
    const bus = new MemoryBus()
    const keys = [{ path: 'items/*' }, { path: 'settings' }]
    const leader = await engines.add('leader', { keys, bus: bus.connect('leader'), limits: LIMITS })
    const follower = await engines.add('f', {
      keys: [{ path: 'settings' }],
      follows: 'leader',
      bus: bus.connect('f'),
      limits: LIMITS,
    })
    open.push(leader, follower)
    await engines.until(() => feedOf(follower) === 'bus', 'on the bus')
    await leader.store.set('items/a', '1')
    await leader.store.set('settings', '2')
    await leader.store.set('items/b', '3')
    await engines.until(() => follower.link().cursor === leader.store.head, 'all is known')
    expect([...(await recordsOf(follower.store)).keys()]).toEqual(['settings'])
  })

  test('without a bus is served by the stream beside one that has it', async () => {
    const all = await site(1)
    await untilOnBus(all)
    const plain = await all.engines.add('plain', { follows: 'leader', limits: LIMITS })
    open.push(plain)
    await all.engines.untilLive(plain)
    await all.leader.store.set('items/a', '1')
    await untilEqual({ ...all, followers: [...all.followers, plain] })
    expect(feedOf(plain)).toBe('stream')
  })

  test('writes and hears of its own writes once', async () => {
    const all = await site(2)
    await untilOnBus(all)
    const [writer] = all.followers
    await writer?.store.set('items/mine', '1')
    await untilEqual(all)
    expect(writer?.store.head).toBe(1)
  })
})

describe('what the bus loses', () => {
  test('is seen by what comes next, and only that is fetched', async () => {
    let lose = false
    const all = await site(1, (_, arrive) => {
      if (!lose) queueMicrotask(arrive)
    })
    const { engines, leader, followers } = all
    await untilOnBus(all)
    for (let i = 0; i < 20; i++) {
      lose = i >= 5 && i < 8
      await leader.store.set(`items/k${i}`, '1')
      await engines.time.advanceAsync(1)
    }
    await untilEqual(all)
    expect(followers[0]?.link().feed).toMatchObject({ from: 'bus', fetched: 3, fallbacks: 0 })
  })

  test('at the end of a burst is seen by the next mark', async () => {
    let lose = false
    const all = await site(1, (_, arrive) => {
      if (!lose) queueMicrotask(arrive)
    })
    await untilOnBus(all)
    lose = true
    await all.leader.store.set('items/a', '1')
    await all.engines.time.advanceAsync(1)
    lose = false
    const from = all.engines.time.monotonicNs()
    await untilEqual(all)
    const tookMs = Number(all.engines.time.monotonicNs() - from) / 1e6
    expect(tookMs).toBeLessThanOrEqual(2 * MARK_MS)
  })

  test('while only old marks come through is seen by the beats of the stream', async () => {
    let stale: string | undefined
    let isStale = false
    const all = await site(
      1,
      ({ text }, arrive) => {
        if (!isStale) stale = text
        if (!isStale || text === stale) queueMicrotask(arrive)
      },
      { beatIntervalMs: 1000 },
    )
    const { engines, leader, bus } = all
    await untilOnBus(all)
    isStale = true
    const forger = bus.connect('forger')
    const { id, epoch } = leader.store
    await leader.store.set('items/a', '1')
    for (let ms = 0; ms < 3000; ms += 100) {
      forger.publish(`ooo:${id}:${epoch}`, stale ?? '')
      await engines.time.advanceAsync(100)
    }
    expect(all.followers[0]?.link().feed.from).toBe('bus')
    await untilEqual(all)
  })

  test('in any order, twice, late or never: followers equal the leader, and no more than what did not come in order is fetched', async () => {
    for (let seed = 1; seed <= 25; seed++) {
      const random = new SeededRandom(seed)
      let isBad = false
      let bad = 0
      const engines: { current?: Engines } = {}
      const all = await site(2, ({ text }, arrive) => {
        const isBatch = text.includes('"records":[[')
        if (!isBad) return queueMicrotask(arrive)
        const roll = random.next()
        if (isBatch && (roll < 0.15 || roll >= 0.4)) bad += roll < 0.15 || roll >= 0.5 ? 1 : 0
        if (roll < 0.15) return
        if (roll < 0.4) queueMicrotask(arrive)
        if (roll < 0.5 && roll >= 0.4) {
          queueMicrotask(arrive)
          engines.current?.time.after(random.below(30), arrive)
        }
        if (roll >= 0.5) engines.current?.time.after(random.below(20), arrive)
      })
      engines.current = all.engines
      await untilOnBus(all)
      isBad = true
      for (let i = 0; i < 60; i++) {
        const node = random.chance(0.2) ? (all.followers[0] ?? all.leader) : all.leader
        const key = `items/k${random.below(12)}`
        if (random.chance(0.2)) await node.store.delete(key).catch(() => undefined)
        else await node.store.set(key, `{"n":${i}}`)
        await all.engines.time.advanceAsync(random.below(6))
      }
      isBad = false
      await untilEqual(all)
      const fetched = all.followers.reduce((sum, node) => sum + node.link().feed.fetched, 0)
      expect(fetched, `seed ${seed}`).toBeLessThanOrEqual(bad)
    }
  })
})

describe('a bus that is away', () => {
  test('is left at once, and taken again when it comes back', async () => {
    const all = await site(3)
    const { engines, bus, leader } = all
    await untilOnBus(all)
    bus.goAway()
    await leader.store.set('items/a', '1')
    await untilEqual(all)
    expect(all.followers.map(feedOf)).toEqual(['stream', 'stream', 'stream'])
    expect(leader.engine.status().bus?.publishing.state).toBe('down')
    bus.comeBack()
    await untilOnBus(all)
    await leader.store.set('items/a', '2')
    await untilEqual(all)
    expect(engines.warnings).toEqual([])
  })

  test('only for the leader: followers are told on the stream and do without', async () => {
    const engines = new Engines()
    const bus = new MemoryBus()
    const other = new MemoryBus()
    const far = other.connect('leader')
    let isCut = false
    const near = bus.connect('leader')
    const leader = await engines.add('leader', {
      bus: { ...busOf(near), publish: (...message) => !isCut && near.publish(...message) },
      limits: { ...LIMITS, busMarkIntervalMs: 10_000 },
    })
    const follower = await engines.add('f', {
      follows: 'leader',
      bus: bus.connect('f'),
      limits: { ...LIMITS, busMarkIntervalMs: 10_000 },
    })
    open.push(leader, follower)
    await untilOnBus({ engines, leader, followers: [follower] })
    isCut = true
    await leader.store.set('items/a', '1')
    await engines.until(() => follower.link().cursor === leader.store.head, 'the change', 2000)
    expect(feedOf(follower)).toBe('stream')
    expect(follower.link().feed.lastReason).toContain('leader')
    await far.close()
  })

  test('silent, without anybody being told: it is left after a few marks', async () => {
    let isSilent = false
    const all = await site(1, (_, arrive) => {
      if (!isSilent) queueMicrotask(arrive)
    })
    await untilOnBus(all)
    isSilent = true
    await all.engines.until(
      () => feedOf(all.followers[0] ?? all.leader) === 'stream',
      'left',
      10 * MARK_MS,
    )
    await all.leader.store.set('items/a', '1')
    await untilEqual(all)
    isSilent = false
    await untilOnBus(all)
  })
})

describe('messages that', () => {
  test('are too large are announced, and fetched by each follower', async () => {
    const all = await site(2, undefined, { busMessageBytes: 500 })
    await untilOnBus(all)
    await all.leader.store.set('items/small', '1')
    await all.leader.store.set('items/large', JSON.stringify('x'.repeat(2000)))
    await all.leader.store.set('items/small2', '1')
    await untilEqual(all)
    expect(all.leader.engine.status().bus).toMatchObject({ notices: 1 })
    for (const node of all.followers)
      expect(node.link().feed).toMatchObject({ from: 'bus', fetched: 1 })
  })

  test('the leader did not seal are refused and counted, and change nothing', async () => {
    const all = await site(1)
    const { bus, leader, followers, engines } = all
    await untilOnBus(all)
    const { id, epoch, head } = leader.store
    const forged = JSON.stringify({
      epoch,
      from: head,
      to: head + 1,
      records: [['items/evil', 'x', '1', '0', '1']],
    })
    const forger = bus.connect('forger')
    const channel = `ooo:${id}:${epoch}`
    forger.publish(channel, forged)
    forger.publish(channel, `${'A'.repeat(43)}${forged}`)
    forger.publish(channel, '')
    await engines.time.advanceAsync(10)
    await leader.store.set('items/good', '1')
    await untilEqual(all)
    expect(followers[0]?.link().feed).toMatchObject({ from: 'bus', bus: { refused: 3 } })
  })
})

/** The methods of a bus as fields, so that some can be replaced. */
function busOf(bus: ReturnType<MemoryBus['connect']>): ReturnType<MemoryBus['connect']> {
  return {
    publish: (...message) => bus.publish(...message),
    subscribe: (...wish) => bus.subscribe(...wish),
    status: () => bus.status(),
    close: () => bus.close(),
  }
}
