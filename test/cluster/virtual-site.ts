/** A few nodes, production engine and store, on a virtual network, each with a wall clock of its own. */

import { resolveClusterOptions } from '../../cluster/config/options.ts'
import type { LeaseView } from '../../cluster/election/lease/lease.ts'
import type { VotersReport } from '../../cluster/election/voters/report.ts'
import type { Standing } from '../../cluster/election/voters/standing.ts'
import {
  type Placement,
  planPlacement,
  type ScopeOptions,
  scopeOf,
} from '../../cluster/members/placement.ts'
import { ClusterEngine, type EngineOptions } from '../../cluster/node/engine.ts'
import { Leadership, type LeaderTerm } from '../../cluster/node/leadership.ts'
import { HybridClock } from '../../src/core/data/clock.ts'
import type { StoredRecord } from '../../src/core/data/entry.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import { NS_PER_MS, type TimeSource } from '../../src/core/ports/time.ts'
import { ReplicationStore } from '../../src/store/replication-store.ts'
import { MemoryStorage } from '../../storage-adapters/memory/memory.ts'
import { VirtualNetwork } from '../simulation/network.ts'
import { FakeTime } from '../support/fake-time.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { LeaseServer, leaseOver } from '../support/virtual-lease.ts'

const KEYS: readonly ScopeOptions[] = [{ path: 'settings' }, { path: 'items/*' }]

export interface SiteNodeOptions {
  readonly follows?: string
  /** Those who vote first: the leader is elected by the lease of the site. */
  readonly voters?: readonly string[]
  readonly keys?: readonly ScopeOptions[]
  readonly retentionMs?: number
  readonly driftMs?: number
  /** Milliseconds its wall clock is ahead. */
  readonly skewMs?: number
  /** Other hosts that it answers as. */
  readonly aliases?: readonly string[]
}

export class VirtualSite {
  readonly time: FakeTime = new FakeTime()
  readonly random: SeededRandom = new SeededRandom(1)
  readonly network: VirtualNetwork = new VirtualNetwork(this.time, this.random)
  readonly nodes: SiteNode[] = []
  readonly lease: LeaseServer = new LeaseServer(this.time)
  /** Hosts that do not reach the lease. */
  readonly cutFromLease: Set<string> = new Set()
  /** Hosts that are always too late for it. */
  readonly tooLate: Set<string> = new Set()

  async node(host: string, options: SiteNodeOptions = {}): Promise<SiteNode> {
    const node = new SiteNode(this, host, options)
    this.nodes.push(node)
    await node.start()
    return node
  }

  /** Lets time pass. */
  async run(ms: number): Promise<void> {
    await this.time.advanceAsync(ms)
  }

  /** Lets time pass until `condition` holds. @throws Error after `limitMs` of virtual time. */
  async until(
    what: string,
    condition: () => boolean | Promise<boolean>,
    limitMs = 60_000,
  ): Promise<void> {
    for (let ms = 0; ms < limitMs; ms += 200) {
      if (await condition()) return
      await this.time.advanceAsync(200)
    }
    throw new Error(`not within ${limitMs} ms: ${what}; ${await this.tell()}`)
  }

  /** Lets time pass until all nodes that are up hold the same and owe nothing. */
  async agree(limitMs = 60_000): Promise<void> {
    await this.until('all nodes agree', () => this.#isAgreed(), limitMs)
  }

  async #isAgreed(): Promise<boolean> {
    const up = this.nodes.filter((node) => node.isUp)
    if (!up.every((node) => node.isSettled)) return false
    const states = new Set<string>()
    for (const node of up) states.add(await node.tell())
    return states.size <= 1
  }

  async tell(): Promise<string> {
    const lines: string[] = []
    for (const node of this.nodes) if (node.isUp) lines.push(`${node.host}: ${await node.tell()}`)
    return lines.join('\n')
  }

  async stop(): Promise<void> {
    for (const node of this.nodes) if (node.isUp) await node.stop()
  }
}

