/** What an election decides, carried out on a real store, with what runs under a placement told only. */
import { describe, expect, it } from 'vitest'
import { type Placement, planPlacement, scopeOf } from '../../../cluster/members/placement.ts'
import { Leadership, type LeaderTerm } from '../../../cluster/node/leadership.ts'
import { HybridClock } from '../../../src/core/data/clock.ts'
import { SILENT_LOGGER } from '../../../src/core/ports/logger.ts'
import type { ReplicationStore } from '../../../src/store/replication-store.ts'
import { FakeTime } from '../../support/fake-time.ts'
import { SeededRandom } from '../../support/seeded-random.ts'
import { openStore } from '../../support/store.ts'
import { LeaseServer, leaseOver } from '../../support/virtual-lease.ts'

const SELF = { id: 'me', url: 'http://me:1' }
const OTHER = { id: 'other', url: 'http://other:1', session: 'o' }
const THIRD = { id: 'third', url: 'http://third:1', session: 't' }
/** One path has a leader of its own, which is a candidate as well. */
const KEYS = [{ path: 'fixed/*', clusterUrl: OTHER.url }, { path: 'items/*' }]

interface Rig {
  readonly time: FakeTime
  readonly server: LeaseServer
  readonly store: ReplicationStore
  readonly leadership: Leadership<LeaderTerm>
  /** Nodes that are cut off from the lease. */
  readonly cut: { isCut: boolean }
  /** Started, and not stopped yet. */
  readonly running: Set<LeaderTerm>
  /** Starts that are to fail. */
  readonly failing: { starts: number }
  /** What `leaderOf` answered under which epoch, when it answered that this node leads. */
  readonly led: Set<string>
}

async function rig(): Promise<Rig> {
  const time = new FakeTime()
  const server = new LeaseServer(time)
  const cut = { isCut: false }
  const failing = { starts: 0 }
  const running = new Set<LeaderTerm>()
  const led = new Set<string>()
  const store = await openStore({
    leaderOf: (key) => {
      const leader = leadership.leaderOf(key)
      if (leader === undefined && key.startsWith('items/')) led.add(store.epoch.slice(0, 2))
      return leader
    },
  })
  const run = async (placement: Placement): Promise<LeaderTerm> => {
    if (failing.starts-- > 0) throw new Error('no room')
    const engine = {
      placement,
      followers: () => [],
      status: () => ({ registered: [] }) as unknown as ReturnType<LeaderTerm['engine']['status']>,
      onProgress: () => () => undefined,
      ask: () => undefined,
    }
    const term: LeaderTerm = {
      engine,
      stop: async () => {
        running.delete(term)
      },
    }
    running.add(term)
    return term
  }
  const leadership = new Leadership<LeaderTerm>({
    ...{ store, time, run, random: new SeededRandom(1).next, logger: SILENT_LOGGER },
    clock: new HybridClock(time),
    plan: (leader) => planPlacement(KEYS, leader, 'nodes/*'),
    newId: () => 'x',
  })
  const pass = async (): Promise<void> => {
    if (cut.isCut) throw new Error('out of reach')
  }
  await leadership.start(leaseOver(server, { ...SELF, session: 's' }, pass), SELF)
  return { time, server, store, leadership, cut, running, failing, led }
}

const leaderIn = ({ placement }: Leadership<LeaderTerm>): string | undefined =>
  scopeOf(placement, 'items/x')?.leader

describe('a change of leader', () => {
  it('is followed to a node that leads another scope by configuration', async () => {
    const { time, server, leadership, running } = await rig()
    server.take(THIRD, 0)
    await time.advanceAsync(2000)
    expect(leaderIn(leadership)).toBe(THIRD.url)
    server.release(THIRD, 1)
    server.take(OTHER, 1)
    await time.advanceAsync(600)
    expect(leaderIn(leadership)).toBe(OTHER.url)
    expect(running.size).toBe(1)
    await leadership.close()
    expect(running.size).toBe(0)
  })

  it('to this node begins its epoch before anything is decided in it', async () => {
    const { time, server, store, leadership, led } = await rig()
    server.take(OTHER, 0)
    await time.advanceAsync(2000)
    expect(leaderIn(leadership)).toBe(OTHER.url)
    for (let i = 0; i < 10; i++) await store.set(`items/${i}`, '1')
    expect(led.size).toBe(0)
    server.release(OTHER, 1)
    await time.advanceAsync(2000)
    expect(leadership.leads).toBe(true)
    await store.set('items/0', '2')
    expect([...led]).toEqual(['2-'])
    await leadership.close()
  })

  it('that failed is tried again, also when the lease has lapsed meanwhile', async () => {
    const { time, leadership, cut, running, failing } = await rig()
    failing.starts = 5
    await time.advanceAsync(700)
    cut.isCut = true
    expect(running.size).toBe(0)
    await time.advanceAsync(20_000)
    expect(leadership.report()?.state).toBe('demoting')
    expect(running.size).toBe(1)
    await leadership.close()
  })

  it('owes the next leader what was written while what serves followers could not be started', async () => {
    const { time, server, store, leadership, failing } = await rig()
    await time.advanceAsync(100)
    await store.set('items/before', '1')
    failing.starts = Number.POSITIVE_INFINITY
    server.release({ ...SELF, session: 's' }, 1)
    server.take(OTHER, 1)
    await time.advanceAsync(2000)
    server.release(OTHER, 2)
    await time.advanceAsync(2000)
    expect([leadership.leads, leadership.term]).toEqual([true, undefined])
    await store.set('items/alone', '1')
    server.release({ ...SELF, session: 's' }, 3)
    server.take(OTHER, 3)
    await time.advanceAsync(2000)
    const pending = await store.pending(OTHER.url, 10, new Set())
    expect(pending.map(({ record }) => record.key)).toContain('items/alone')
    await leadership.close()
  })

  it('leaves nothing behind, however often it comes', async () => {
    const { time, server, store, leadership, running } = await rig()
    for (let round = 0; round < 40; round++) {
      await time.advanceAsync(1500)
      expect(leadership.leads).toBe(true)
      await store.set(`items/${round}`, '1')
      const by = round % 2 === 0 ? OTHER : THIRD
      const token = leadership.report()?.token ?? 0
      server.release({ ...SELF, session: 's' }, token)
      const { token: next } = server.take(by, token)
      await time.advanceAsync(1500)
      expect(leaderIn(leadership)).toBe(by.url)
      expect(running.size).toBe(1)
      expect(store.pendingCount(by.url)).toBe(round + 1)
      server.release(by, next)
    }
    await leadership.close()
    expect([running.size, time.pending]).toEqual([0, 0])
  })
})
