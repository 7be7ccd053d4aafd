/**
 * The 2.0 nodes that a leader knows: found in the nodes scope, probed every three seconds, told to
 * pull when something changed. Our own nodes register there as well; they use the stream and are left out.
 */
import type { Entry } from '../../src/core/entry.ts'
import { parseExact } from '../../src/core/json.ts'
import { type CancelTimer, NS_PER_MS, NS_PER_SECOND } from '../../src/core/time.ts'
import { hostAndPort, nodeAddress } from '../membership.ts'
import { PivotNode, type PivotNodeOptions, type PivotNodeStatus } from './node.ts'
import { placeOf } from './node-place.ts'

export interface PivotNodesOptions extends Omit<PivotNodeOptions, 'seen'> {
  /** Between two probes of a node, milliseconds. Default 3 000. */
  readonly probeIntervalMs?: number
}

/** Nodes beyond these are not spoken to; they are counted in the log. */
const MAX_NODES = 1000
const PROBE_INTERVAL_MS = 3_000
/** All of a node is looked at again after this, also when nothing has changed. */
const LOOK_INTERVAL_NS = 60n * NS_PER_SECOND
/** How long a question for the activity waits for looks under way. Not long: a node that pulls sends nothing. */
const PATIENCE_NS = 200n * NS_PER_MS
const PAUSE_MS = 5
const FINISH_MS = 500

export class PivotNodes {
  readonly #options: PivotNodesOptions
  readonly #nodes = new Map<string, PivotNode>()
  /** The node records have been read. */
  #isLoaded = false
  #lastLookNs: bigint
  #cancel: CancelTimer | undefined
  #isStopped = false
  readonly #work = new Set<Promise<void>>()

  constructor(options: PivotNodesOptions) {
    this.#options = options
    this.#lastLookNs = options.time.monotonicNs()
  }

