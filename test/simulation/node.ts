/** One virtual process: the production store and engine on a virtual disk, network and clock. */

import { resolveClusterOptions } from '../../cluster/config/options.ts'
import type { Holder, Lease } from '../../cluster/election/lease/lease.ts'
import type { Ballot } from '../../cluster/election/voters/ballot.ts'
import type { Standing } from '../../cluster/election/voters/standing.ts'
import type { Placement } from '../../cluster/members/placement.ts'
import { planPlacement, scopeOf } from '../../cluster/members/placement.ts'
import { ClusterEngine } from '../../cluster/node/engine.ts'
import { Leadership, type LeaderTerm } from '../../cluster/node/leadership.ts'
import { HybridClock } from '../../src/core/data/clock.ts'
import type { StoredRecord } from '../../src/core/data/entry.ts'
import { StateError } from '../../src/core/errors.ts'
import { type LogFields, type Logger, SILENT_LOGGER } from '../../src/core/ports/logger.ts'
import type { TimeSource } from '../../src/core/ports/time.ts'
import type { Transport } from '../../src/core/ports/transport.ts'
import { ReplicationStore } from '../../src/store/replication-store.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { leaseOver } from '../support/virtual-lease.ts'
import { VirtualDisk } from './disk.ts'
import type { NodePlan } from './history.ts'
import { configurationOf, type NodeConfiguration, placementOf } from './topology.ts'
import { View, type ViewOptions } from './view.ts'
import type { World } from './world.ts'

/** Small, so that short histories fill windows and pages. */
const LIMITS = {
  windowBytes: 2000,
  messageBytes: 500,
  messageRecords: 8,
  pieceBytes: 64,
  beatIntervalMs: 2000,
  compareIntervalMs: 15_000,
  busMarkIntervalMs: 300,
  busPendingBytes: 3000,
} as const

interface Parts {
  readonly store: ReplicationStore
  readonly clock: HybridClock
  readonly time: TimeSource
  readonly newId: () => string
  readonly configuration: NodeConfiguration
}

type VirtualTerm = LeaderTerm & { readonly engine: ClusterEngine }

/** Too little for the longest keys, which are then only announced on a bus. */
const TINY_BYTES = 112

/** Where the lease is kept, in histories whose steps name nodes by roles. */
export const LEASE_HOST = 'lease'

export class VirtualNode {
  readonly host: string
  readonly disk: VirtualDisk
  readonly plan: NodePlan
  store: ReplicationStore | undefined
  /** What a subscriber of this life was told. */
  view: View | undefined
  /** Milliseconds this node's wall clock is ahead. */
  skewMs = 0
  /** Parts in a million by which its wall clock is too fast. */
  driftPpm = 0
  /** It will not come back. */
  isGone = false
  /** What it warned of last, for the error of a history. */
  readonly warnings: string[] = []
  /** Keys whose record was damaged on this disk. */
  readonly rotten: Set<string> = new Set()
  /** What the process was started with. */
  configuration: NodeConfiguration
  /** Of the running process. */
  #placement: Placement
  readonly #world: World
  /** Of a node whose leader is configured. */
  #fixedEngine: ClusterEngine | undefined
  #leadership: Leadership<VirtualTerm> | undefined
  readonly #random: SeededRandom
  /** Some nodes keep everything in memory, some a little, some nothing. */
  readonly #cacheBytes: number | undefined
  #lives = 0
  /** Ends the wait of a stop under way. */
  #died: () => void = () => undefined
  #pastRepairs = 0
  /** What a subscriber of the latest life knew. */
  #past: View | undefined

