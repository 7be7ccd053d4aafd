/** A few nodes, production engine and store, on a virtual network, each with a wall clock of its own. */
import { ClusterEngine } from '../../cluster/engine.ts'
import { resolveClusterOptions, type ScopeOptions } from '../../cluster/options.ts'
import { planPlacement, scopeOf } from '../../cluster/placement.ts'
import { HybridClock } from '../../src/core/clock.ts'
import type { StoredRecord } from '../../src/core/entry.ts'
import type { Logger } from '../../src/core/logger.ts'
import { NS_PER_MS, type TimeSource } from '../../src/core/time.ts'
import { Store } from '../../src/store/store.ts'
import { MemoryStorage } from '../../storage-adapters/memory.ts'
import { VirtualNetwork } from '../simulation/network.ts'
import { FakeTime } from '../support/fake-time.ts'
import { SeededRandom } from '../support/seeded-random.ts'

const KEYS: readonly ScopeOptions[] = [{ path: 'settings' }, { path: 'items/*' }]

export interface SiteNodeOptions {
  readonly follows?: string
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
  #running: { store: Store; engine: ClusterEngine; clock: HybridClock } | undefined
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

  get store(): Store {
    return this.#parts().store
  }

  get engine(): ClusterEngine {
    return this.#parts().engine
  }

  get clock(): HybridClock {
    return this.#parts().clock
  }

  get isSettled(): boolean {
    return this.engine.status().links.every(({ state, outbox }) => state === 'live' && outbox === 0)
  }

  async start(): Promise<void> {
    const { network, random } = this.#site
    const { keys = KEYS, retentionMs, driftMs } = this.#options
    const { follows } = this
    const life = ++this.#lives
    const time = this.#time(life)
    const clock = new HybridClock(time)
    let ids = 0
    const newId = (): string => `${this.host}x${life}x${ids++}`
    const store = new Store({ adapter: this.storage, clock, newId, time })
    const placement = planPlacement(keys, follows, 'nodes/*')
    store.setLeaderOf((key) => scopeOf(placement, key)?.leader)
    await store.open()
    const options = resolveClusterOptions({
      keys,
      name: this.host,
      random: random.next,
      logger: this.#logger(),
      limits: { beatIntervalMs: 2000, compareIntervalMs: 5000, messageRecords: 20 },
      ...(follows === undefined ? {} : { clusterUrl: follows }),
      ...(retentionMs === undefined ? {} : { tombstoneRetentionMs: retentionMs }),
      ...(driftMs === undefined ? {} : { maxClockDriftMs: driftMs }),
    })
    const transport = network.transportOf(this.host)
    const parts = { options, placement, store, clock, time, random: random.next, transport, newId }
    const engine = new ClusterEngine(parts)
    await engine.start()
    this.#running = { store, engine, clock }
    for (const host of this.#hosts()) this.answersAs(host)
  }

  /** From now on this host is another name of it. */
  answersAs(host: string): void {
    this.#site.network.listen(host, (socket, from) => this.engine.accept(socket, from))
  }

  /** Ends it between two steps: nothing more is sent or stored. */
  kill(): void {
    this.#running = undefined
    this.#lives++
    for (const host of this.#hosts()) this.#site.network.unlisten(host)
  }

  async stop(): Promise<void> {
    const { store, engine } = this.#parts()
    this.#running = undefined
    for (const host of this.#hosts()) this.#site.network.unlisten(host)
    await engine.stop()
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

  #parts(): { store: Store; engine: ClusterEngine; clock: HybridClock } {
    if (this.#running === undefined) throw new Error(`${this.host} is down`)
    return this.#running
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
