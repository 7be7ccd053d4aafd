/** A whole cluster in one process: production engine and store on virtual time, network and disk. */
import type { StoredRecord } from '../../src/core/data/entry.ts'
import { NS_PER_MS } from '../../src/core/ports/time.ts'
import { FakeTime } from '../support/fake-time.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { LeaseServer } from '../support/virtual-lease.ts'
import { type BusQuality, VirtualBus } from './bus.ts'
import { Decisions } from './decisions.ts'
import type { NodePlan } from './history.ts'
import { VirtualNetwork } from './network.ts'
import { VirtualNode } from './node.ts'
import { PieceWatch } from './piece-watch.ts'
import {
  type Configuration,
  hostOf,
  leaderOfKey,
  leadFrom,
  moveBelow,
  topologyOf,
} from './topology.ts'
import { tellRecord, tellWithMarks } from './view.ts'
import { Witness } from './witness.ts'

export type { NodePlan } from './history.ts'
export type { VirtualNode } from './node.ts'

const SEVEN_DAYS_MS = 7 * 86_400_000
/** Looks, half a second apart, that find all nodes agreed: what a disk failed is tried again within a second. */
const LASTING_LOOKS = 4

export class World {
  readonly time: FakeTime = new FakeTime()
  readonly random: SeededRandom
  /** Seed of delays and jitter. */
  readonly noise: number
  readonly network: VirtualNetwork
  /** What nodes that start are put on. */
  bus: VirtualBus | undefined
  readonly nodes: readonly VirtualNode[]
  readonly witness: Witness = new Witness()
  readonly decisions: Decisions = new Decisions()
  /** By which nodes elect their leader. */
  readonly lease: LeaseServer = new LeaseServer(this.time)
  /** How often each thing happened that a history is meant to bring about. */
  readonly counts: Map<string, number> = new Map()
  /** What nodes are configured with; each learns it when it starts. */
  configuration: Configuration
  #failure: unknown
  readonly #roles = new Map<string, string>()
  /** Steps name nodes by roles; what keeps the lease is then reached apart from all nodes. */
  hasRoles = false
  /** Records vanish behind the engine's back: only comparing can find out. */
  mayDiverge = false
  /** Comparing may have something to repair, because disks are not what the engine made them. */
  mayRepair = false
  /** No fault takes from a disk what was written. */
  keepsDisks = true
  /** What the top has deleted is gone for good, whatever disks lose. */
  keepsDeletes = true
  /** That holds of an elected top, too. */
  keepsElected = false
  /** Clocks are wrong: records may be given other stamps. */
  hasWrongClocks = false
  /** How far two clocks may be apart, milliseconds: deletes may count as old so much too early. */
  skewMs = 0

  /** How long deletes are remembered. */
  readonly retentionMs: number