  /** @param records all entries of the nodes scope */
  update(records: readonly Entry[]): void {
    this.#isLoaded = true
    const found = new Set(records.flatMap((record) => pivotAddress(record) ?? []))
    for (const [address, node] of this.#nodes) {
      if (found.has(address)) continue
      this.#nodes.delete(address)
      this.#track(node.stop().then(() => node.forget().catch(() => undefined)))
    }
    for (const address of found) {
      if (this.#isStopped || this.#nodes.has(address)) continue
      if (this.#nodes.size >= MAX_NODES) {
        const { logger } = this.#options
        logger.warn('too many 2.0 nodes are registered', { limit: MAX_NODES, left: address })
        break
      }
      const node = new PivotNode({ ...this.#options, seen: () => this.#tellRefused() }, address)
      this.#nodes.set(address, node)
      this.#track(node.probe())
    }
    if (this.#nodes.size > 0) this.#schedule()
  }

  /** Nodes that may be asking: all but those found to be our own. */
  get size(): number {
    let count = 0
    for (const node of this.#nodes.values()) if (!node.hasStream) count++
    return count
  }

  /** Whether a 2.0 node is registered under this `host:port`. */
  has(address: string): boolean {
    return this.#nodes.get(address)?.hasStream === false
  }

  status(): PivotNodeStatus[] {
    return [...this.#nodes.values()].filter((node) => !node.hasStream).map((node) => node.status())
  }

  /**
   * Tells all nodes but the originator, in the background, to pull this path. A while later it is looked
   * whether they have it, the originator too.
   */
  notify(path: string, originator: string | undefined): void {
    for (const node of this.#nodes.values()) {
      if (this.#isStopped) return
      if (node.address === originator) node.checks.due(path)
      else this.#track(node.notify(path))
    }
  }

  /**
   * Whether the activity of a path may be told to who asks from `remote`: not before the nodes there
   * have been looked at. Waits for looks under way, a moment at most.
   */
  async mayTell(remote: string, path: string): Promise<boolean> {
    const { time } = this.#options
    const untilNs = time.monotonicNs() + PATIENCE_NS
    while (!this.#isStopped) {
      const here = this.#nodesAt(remote)
      const isShared = here.length > 1
      const holding = here.filter((node) => node.holds(path, isShared))
      if (this.#isLoaded && holding.length === 0) {
        await Promise.all(here.map((node) => node.lookFor()))
        if (here.some((node) => node.holds(path, isShared))) continue
        await Promise.all(here.map((node) => node.letGo()))
        return true
      }
      for (const node of holding) node.hurry()
      const isHopeless = this.#isLoaded && !holding.some((node) => node.isTended)
      const isOwn = holding.some((node) => node.isWaitingFor(path))
      if (isHopeless || isOwn || time.monotonicNs() > untilNs) {
        if (!isOwn) for (const node of here) node.refused.add(path)
        return false
      }
      await new Promise<void>((resolve) => time.after(PAUSE_MS, resolve))
    }
    return false
  }

  /** Who asks from `remote` has been given a list as of `seq`. */
  served(remote: string, path: string, seq: number): void {
    for (const node of this.#nodesAt(remote)) node.served(path, seq)
  }

  /** Looks at a node that wants something deleted without saying when. @returns false when it is not known. */
  async suspect(address: string, path: string): Promise<boolean> {
    if (!this.has(address)) return false
    await this.#nodes.get(address)?.suspect(path)
    return true
  }

  #nodesAt(remote: string): PivotNode[] {
    const place = placeOf(remote)
    return [...this.#nodes.values()].filter((node) => !node.hasStream && node.isAt(place))
  }

  /** Those who were told nothing for the sake of another are called, once nothing keeps them. */
  #tellRefused(): void {
    for (const node of this.#nodes.values()) {
      for (const path of node.refused) {
        const others = [...this.#nodes.values()].filter((other) => other.sharesPlace(node))
        if (others.some((other) => other.holds(path, others.length > 1))) continue
        node.refused.delete(path)
        this.#track(node.notify(path))
      }
    }
  }

  /** Before the end of this node: waits for last looks at the nodes, half a second at most. */
  async finish(): Promise<void> {
    this.#cancel?.()
    const late = new Promise<void>((done) => {
      this.#cancel = this.#options.time.after(FINISH_MS, done)
    })
    const ended = Promise.all([...this.#nodes.values()].map((node) => node.finish()))
    await Promise.race([ended, late])
  }

  /** Ends what is under way. Idempotent. */
  async stop(): Promise<void> {
    this.#isStopped = true
    this.#cancel?.()
    await Promise.all([...this.#nodes.values()].map((node) => node.stop()))
    await Promise.all(this.#work)
  }

  #track(work: Promise<void>): void {
    this.#work.add(work)
    void work.finally(() => this.#work.delete(work))
  }

  #schedule(): void {
    if (this.#isStopped || this.#cancel !== undefined) return
    const delayMs = this.#options.probeIntervalMs ?? PROBE_INTERVAL_MS
    this.#cancel = this.#options.time.after(delayMs, () => {
      this.#cancel = undefined
      const nowNs = this.#options.time.monotonicNs()
      const isDue = nowNs - this.#lastLookNs > LOOK_INTERVAL_NS
      if (isDue) this.#lastLookNs = nowNs
      for (const node of this.#nodes.values()) {
        this.#track(node.probe())
        if (isDue) for (const path of this.#options.paths) node.checks.due(path)
      }
      this.#tellRefused()
      if (this.#nodes.size > 0) this.#schedule()
    })
  }
}

/** `host:port` of a record that another program wrote; undefined for our own nodes and for other data. */
export function pivotAddress(record: Entry): string | undefined {
  const address = nodeAddress(record)
  if (address === undefined || isOwnRecord(record)) return undefined
  return hostAndPort(address.host, address.port)
}

function isOwnRecord({ data }: Entry): boolean {
  const fields = parseExact(data) as Readonly<Record<string, unknown>>
  return (
    typeof fields.id === 'string' &&
    typeof fields.url === 'string' &&
    typeof fields.version === 'string' &&
    typeof fields.startedAt === 'string'
  )
}
