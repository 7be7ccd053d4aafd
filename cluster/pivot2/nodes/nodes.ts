/**
 * The 2.0 nodes that a leader knows: those that are listed in its configuration, and no others. They are
 * probed every three seconds, less often while they are away, and told to pull when something changed. One
 * of our own nodes that is listed uses the stream and is left out.
 */
import { type CancelTimer, NS_PER_MS, NS_PER_SECOND } from '../../../src/core/ports/time.ts'
import type { Pivot2Listing } from '../../members/listed-nodes.ts'
import { Turns } from '../../stream/turns.ts'
import { PivotNode, type PivotNodeOptions, type PivotNodeStatus } from './node.ts'
import { placeOf } from './place.ts'

export interface PivotNodesOptions extends Omit<PivotNodeOptions, 'seen' | 'probes'> {
  /** Between two rounds of probes, milliseconds. Default 3 000. */
  readonly probeIntervalMs?: number
}

/** Nodes beyond these are not spoken to; the log names them. */
const MAX_NODES = 1000
/** Probes under way at once. */
const MAX_PROBES = 32
/** Probes begun in one round; the other nodes have their turn in the next ones. */
const ROUND = 60
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
  readonly #probes = new Turns(MAX_PROBES)
  #lastLookNs: bigint
  #cancel: CancelTimer | undefined
  #isStopped = false
  readonly #work = new Set<Promise<void>>()

  constructor(options: PivotNodesOptions) {
    this.#options = options
    this.#lastLookNs = options.time.monotonicNs()
  }

  /** Speaks with these from now on, and with no others. */
  list(listings: readonly Pivot2Listing[]): void {
    const found = new Map(listings.map((listing) => [listing.address, listing]))
    for (const [address, node] of this.#nodes) {
      if (isSame(found.get(address), node.listing)) continue
      this.#nodes.delete(address)
      const isGone = !found.has(address)
      const stopped = node.stop()
      this.#track(isGone ? stopped.then(() => node.forget().catch(() => undefined)) : stopped)
    }
    for (const [address, listing] of found) {
      if (this.#isStopped || this.#nodes.has(address)) continue
      if (this.#nodes.size >= MAX_NODES) {
        const { logger } = this.#options
        logger.warn('too many 2.0 nodes are listed', { limit: MAX_NODES, left: address })
        break
      }
      const { paths, ...options } = this.#options
      const node = new PivotNode(
        {
          ...options,
          paths: paths.filter((path) => listing.paths?.includes(path) ?? true),
          seen: () => this.#reportRefused(),
          probes: this.#probes,
        },
        listing,
      )
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

  /** Whether a 2.0 node is listed under this `host:port`. */
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
      if (!node.takesPartIn(path)) continue
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
      if (holding.length === 0) {
        await Promise.all(here.map((node) => node.lookFor()))
        if (here.some((node) => node.holds(path, isShared))) continue
        await Promise.all(here.map((node) => node.release()))
        return true
      }
      for (const node of holding) node.hurry()
      const isHopeless = !holding.some((node) => node.isTended)
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
  #reportRefused(): void {
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
      const waiting = [...this.#nodes.values()]
        .filter((node) => node.pace.isDue(nowNs))
        .sort((a, b) => (a.pace.lastNs < b.pace.lastNs ? -1 : 1))
      for (const node of waiting.slice(0, ROUND)) this.#track(node.probe())
      if (isDue) for (const node of this.#nodes.values()) node.look()
      this.#reportRefused()
      if (this.#nodes.size > 0) this.#schedule()
    })
  }
}

function isSame(found: Pivot2Listing | undefined, known: Pivot2Listing): boolean {
  return (
    found !== undefined &&
    found.mayWrite === known.mayWrite &&
    found.paths?.join() === known.paths?.join()
  )
}