  constructor(seed: number, plans: readonly NodePlan[], retentionMs: number = SEVEN_DAYS_MS) {
    this.retentionMs = retentionMs
    this.random = new SeededRandom(seed)
    this.noise = seed
    this.network = new VirtualNetwork(this.time, this.random)
    this.configuration = { topology: topologyOf(plans), respelt: new Set(), isWide: false }
    this.nodes = plans.map((plan) => new VirtualNode(this, plan))
    this.#count()
  }

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1)
  }

  /** Nodes that start from now on are on a bus. */
  putOnBus(quality: BusQuality): void {
    this.bus = new VirtualBus(this.time, this.noise, quality, (what) => this.count(what))
  }

  /** Notes what went wrong where nobody waits for it. */
  fail(error: unknown): void {
    this.#failure ??= error
  }

  /** @throws what went wrong first. */
  assertRight(): void {
    if (this.#failure !== undefined) throw this.#failure
    for (const { view } of this.nodes) view?.assertRight()
    const leaders = this.nodes.filter(({ decides }) => decides).map(({ host }) => host)
    if (leaders.length > 1) throw new Error(`${leaders.join(' and ')} decide at once`)
  }

  /** Deletes made before this time may have been forgotten, nanoseconds of the world's time. */
  get expired(): bigint {
    return this.time.wallNs() - BigInt(Math.round(this.retentionMs - this.skewMs)) * NS_PER_MS
  }

  /** Whether a record is a delete so old that nobody needs to keep it. */
  isForgettable(record: StoredRecord): boolean {
    return record.kind === 'tombstone' && record.deleted < this.expired
  }

  /** @param name a host, or `@1` and so on: see `assignRoles`. */
  node(name: string): VirtualNode | undefined {
    const host = this.#roles.get(name) ?? name
    return this.nodes.find((node) => node.host === host)
  }

  /** From now on `@1` is the node that leads, if any does, and `@2` and so on are the others. */
  assignRoles(): void {
    const leader = this.nodes.find(({ decides }) => decides) ?? this.nodes[0]
    const others = this.nodes.filter((node) => node !== leader)
    const all = leader === undefined ? others : [leader, ...others]
    all.forEach(({ host }, i) => {
      this.#roles.set(`@${i + 1}`, host)
    })
  }

  /** Starts every node that is there from the beginning. */
  async start(): Promise<void> {
    for (const node of this.nodes) if (node.plan.joins !== true) await node.start()
  }

  /** From now on `host` is the top. */
  lead(host: string): void {
    this.#configure({ topology: leadFrom(this.configuration.topology, host) })
  }

  /** From now on `host` follows `leader`, unless that would be a circle. */
  move(host: string, leader: string): void {
    this.#configure({ topology: moveBelow(this.configuration.topology, host, leader) })
  }

  /** From now on `host` spells the address of its leader in another way. */
  respell(host: string): void {
    const respelt = new Set(this.configuration.respelt)
    if (!respelt.delete(host)) respelt.add(host)
    this.#configure({ respelt })
  }

  /** From now on all nodes replicate one scope more. */
  widen(): void {
    this.#configure({ isWide: true })
  }

  #configure(change: Partial<Configuration>): void {
    this.configuration = { ...this.configuration, ...change }
  }

  /** @throws Error when the maker of what was there knew of what comes in its place. */
  replaced(node: VirtualNode, before: StoredRecord, after: StoredRecord): void {
    if (this.witness.mayReplace(before, after, this.expired)) return
    const told = [before, after].map(tellRecord)
    throw new Error(`${node.host} went back from ${told[0]} to ${told[1]} of ${after.key}`)
  }

  /** Heals everything and runs until all nodes agree and stay so; throws saying who differs otherwise. */
  async converge(limitMs = 120_000): Promise<void> {
    this.network.healAll()
    this.bus?.heal()
    for (const node of this.nodes) {
      node.disk.failures = 0
      node.disk.disarm()
      if (!node.up && !node.isGone) await node.start()
    }
    const healedMs = Number(this.time.wallNs() / NS_PER_MS)
    let looks = 0
    for (let ms = 0; ms < limitMs; ms += 500) {
      await this.time.advanceAsync(500)
      const isSettled = this.nodes.every(
        (node) => node.settled && (!this.mayDiverge || node.hasAgreedSince(healedMs)),
      )
      // Reading may find damage, for which nodes compare anew.
      const isAgreed = isSettled && (await this.complete(this.difference())) === undefined
      looks = isAgreed ? looks + 1 : 0
      if (looks === LASTING_LOOKS) return
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
    // Its failure is thrown below, which may be some turns after it happened.
    done.catch(() => undefined)
    for (let i = 0; pending && i < 10_000; i++) await this.time.advanceAsync(10)
    if (pending) throw new Error('an action did not end within 100 s')
    return done
  }

  /** The first key on which a node and the one it follows for it disagree, told in words. */
  async difference(): Promise<string | undefined> {
    const all = new Map<string, Map<string, StoredRecord>>()
    for (const node of this.nodes) if (node.up) all.set(node.host, await node.records())
    for (const node of this.nodes) {
      const own = all.get(node.host)
      if (own === undefined) continue
      const leaders = [...node.placement.upstreams.keys()].map((url) => hostOf(new URL(url).host))
      for (const host of leaders) {
        const leader = this.node(host)
        const theirs = all.get(host)
        if (leader === undefined || theirs === undefined) continue
        for (const key of new Set([...own.keys(), ...theirs.keys()])) {
          if (leaderOfKey(node.placement, key) !== host || !leader.holds(key)) continue
          const [a, b] = [own, theirs].map((records) => this.#tell(records.get(key)))
          if (a !== b) return `${key}: ${node.host} has ${a}, ${host} has ${b}`
        }
      }
    }
    return undefined
  }

  /** A delete that may be forgotten is as good as nothing. */
  #tell(record: StoredRecord | undefined): string {
    const isOld = record !== undefined && this.isForgettable(record)
    return tellWithMarks(isOld ? undefined : record)
  }

  statuses(): unknown[] {
    return this.nodes.map((node) => node.engine?.status())
  }

  /** Notes from outside what the network carries. */
  #count(): void {
    const pushed = new Set<string>()
    this.network.lost = () => this.count('lost messages')
    // With another leader the engine begins anew.
    const isFixed = this.nodes.every(({ plan }) => plan.elects !== true)
    const pieces = new PieceWatch((error) => {
      if (isFixed) this.fail(error)
    })
    this.network.arrived = (...message) => pieces.arrived(...message)
    this.network.gone = (host) => pieces.gone(host)
    this.network.tap = (from, to, text, connection) => {
      if (pieces.sent(from, to, text, connection)) this.count('pieces')
      const kind = /^\{"t":"([a-z]+)"/.exec(text)?.[1]
      if (kind === 'welcome' && text.includes('"resume":false')) this.count('full comparisons')
      if (kind !== 'push') return
      const { records } = JSON.parse(text) as { records?: readonly unknown[] }
      for (const record of records ?? []) {
        const name = `${from}>${to} ${JSON.stringify(record)}`
        if (pushed.has(name)) this.count('records pushed again')
        pushed.add(name)
      }
    }
  }
}
