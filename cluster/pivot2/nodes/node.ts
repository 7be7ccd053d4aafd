/**
 * One 2.0 node as its leader sees it: how it is, what it is yet to be told of, and what of it is yet to
 * be looked at. It is looked at after each outage, before it is told of anything.
 */
import { errorText } from '../../../src/core/errors.ts'
import type { Logger } from '../../../src/core/ports/logger.ts'
import { NS_PER_MS, type TimeSource } from '../../../src/core/ports/time.ts'
import type { Pivot2Listing } from '../../members/listed-nodes.ts'
import type { Turns } from '../../stream/turns.ts'
import { PeerClient } from '../peer/client.ts'
import type { HeldByPeer } from '../peer/held.ts'
import { type PivotHttp, StandingConnection } from '../peer/http.ts'
import { PIVOT_PROTOCOL } from '../peer/wire.ts'
import { NodeChecks } from './checks.ts'
import type { NodeLook } from './compare.ts'
import { NodeHold } from './hold.ts'
import { NodePlace } from './place.ts'
import { ProbePace } from './probe-pace.ts'

/** What a look at a node is made with. */
export interface LookAt {
  readonly peer: PeerClient
  /** `host:port` */
  readonly address: string
  readonly path: string
  readonly held: HeldByPeer
  /** The node has been given the list as of this seq, at least; 0: not since this node started. */
  readonly servedSeq: number
}

export interface PivotNodeOptions {
  readonly http: PivotHttp
  readonly time: TimeSource
  readonly logger: Logger
  /** What this node leads: what is new to a node that is found. */
  readonly paths: readonly string[]
  /** Takes over what is newer at a node, and tells whether it holds what is held here. */
  readonly look: (at: LookAt) => Promise<NodeLook>
  /** What a node has been seen to hold. */
  readonly heldBy: (address: string) => HeldByPeer
  /** Makes the activity of a path greater than that of a node. */
  readonly exceed: (path: string, above: bigint) => void
  /** Hears that a look has ended well. */
  readonly seen: () => void
  /** Turns of the probes of all nodes. */
  readonly probes: Turns
  /** From a change to the look whether a node has it, milliseconds. Default 20. */
  readonly checkDelayMs?: number | undefined
}

/** A node as the leader sees it. */
export interface PivotNodeStatus {
  /** `host:port` */
  readonly address: string
  readonly healthy: boolean
  /** When it was last found well (healthy) or unwell, milliseconds since the epoch; 0: never looked. */
  readonly lastCheckMs: number
  /** `2.0`, what else it said, or `unknown`. */
  readonly protocol: string
}

/** How long a node waits for the look that its deletes bring on, and how often there is one. */
const SUSPECT_MS = 1_000
const SUSPECT_NS = 100n * NS_PER_MS
const DUTY = 10n
/** How long one who asks waits for another node at its address to be dialled. */
const DIAL_MS = 500
const SLOW_NS = 3_000n * NS_PER_MS
/** Between two probes for the sake of one who asks. */
const HURRY_NS = 200n * NS_PER_MS
/** A question that comes so long after the beginning of a look is one that the look itself brought on. */
const OWN_QUESTION_NS = 20n * NS_PER_MS

export class PivotNode {
  readonly listing: Pivot2Listing
  readonly address: string
  readonly checks: NodeChecks
  readonly pace: ProbePace = new ProbePace()
  /** Paths of which the node was not told the activity, because of one that shares its address. */
  readonly refused: Set<string> = new Set()
  readonly #options: PivotNodeOptions
  readonly #peer: PeerClient
  readonly #standing: StandingConnection
  readonly #place: NodePlace
  readonly #hold: NodeHold
  readonly #held: HeldByPeer
  #protocol = 'unknown'
  #hasStream = false
  #isHealthy = false
  #isStopped = false
  #lastCheckMs = 0
  #probeTookNs = 0n
  #probing: Promise<void> | undefined
  #tending: Promise<void> | undefined
  #turn: Promise<unknown> = Promise.resolve()
  #lookedNs = 0n
  #lookTookNs = 0n
  #looking: { readonly path: string; readonly sinceNs: bigint } | undefined
  /** As many as there are scopes, at most. */
  readonly #unreported = new Set<string>()
  readonly #served = new Map<string, number>()
  /** The latest stamp found at the node. */
  #latest = 0n

