/** Real engines and stores on a virtual clock and network, to be compared with each other. */

import type { ClusterLimits } from '../../cluster/config/options.ts'
import { resolveClusterOptions } from '../../cluster/config/options.ts'
import type { LinkStatus } from '../../cluster/follower/link-status.ts'
import type { ScopeOptions } from '../../cluster/members/placement.ts'
import { planPlacement, scopeOf } from '../../cluster/members/placement.ts'
import { ClusterEngine } from '../../cluster/node/engine.ts'
import { HybridClock } from '../../src/core/data/clock.ts'
import type { Entry, StoredRecord } from '../../src/core/data/entry.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import { SILENT_LOGGER } from '../../src/core/ports/logger.ts'
import type { Bus } from '../../src/fanout/bus.ts'
import { ReplicationStore } from '../../src/store/replication-store.ts'
import { MemoryStorage } from '../../storage-adapters/memory/memory.ts'
import { VirtualNetwork } from '../simulation/network.ts'
import { FAKE_START_NS, FakeTime } from '../support/fake-time.ts'
import { SeededRandom } from '../support/seeded-random.ts'

export interface EngineNode {
  readonly store: ReplicationStore
  readonly engine: ClusterEngine
  /** The only link of a follower. */
  link(): LinkStatus
}

export interface EngineNodeOptions {
  readonly keys?: readonly ScopeOptions[]
  readonly follows?: string
  /** Held before the engine starts, and owed to nobody. */
  readonly records?: readonly StoredRecord[]
  readonly limits?: Partial<ClusterLimits>
  readonly bus?: Bus
  /** Default: one of its own, in memory. */
  readonly storage?: MemoryStorage
}

export class Engines {
  readonly time: FakeTime = new FakeTime()
  readonly network: VirtualNetwork
  /** Texts sent, by direction, since the last `reset`. */
  readonly sent: { from: string; to: string; text: string }[] = []
  readonly warnings: string[] = []

  constructor(seed = 1) {
    this.network = new VirtualNetwork(this.time, new SeededRandom(seed))
    this.network.tap = (from, to, text) => {
      this.sent.push({ from, to, text })
    }
  }

  async add(host: string, options: EngineNodeOptions = {}): Promise<EngineNode> {
    const { keys = [{ path: 'items/*' }], follows, records = [], limits, bus } = options
    const { storage: adapter = new MemoryStorage() } = options
    const { time, network } = this
    const clock = new HybridClock(time)
    let ids = 0
    const newId = (): string => `${host}-${ids++}`
    const store = new ReplicationStore({ adapter, clock, newId, time })
    const placement = planPlacement(keys, follows, 'nodes/*')
    store.setLeaderOf((key) => scopeOf(placement, key)?.leader)
    await store.open()
    await plant(store, records)
    const logger: Logger = {
      ...SILENT_LOGGER,
      warn: (message) => this.warnings.push(message),
    }
    const clusterUrl = follows === undefined ? {} : { clusterUrl: follows }
    const engine = new ClusterEngine({
      options: resolveClusterOptions({
        keys,
        ...clusterUrl,
        ...(limits ? { limits } : {}),
        ...(bus ? { bus } : {}),
        logger,
      }),
      placement,
      store,
      clock,
      time,
      random: () => 0.5,
      transport: network.transportOf(host),
      newId,
    })
    await engine.start()
    network.listen(host, (socket, from) => engine.accept(socket, from))
    return {
      store,
      engine,
      link: () => {
        const [link] = engine.status().links
        if (link === undefined) throw new Error(`${host} follows nobody`)
        return link
      },
    }
  }

  /** Lets virtual time pass until the condition holds. */
  async until(condition: () => boolean, what: string, limitMs = 60_000): Promise<void> {
    for (let ms = 0; ms < limitMs; ms += 20) {
      if (condition()) return
      await this.time.advanceAsync(20)
    }
    throw new Error(`not within ${limitMs} ms: ${what}`)
  }

  /** Lets virtual time pass until the follower is live and owes nothing. */
  async untilLive(follower: EngineNode): Promise<void> {
    await this.until(() => {
      const { state, outbox } = follower.link()
      return state === 'live' && outbox === 0
    }, 'a live link')
  }

  /** Characters carried in both directions; all texts are ASCII here. */
  bytes(): number {
    return this.sent.reduce((sum, { text }) => sum + text.length, 0)
  }

  /** Messages of one type. */
  messages(t: string): { from: string; to: string; text: string }[] {
    return this.sent.filter(({ text }) => text.startsWith(`{"t":"${t}"`))
  }
}

/**
 * Puts records into a store as they are, owing them to nobody, whatever was there.
 * @param source the stream of a leader that is not sent them, as if they had come over it.
 */
export async function plant(
  store: ReplicationStore,
  records: readonly StoredRecord[],
  source = 'elsewhere',
): Promise<void> {
  for (let i = 0; i < records.length; i += 5000) {
    const page = records.slice(i, i + 5000)
    await store.run({
      reads: () => ({ keys: page.map(({ key }) => key) }),
      plan: () => ({
        plan: { keyStates: page.map((record) => ({ record, pendingFor: undefined })), source },
        result: undefined,
      }),
    })
  }
}

export async function recordsOf(store: ReplicationStore): Promise<Map<string, StoredRecord>> {
  const records = new Map<string, StoredRecord>()
  for await (const record of (await store.scan()).records) records.set(record.key, record)
  return records
}

/** An entry made `ago` nanoseconds before the virtual clock started. */
export function old(key: string, ago: number, origin = 'someone'): Entry {
  const created = FAKE_START_NS - BigInt(ago)
  return { kind: 'entry', key, created, updated: 0n, origin, data: '{"value":1}' }
}

export function oldEntries(count: number, prefix = 'items/'): Entry[] {
  return Array.from({ length: count }, (_, i) => old(`${prefix}k${i}`, 1000 + i))
}