  constructor(world: World, plan: NodePlan) {
    this.host = plan.host
    this.plan = plan
    this.#world = world
    this.#random = SeededRandom.named(world.noise, plan.host)
    const { cacheBytes } = plan
    const drawn = world.random.chance(0.5) ? undefined : world.random.pick([900, 0])
    this.#cacheBytes = cacheBytes === 'all' ? undefined : (cacheBytes ?? drawn)
    this.configuration = { follows: plan.follows, keys: plan.keys }
    this.#placement = placementOf(this.configuration)
    this.disk = new VirtualDisk(() => this.#diskLatency())
  }

  get up(): boolean {
    return this.store !== undefined
  }

  /** What runs; of a node that elects its leader undefined while that changes. */
  get engine(): ClusterEngine | undefined {
    return this.#leadership?.term?.engine ?? this.#fixedEngine
  }

  /** Whom this process follows for what. */
  get placement(): Placement {
    return this.#leadership?.placement ?? this.#placement
  }

  /** Whether it was elected, and may decide what does not merge. */
  get decides(): boolean {
    return this.#leadership?.leads === true
  }

  /** Of a node that was elected, whether its lease still holds or not. */
  get ballot(): Ballot | undefined {
    return this.#leadership?.ballot
  }

  /** Whether this node replicates a key. */
  holds(key: string): boolean {
    return scopeOf(this.placement, key) !== undefined
  }

  /** @throws StateError of the storage, or `not_open` when the process died meanwhile. */
  async start(): Promise<void> {
    const life = ++this.#lives
    const time = this.#timeOf(life)
    const clock = new HybridClock(time)
    const newId = this.#idsOf(life)
    const store = new ReplicationStore({
      adapter: this.disk.attach(),
      clock,
      newId,
      time,
      tailRows: 16,
      ...(this.#cacheBytes === undefined ? {} : { cacheBytes: this.#cacheBytes }),
    })
    const configuration = configurationOf(this.#world.configuration, this.plan)
    const placement = placementOf(configuration)
    const parts = { store, clock, time, newId, configuration }
    const leadership = this.plan.elects === true ? this.#elect(life, parts) : undefined
    store.setLeaderOf((key) =>
      leadership === undefined ? scopeOf(placement, key)?.leader : leadership.leaderOf(key),
    )
    store.setDecisionTerms((key) => leadership?.decisionTerms(key))
    await store.open()
    this.#placement = placement
    this.configuration = configuration
    const view = await this.#watch(store)
    const engine = leadership === undefined ? this.#engine(life, parts, placement) : undefined
    await engine?.start()
    const self = { id: store.id, url: `http://${this.host}` }
    await leadership?.start(this.#leaseOf(life, self), self)
    if (life !== this.#lives) throw new StateError('not_open', `${this.host} died at its start`)
    this.store = store
    this.#fixedEngine = engine
    this.#leadership = leadership
    this.view = view
    this.#world.network.listen(this.host, (socket, from) => this.engine?.accept(socket, from))
  }

  #elect(life: number, parts: Parts): Leadership<VirtualTerm> {
    const { store, clock, time, newId, configuration } = parts
    return new Leadership({
      ...{ store, clock, time, newId, random: this.#random.next, logger: this.#logger() },
      voter: this.host,
      voters: this.plan.voters,
      plan: (leader) => planPlacement(configuration.keys, leader, 'nodes/*'),
      run: async (placement, standing) => {
        this.#world.count('changes of leader')
        const engine = this.#engine(life, parts, placement, standing)
        await engine.start()
        return { engine, stop: () => engine.stop() }
      },
    })
  }

  /** What keeps the lease is where the first node is, and does not share its fate. */
  #leaseOf(life: number, self: Holder): Lease {
    const { network, time, lease, nodes } = this.#world
    const place = this.#world.hasRoles ? LEASE_HOST : (nodes[0]?.host ?? '')
    const pass = (): Promise<void> =>
      new Promise((resolve) => {
        time.after(network.delayMs(this.host, 'lease'), () => {
          const isCut = network.isCut(this.host, place) || network.isCut(place, this.host)
          if (life === this.#lives && !isCut) resolve()
        })
      })
    return leaseOver(lease, { ...self, session: `${this.host}x${life}` }, pass)
  }

  #engine(life: number, parts: Parts, placement: Placement, standing?: Standing): ClusterEngine {
    const { configuration, ...rest } = parts
    const { keys, follows } = configuration
    const bus = this.#world.bus?.connect(this.host)
    const options = resolveClusterOptions({
      keys,
      ...(follows === undefined ? {} : { clusterUrl: follows }),
      tombstoneRetentionMs: this.#world.retentionMs,
      random: this.#random.next,
      logger: this.#logger(),
      limits: { ...LIMITS, busMessageBytes: this.#world.noise % 2 === 0 ? 400 : TINY_BYTES },
      ...(bus === undefined ? {} : { bus }),
    })
    return new ClusterEngine({
      options,
      placement,
      random: this.#random.next,
      transport: this.#transportOf(life),
      ...(standing === undefined ? {} : { standing }),
      ...rest,
    })
  }

  async #watch(store: ReplicationStore): Promise<View> {
    const { witness, time } = this.#world
    const options: ViewOptions = {
      host: this.host,
      store,
      causality: witness.causality,
      isExempt: (key) => this.rotten.has(key),
      isForgettable: (record) => this.#world.isForgettable(record),
      replaced: (before, after) => this.#world.replaced(this, before, after),
      restamped: () => this.#world.count('restamped records'),
    }
    const view = await View.open(options, this.#past)
    this.#past = view
    // After the view, which says which operations the changes are.
    store.onCommit(({ changes }) => {
      for (const { after } of changes) {
        if (after.kind === 'tombstone') witness.noteDelete(after, time.wallNs())
        else if (this.placement.upstreams.size === 0) witness.noteLed(after)
      }
    })
    return view
  }

  /** Clean stop; nothing more than a crash when the process dies meanwhile. */
  async stop(): Promise<void> {
    const life = this.#lives
    this.#world.network.unlisten(this.host)
    // What a dead process waits for, such as a timer or the answer to a lease given up, never comes.
    const died = new Promise<void>((resolve) => {
      this.#died = resolve
    })
    try {
      await Promise.race([this.#end(), died])
    } catch (error) {
      if (life === this.#lives) throw error
    }
    if (life === this.#lives) this.crash()
  }

  /** Ends what runs now, and nothing that a later life starts. */
  async #end(): Promise<void> {
    const { store } = this
    await (this.#leadership?.close() ?? this.#fixedEngine?.stop())
    await store?.close()
  }

  /** The process dies now; `lost` unsynced batches are lost with it. */
  crash(lost = 0): void {
    this.#lives++
    this.#died()
    this.#past?.died((key) => this.disk.row(key))
    this.disk.crash(lost)
    this.#world.network.unlisten(this.host)
    this.#world.bus?.disconnect(this.host)
    this.#gone()
  }

  /** True when nothing is owed or under way as far as this node knows. */
  get settled(): boolean {
    if ((this.store?.backlog.rows ?? 0) > 0) return false
    const decision = this.#leadership?.report()?.state
    if (decision !== undefined && decision !== 'leader' && decision !== 'follower') return false
    // A node that leads decides sooner or later, unless a disk is lost that had to vote.
    const isWaiting = this.decides && this.ballot?.reason !== undefined
    if (isWaiting && this.#world.keepsDisks) return false
    const links = this.engine?.status().links ?? []
    return links.every(
      ({ state, outbox, lagRows }) => state === 'live' && outbox === 0 && lagRows === 0,
    )
  }

  /** Whether it has compared with every leader and found no difference since then. */
  hasAgreedSince(worldMs: number): boolean {
    const links = this.engine?.status().links ?? []
    return links.every(({ lastAgreementMs }) => lastAgreementMs - this.skewMs > worldMs)
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
    const { time } = this.#world
    if (!this.up || this.#random.chance(0.8)) return Promise.resolve()
    return new Promise((resolve) => {
      time.after(this.#random.below(50), resolve)
    })
  }

  /** How often this node had to repair a difference that no one had told it of, in all its lives. */
  get repairs(): number {
    const links = this.engine?.status().links ?? []
    return links.reduce((sum, { repairs }) => sum + repairs, this.#pastRepairs)
  }

  #gone(): void {
    this.#pastRepairs = this.repairs
    this.store = undefined
    this.#fixedEngine = undefined
    this.#leadership = undefined
    this.view = undefined
  }

  #logger(): Logger {
    const keep = (message: string, fields: LogFields = {}): void => {
      const told = Object.entries(fields).map(([name, value]) => `${name} ${value}`)
      this.warnings.push(`${message} (${told.join(', ')})`)
      if (this.warnings.length > 3) this.warnings.shift()
    }
    return { ...SILENT_LOGGER, warn: keep, error: keep }
  }

  #idsOf(life: number): () => string {
    let ids = 0
    return () => `${this.host}x${life}x${ids++}`
  }

  /** Time as this process sees it: skewed, and silent once the process is dead. */
  #timeOf(life: number): TimeSource {
    const { time } = this.#world
    return {
      wallNs: () => {
        const drift = (time.monotonicNs() * BigInt(this.driftPpm)) / 1_000_000n
        return time.wallNs() + drift + BigInt(Math.round(this.skewMs * 1e6))
      },
      monotonicNs: () => time.monotonicNs(),
      after: (delayMs, callback) =>
        time.after(delayMs, () => {
          if (life === this.#lives) callback()
        }),
    }
  }

  /** A dead process dials nobody. */
  #transportOf(life: number): Transport {
    const transport = this.#world.network.transportOf(this.host)
    return {
      dial: (request, opened, handlers) => {
        if (life === this.#lives) return transport.dial(request, opened, handlers)
        return { bufferedBytes: 0, send() {}, close() {}, terminate() {} }
      },
    }
  }
}