interface SiteTerm extends LeaderTerm {
  readonly engine: ClusterEngine
}

/** What runs, with an engine of its own or one that changes with the leader. */
interface Running {
  readonly store: ReplicationStore
  readonly clock: HybridClock
  readonly engine?: ClusterEngine
  readonly leadership?: Leadership<SiteTerm>
}

type EngineParts = Pick<EngineOptions, 'store' | 'clock' | 'time' | 'newId'>

export class SiteNode {
  readonly host: string
  /** What its wall clock is ahead, milliseconds; may be changed at any time. */
  skewMs: number
  /** Whom it follows from its next start on. */
  follows: string | undefined
  /** How much faster its wall clock runs: 0.01 is one percent. */
  rate = 0
  /** Messages of its log. */
  readonly logged: string[] = []
  storage: MemoryStorage = new MemoryStorage()
  readonly #site: VirtualSite
  readonly #options: SiteNodeOptions
  #running: Running | undefined
  #lives = 0

  constructor(site: VirtualSite, host: string, options: SiteNodeOptions) {
    this.host = host
    this.#site = site
    this.#options = options
    this.skewMs = options.skewMs ?? 0
    this.follows = options.follows
  }

  get isUp(): boolean {
    return this.#running !== undefined
  }

  get store(): ReplicationStore {
    return this.#parts().store
  }

  get engine(): ClusterEngine {
    const engine = this.#engine()
    if (engine === undefined) throw new Error(`${this.host} changes its leader`)
    return engine
  }

  /** Whether it holds the lease by which the leader is elected. */
  get leads(): boolean {
    return this.#running?.leadership?.leads === true
  }

  /** Of a node that elects its leader. */
  get voters(): VotersReport | undefined {
    return this.#parts().leadership?.voters()
  }

  get clock(): HybridClock {
    return this.#parts().clock
  }

  get isSettled(): boolean {
    const links = this.#engine()?.status().links
    return links?.every(({ state, outbox }) => state === 'live' && outbox === 0) === true
  }

  async start(): Promise<void> {
    const { voters } = this.#options
    const life = ++this.#lives
    const time = this.#time(life)
    const clock = new HybridClock(time)
    let ids = 0
    const newId = (): string => `${this.host}x${life}x${ids++}`
    const store = new ReplicationStore({ adapter: this.storage, clock, newId, time })
    const parts = { store, clock, time, newId }
    if (voters !== undefined) await this.#elect(life, parts, voters)
    else {
      const placement = planPlacement(this.#keys, this.follows, 'nodes/*')
      store.setLeaderOf((key) => scopeOf(placement, key)?.leader)
      await store.open()
      const engine = this.#makeEngine(parts, placement)
      await engine.start()
      this.#running = { store, clock, engine }
    }
    for (const host of this.#hosts()) this.answersAs(host)
  }

  get #keys(): readonly ScopeOptions[] {
    return this.#options.keys ?? KEYS
  }

  #makeEngine(parts: EngineParts, placement: Placement, standing?: Standing): ClusterEngine {
    const { network, random } = this.#site
    const { retentionMs, driftMs } = this.#options
    const { follows } = this
    const options = resolveClusterOptions({
      keys: this.#keys,
      name: this.host,
      random: random.next,
      logger: this.#logger(),
      limits: { beatIntervalMs: 2000, compareIntervalMs: 5000, messageRecords: 20 },
      ...(follows === undefined ? {} : { clusterUrl: follows }),
      ...(retentionMs === undefined ? {} : { tombstoneRetentionMs: retentionMs }),
      ...(driftMs === undefined ? {} : { maxClockDriftMs: driftMs }),
    })
    const transport = network.transportOf(this.host)
    const elected = standing === undefined ? {} : { standing }
    return new ClusterEngine({
      ...{ ...parts, options, placement, random: random.next, transport },
      ...elected,
    })
  }