  constructor(options: PivotNodeOptions, listing: Pivot2Listing) {
    const { address } = listing
    this.#options = options
    this.listing = listing
    this.address = address
    this.#peer = new PeerClient(options.http, `http://${address}`)
    this.#standing = new StandingConnection(() => this.#connectionEnded())
    this.#place = new NodePlace(address)
    this.#hold = new NodeHold(options.paths, options.time.monotonicNs())
    this.#held = options.heldBy(address)
    const { time, logger } = options
    this.checks = new NodeChecks({
      ...{ time, logger, address },
      delayMs: options.checkDelayMs,
      compare: async (path) => !this.#speaks || (await this.#lookAt(path)),
      announce: (path) => {
        options.exceed(path, this.#latest)
        return this.notify(path)
      },
    })
  }

  /** Sees a last time what the node has got: what is deleted there later is known to have been there. */
  async finish(): Promise<void> {
    await this.#tending
    await this.checks.finish()
  }

  /** Waits for what is under way. */
  async stop(): Promise<void> {
    this.#isStopped = true
    this.#standing.close()
    await this.checks.stop()
    await this.#tending
  }

  /** It is no node any more: what is known of it goes. @throws StateError of the storage. */
  forget(): Promise<void> {
    return this.#held.forget()
  }

  get hasStream(): boolean {
    return this.#hasStream
  }

  status(): PivotNodeStatus {
    return {
      address: this.address,
      healthy: this.#isHealthy,
      lastCheckMs: this.#lastCheckMs,
      protocol: this.#protocol,
    }
  }

  /** Whether this node is told of changes of the path. */
  takesPartIn(path: string): boolean {
    return this.#options.paths.includes(path)
  }

  /** All of it is to be looked at. */
  look(): void {
    for (const path of this.#options.paths) this.checks.due(path)
  }

  /** Whether requests of the node come from there; see `placeOf`. */
  isAt(place: string): boolean {
    return this.#place.isAt(place)
  }

  sharesPlace(other: PivotNode): boolean {
    return this.#place.overlaps(other.#place)
  }

  /** Whether the node has yet to be looked at before anybody at its address is told this activity. */
  holds(path: string, isShared: boolean): boolean {
    if (this.#looking?.path === path) return true
    if (!this.#hold.isActive || this.#isOther) return false
    return !this.#hold.isSpent(this.#nowNs, isShared)
  }

  /** It has not been looked at, and is not waited for any longer: what was seen there is void. */
  async release(): Promise<void> {
    if (this.#hold.isActive && !this.#isOther) await this.#held.forget()
  }

  /** Whether a look is under way that waits for the answer to the question that it brought on. */
  isWaitingFor(path: string): boolean {
    const looking = this.#looking
    return looking?.path === path && this.#nowNs - looking.sinceNs > OWN_QUESTION_NS
  }

  /** Whether a look goes on, or is about to. */
  get isTended(): boolean {
    return this.#probing !== undefined || this.#tending !== undefined || this.#looking !== undefined
  }

  /** The node may be back: it is looked for. */
  hurry(): void {
    if (this.#nowNs - this.pace.lastNs > HURRY_NS) void this.probe()
  }

  /**
   * As `hurry`, of one that is not waited for any longer: resolves when it was dialled, or soon. One that
   * does not even refuse is not dialled each time.
   */
  async lookFor(): Promise<void> {
    const isSlow = this.#probeTookNs > OWN_QUESTION_NS
    if (!this.#hold.isActive || (isSlow && this.#nowNs - this.pace.lastNs < SLOW_NS)) return
    const { time } = this.#options
    await Promise.race([this.probe(), new Promise<void>((done) => time.after(DIAL_MS, done))])
  }

  /** Somebody at the node's address was given a list as of `seq`. */
  served(path: string, seq: number): void {
    this.#served.set(path, seq)
  }

  /** The node wants keys of a path deleted that it may merely lack. Resolves after a look, or soon. */
  async suspect(path: string): Promise<void> {
    const { time } = this.#options
    const sinceNs = this.#nowNs - this.#lookedNs
    // A sync names its keys one by one: one look is for many of them.
    if (sinceNs < SUSPECT_NS || sinceNs < this.#lookTookNs * DUTY) return this.checks.due(path)
    this.#hold.suspect(path, this.#nowNs)
    await Promise.race([this.#tend(), new Promise<void>((done) => time.after(SUSPECT_MS, done))])
  }

  /** Never rejects; one at a time. What could not be seen or told is when the node is well again. */
  probe(): Promise<void> {
    this.#probing ??= this.#options.probes
      .run(() => this.#probe())
      .finally(() => {
        this.#probing = undefined
        this.#probeTookNs = this.#nowNs - this.pace.lastNs
        const isWaiting = this.#unreported.size + this.#hold.paths.length > 0
        if (this.#isHealthy && isWaiting) void this.#tend()
      })
    return this.#probing
  }

  /** Never rejects; one at a time, each path once however often it changed meanwhile. */
  notify(path: string): Promise<void> {
    this.#unreported.add(path)
    return this.#tend()
  }

  get #nowNs(): bigint {
    return this.#options.time.monotonicNs()
  }

  get #speaks(): boolean {
    return this.#protocol === PIVOT_PROTOCOL && !this.#hasStream
  }

  /** It speaks, but not 2.0. */
  get #isOther(): boolean {
    return this.#protocol !== 'unknown' && !this.#speaks
  }

  #connectionEnded(): void {
    if (this.#isStopped) return
    this.#hold.outage(this.#nowNs)
    void this.probe()
  }

  async #probe(): Promise<void> {
    this.pace.lastNs = this.#nowNs
    await this.#place.resolve()
    try {
      const isServing = await this.#peer.isServing()
      if (isServing) {
        const spoke = this.#speaks
        const { protocol, hasStream } = await this.#peer.version(this.#standing)
        this.#protocol = protocol
        this.#hasStream = hasStream
        // Newly found, or another program than before: nothing is known of what it holds.
        if (!spoke && this.#speaks)
          for (const path of this.#options.paths) this.#unreported.add(path)
      }
      this.pace.ended(isServing)
      this.#checked(isServing)
    } catch {
      // What is wrong shows in the status: unhealthy, and when that was found.
      this.pace.ended(false)
      this.#checked(false)
    }
  }

  #tend(): Promise<void> {
    this.#tending ??= this.#work().finally(() => {
      this.#tending = undefined
    })
    return this.#tending
  }

  async #work(): Promise<void> {
    if (this.#protocol === 'unknown') await this.probe()
    if (!this.#speaks) {
      // An unreachable one is told once it is found; others do not understand.
      if (this.#isOther) this.#unreported.clear()
      return
    }
    while (!this.#isStopped) {
      const [unseen] = this.#hold.paths
      const [unreported] = this.#unreported
      if (unseen !== undefined) {
        if (!(await this.#see(unseen))) return
      } else if (unreported === undefined || !(await this.#announce(unreported))) return
    }
  }

  /** Takes over what is newer there, while it still is. @returns whether that went well. */
  async #see(path: string): Promise<boolean> {
    const { logger, exceed, seen } = this.#options
    try {
      if (!(await this.#lookAt(path))) {
        exceed(path, this.#latest)
        this.#unreported.add(path)
      }
      seen()
      return true
    } catch (error) {
      const node = this.address
      logger.debug('a 2.0 node could not be looked at', { node, path, error: errorText(error) })
      return false
    }
  }

  /** One look at a time. @returns whether the node holds all that is held here. */
  #lookAt(path: string): Promise<boolean> {
    const turn = this.#turn.then(async () => {
      const ended = this.#hold.look(path)
      const sinceNs = this.#nowNs
      this.#looking = { path, sinceNs }
      try {
        if (!this.listing.mayWrite) {
          ended()
          return true
        }
        const { isSame, latest } = await this.#options.look({
          ...{ peer: this.#peer, address: this.address, path, held: this.#held },
          servedSeq: this.#served.get(path) ?? 0,
        })
        ended()
        this.#latest = latest
        return isSame
      } finally {
        this.#looking = undefined
        this.#lookedNs = this.#nowNs
        this.#lookTookNs = this.#lookedNs - sinceNs
      }
    })
    this.#turn = turn.catch(() => undefined)
    return turn
  }

  async #announce(path: string): Promise<boolean> {
    this.#unreported.delete(path)
    let error: string
    try {
      const status = await this.#peer.notify(path)
      if (status === 200) {
        this.#mark(true)
        this.checks.due(path)
        return true
      }
      error = `answered ${status}, expected 200`
      this.#mark(false)
    } catch (cause) {
      error = errorText(cause)
      this.#checked(false)
    }
    this.#unreported.add(path)
    const node = this.address
    this.#options.logger.warn('a 2.0 node could not be notified', { node, path, error })
    return false
  }

  #checked(isHealthy: boolean): void {
    if (!isHealthy) this.#hold.outage(this.#nowNs)
    else if (!this.#isHealthy) this.#hold.reachable(this.#nowNs)
    this.#mark(isHealthy)
  }

  #mark(isHealthy: boolean): void {
    this.#isHealthy = isHealthy
    this.#lastCheckMs = Number(this.#options.time.wallNs() / NS_PER_MS)
  }
}
