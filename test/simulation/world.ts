/** A whole cluster in one process: production engine and store on virtual time, network and disk. */
import { ClusterEngine } from '../../cluster/engine.ts'
import type { ScopeOptions } from '../../cluster/options.ts'
import { resolveClusterOptions } from '../../cluster/options.ts'
import { planPlacement, scopeOf } from '../../cluster/placement.ts'
import { HybridClock } from '../../src/core/clock.ts'
import type { StoredRecord } from '../../src/core/entry.ts'
import type { TimeSource } from '../../src/core/time.ts'
import { Store } from '../../src/store/store.ts'
import { FakeTime } from '../support/fake-time.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { VirtualDisk } from './disk.ts'
import { VirtualNetwork } from './network.ts'

export interface NodePlan {
  readonly host: string
  readonly keys: readonly ScopeOptions[]
  /** Host of the leader; undefined for the node at the top. */
  readonly follows?: string
}

export class World {
  readonly time: FakeTime = new FakeTime()
  readonly random: SeededRandom
  readonly network: VirtualNetwork
  readonly nodes: VirtualNode[]

  constructor(seed: number, plans: readonly NodePlan[]) {
    this.random = new SeededRandom(seed)
    this.network = new VirtualNetwork(this.time, this.random)
    this.nodes = plans.map((plan) => new VirtualNode(this, plan))
  }

  async start(): Promise<void> {
    for (const node of this.nodes) await node.start()
  }

  /** Heals everything and runs until all nodes agree; throws saying who differs otherwise. */
  async converge(limitMs = 120_000): Promise<void> {
    this.network.healAll()
    for (const node of this.nodes) {
      node.disk.failures = 0
      if (!node.up) await node.start()
    }
    for (let ms = 0; ms < limitMs; ms += 500) {
      await this.time.advanceAsync(500)
      const isSettled = this.nodes.every((node) => node.settled)
      if (isSettled && (await this.complete(this.difference())) === undefined) return
    }
    const difference = await this.complete(this.difference())
    throw new Error(`not converged: ${difference ?? JSON.stringify(this.statuses())}`)
  }

  /** Lets virtual time pass until `work` is done. */
  async complete<T>(work: Promise<T>): Promise<T> {
    let pending = true
    const done = work.finally(() => {
      pending = false
    })
    for (let i = 0; pending && i < 10_000; i++) await this.time.advanceAsync(10)
    if (pending) throw new Error('an action did not end within 100 s')
    return done
  }

  /** The first key on which two nodes disagree, told in words. */
  async difference(): Promise<string | undefined> {
    const [first, ...others] = this.nodes
    if (first === undefined) return undefined
    const expected = await first.records()
    for (const other of others) {
      const found = await other.records()
      for (const key of new Set([...expected.keys(), ...found.keys()])) {
        const [a, b] = [expected, found].map((records) => describe(records.get(key)))
        if (a !== b) return `${key}: ${first.host} has ${a}, ${other.host} has ${b}`
      }
    }
    return undefined
  }

  statuses(): unknown[] {
    return this.nodes.map((node) => node.engine?.status())
  }
}

export class VirtualNode {
  readonly host: string
  readonly disk: VirtualDisk
  store: Store | undefined
  engine: ClusterEngine | undefined
  /** Milliseconds this node's wall clock is ahead. */
  skewMs = 0
  readonly #world: World
  readonly #plan: NodePlan
  /** Some nodes keep everything in memory, some a little, some nothing. */
  readonly #cacheBytes: number | undefined
  #lives = 0

  constructor(world: World, plan: NodePlan) {
    this.host = plan.host
    this.#world = world
    this.#plan = plan
    this.#cacheBytes = world.random.chance(0.5) ? undefined : world.random.pick([900, 0])
    this.disk = new VirtualDisk(() => this.#diskLatency())
  }

  get up(): boolean {
    return this.store !== undefined
  }

  async start(): Promise<void> {
    const life = ++this.#lives
    const time = this.#timeOf(life)
    const { random, network } = this.#world
    const clock = new HybridClock(time)
    let ids = 0
    const newId = (): string => `${this.host}x${life}x${ids++}`
    const store = new Store({
      adapter: this.disk.attach(),
      clock,
      newId,
      time,
      tailRows: 16,
      ...(this.#cacheBytes === undefined ? {} : { cacheBytes: this.#cacheBytes }),
    })
    const { keys, follows } = this.#plan
    const placement = planPlacement(keys, follows, 'nodes/*')
    store.setLeaderOf((key) => scopeOf(placement, key)?.leader)
    await store.open()
    const options = resolveClusterOptions({
      keys,
      ...(follows === undefined ? {} : { clusterUrl: follows }),
      random: random.next,
      limits: { windowBytes: 2000, messageBytes: 500, messageRecords: 8, beatIntervalMs: 2000 },
    })
    const engine = new ClusterEngine({
      options,
      placement,
      store,
      clock,
      time,
      random: random.next,
      transport: network.transportOf(this.host),
      newId,
    })
    await engine.start()
    this.store = store
    this.engine = engine
    network.listen(this.host, (socket, from) => engine.accept(socket, from))
  }

  /** Clean stop. */
  async stop(): Promise<void> {
    this.#world.network.unlisten(this.host)
    await this.engine?.stop()
    await this.store?.close()
    this.#gone()
  }

  /** The process dies now; `lost` unsynced batches are lost with it. */
  crash(lost = 0): void {
    this.#lives++
    this.disk.crash(lost)
    this.#world.network.unlisten(this.host)
    this.#gone()
  }

  /** True when nothing is owed or under way as far as this node knows. */
  get settled(): boolean {
    const links = this.engine?.status().links ?? []
    return links.every((link) => link.state === 'live' && link.outbox === 0)
  }

  /** Every record, tombstones too. */
  async records(): Promise<Map<string, StoredRecord>> {
    const records = new Map<string, StoredRecord>()
    const scan = await this.store?.scan()
    for await (const record of scan?.records ?? []) records.set(record.key, record)
    return records
  }

  /** Mostly at once; sometimes slower than the network, so that either may come first. */
  #diskLatency(): Promise<void> {
    const { random, time } = this.#world
    if (!this.up || random.chance(0.8)) return Promise.resolve()
    return new Promise((resolve) => {
      time.after(random.below(50), resolve)
    })
  }

  #gone(): void {
    this.store = undefined
    this.engine = undefined
  }

  /** Time as this process sees it: skewed, and silent once the process is dead. */
  #timeOf(life: number): TimeSource {
    const { time } = this.#world
    return {
      wallNs: () => time.wallNs() + BigInt(this.skewMs) * 1_000_000n,
      monotonicNs: () => time.monotonicNs(),
      after: (delayMs, callback) =>
        time.after(delayMs, () => {
          if (life === this.#lives) callback()
        }),
    }
  }
}

function describe(record: StoredRecord | undefined): string {
  if (record === undefined) return 'nothing'
  if (record.kind === 'tombstone') return `deleted ${record.deleted} by ${record.origin}`
  return `${record.data} ${record.created}/${record.updated} by ${record.origin}`
}