  async #elect(life: number, parts: EngineParts, voters: readonly string[]): Promise<void> {
    const { store, clock } = parts
    const { lease, random, cutFromLease, tooLate } = this.#site
    const leadership = new Leadership<SiteTerm>({
      ...{ ...parts, random: random.next, logger: this.#logger(), voter: this.host, voters },
      plan: (leader) => planPlacement(this.#keys, leader, 'nodes/*'),
      run: async (placement, standing) => {
        const engine = this.#makeEngine(parts, placement, standing)
        await engine.start()
        return { engine, stop: () => engine.stop() }
      },
    })
    store.setLeaderOf((key) => leadership.leaderOf(key))
    store.setDecisionTerms((key) => leadership.decisionTerms(key))
    await store.open()
    const self = { id: store.id, url: `http://${this.host}` }
    const pass = async (): Promise<void> => {
      if (life !== this.#lives) await new Promise(() => undefined)
      if (cutFromLease.has(this.host)) throw new Error('out of reach')
    }
    const reached = leaseOver(lease, { ...self, session: `${this.host}x${life}` }, pass)
    const take = (above: number): Promise<LeaseView> =>
      tooLate.has(this.host) ? reached.look() : reached.take(above)
    await leadership.start({ ...reached, take }, self)
    this.#running = { store, clock, leadership }
  }

  /** From now on this host is another name of it. */
  answersAs(host: string): void {
    this.#site.network.listen(host, (socket, from) => this.#engine()?.accept(socket, from))
  }

  /** Ends it between two steps: nothing more is sent or stored. */
  kill(): void {
    this.#running = undefined
    this.#lives++
    for (const host of this.#hosts()) this.#site.network.unlisten(host)
  }

  async stop(): Promise<void> {
    const { store, engine, leadership } = this.#parts()
    this.#running = undefined
    for (const host of this.#hosts()) this.#site.network.unlisten(host)
    await (leadership?.close() ?? engine?.stop())
    this.#lives++
    await store.close()
  }

  /** Cuts it off from everyone, both ways. */
  isolate(): void {
    for (const { host } of this.#site.nodes) {
      if (host === this.host) continue
      this.#site.network.cut(host, this.host)
      this.#site.network.cut(this.host, host)
    }
  }

  async data(key: string): Promise<string | undefined> {
    return (await this.store.get(key))?.data
  }

  async records(): Promise<Map<string, StoredRecord>> {
    const found = new Map<string, StoredRecord>()
    for await (const record of (await this.store.scan()).records) found.set(record.key, record)
    return found
  }

  /** Everything it holds, in words. */
  async tell(): Promise<string> {
    const told: string[] = []
    for (const record of (await this.records()).values()) {
      const { key, origin } = record
      if (record.kind === 'tombstone') told.push(`${key} deleted ${record.deleted} ${origin}`)
      else told.push(`${key} ${record.created}/${record.updated} ${origin} ${record.data}`)
    }
    return told.join('; ')
  }

  #hosts(): readonly string[] {
    return [this.host, ...(this.#options.aliases ?? [])]
  }

  #parts(): Running {
    if (this.#running === undefined) throw new Error(`${this.host} is down`)
    return this.#running
  }

  /** undefined while an elected leader changes. */
  #engine(): ClusterEngine | undefined {
    const { engine, leadership } = this.#parts()
    return leadership?.term?.engine ?? engine
  }

  #logger(): Logger {
    const note = (message: string): void => {
      this.logged.push(message)
    }
    return { debug: () => undefined, info: note, warn: note, error: note }
  }

  #time(life: number): TimeSource {
    const { time } = this.#site
    return {
      wallNs: () => {
        const ahead = BigInt(Math.round(Number(time.monotonicNs()) * this.rate))
        return time.wallNs() + BigInt(this.skewMs) * NS_PER_MS + ahead
      },
      monotonicNs: () => time.monotonicNs(),
      after: (delayMs, callback) =>
        time.after(delayMs, () => {
          if (life === this.#lives) callback()
        }),
    }
  }
}
