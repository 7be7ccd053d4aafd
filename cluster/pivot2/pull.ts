/**
 * Takes over one scope from a 2.0 leader. 2.0 tells one stamp per scope, its activity, and else only
 * the whole list; so the list is fetched when the activity changed, and merged entry by entry.
 */
import type { HybridClock } from '../../src/core/clock.ts'
import { type Entry, versionOf } from '../../src/core/entry.ts'
import { StateError } from '../../src/core/errors.ts'
import type { Store } from '../../src/store/store.ts'
import type { PeerClient } from './peer-client.ts'
import { type PullResult, planAbsent, planTake } from './plans.ts'
import { isOfScope, type PivotScope } from './wire.ts'

export interface PullOptions {
  readonly store: Store
  readonly clock: HybridClock
  /** URL of the leader. */
  readonly leader: string
  readonly peer: PeerClient
  /** Ends early when it says no. */
  readonly isWanted: () => boolean
}

/** What is known of the leader's side of a scope. Kept by the caller between pulls. */
export interface ScopeView {
  /** The activity that this node has taken over; undefined: the scope must be pulled. */
  activity: bigint | undefined
  /** Greatest stamp of an entry there. */
  newest: bigint
  /** The stamp of a delete that was noted there when last looked; 0n: none was. */
  deleteNoted: bigint
}

export const unknownView = (): ScopeView => ({ activity: undefined, newest: 0n, deleteNoted: 0n })

/** Entries merged in one batch. */
const PAGE = 500
/** Greatest list that is taken, entries: their keys are remembered while it is compared. */
const MAX_LIST = 5_000_000

/** @returns undefined when nothing had to be pulled. @throws StateError of peer and storage. */
export async function pullScope(
  options: PullOptions,
  scope: PivotScope,
  view: ScopeView,
  isForced: boolean,
): Promise<PullResult | undefined> {
  const activity = await options.peer.activity(scope)
  if (!isForced && activity === view.activity) return undefined
  view.activity = undefined
  const pull = new Pull(options, scope)
  const result = await (scope.isList ? pull.list(activity, view) : pull.object(activity, view))
  // What happened there since the first reading shows as another activity next time.
  if (options.isWanted()) view.activity = activity
  return result
}

class Pull {
  readonly #options: PullOptions
  readonly #scope: PivotScope
  #applied = 0
  #owed = 0

  constructor(options: PullOptions, scope: PivotScope) {
    this.#options = options
    this.#scope = scope
  }

  async list(activity: bigint, view: ScopeView): Promise<PullResult> {
    const { peer, isWanted } = this.#options
    const there = new Set<string>()
    let newest = 0n
    let page: Entry[] = []
    for await (const entry of peer.list(this.#scope)) {
      if (!isWanted()) return this.#result()
      there.add(entry.key)
      if (there.size > MAX_LIST) {
        throw new StateError('too_large', `pivot: ${this.#scope.path} has over ${MAX_LIST} entries`)
      }
      const version = versionOf(entry)
      if (version > newest) newest = version
      page.push(entry)
      if (page.length < PAGE) continue
      await this.#take(page)
      page = []
    }
    await this.#take(page)
    view.newest = newest
    await this.#settleAbsent(there, activity, view)
    return this.#result()
  }

  /** Settles what the list lacks. */
  async #settleAbsent(
    there: ReadonlySet<string>,
    activity: bigint,
    view: ScopeView,
  ): Promise<void> {
    const { store, isWanted } = this.#options
    let noted: bigint | undefined
    let keys: string[] = []
    const settle = (): Promise<void> => this.#settle(keys, proofOf(noted, view))
    const { rows } = await store.scanRows({ prefix: `${this.#scope.base}/` })
    for await (const { record } of rows) {
      if (there.has(record.key) || !isOfScope(this.#scope, record.key)) continue
      if (!isWanted()) return
      if (record.kind === 'entry') noted ??= await this.#noted(activity, view.newest)
      keys.push(record.key)
      if (keys.length < PAGE) continue
      await settle()
      keys = []
    }
    await settle()
    view.deleteNoted = noted ?? view.deleteNoted
  }

  async object(activity: bigint, view: ScopeView): Promise<PullResult> {
    const entry = await this.#options.peer.object(this.#scope)
    if (entry !== undefined) {
      view.newest = versionOf(entry)
      await this.#take([entry])
    } else {
      view.newest = 0n
      // An absent key has no other stamp than that of its delete.
      const noted = await this.#noted(activity, 0n)
      await this.#settle([this.#scope.base], proofOf(noted, view))
      view.deleteNoted = noted
    }
    return this.#result()
  }

  /** The stamp of the latest delete that the leader's bookkeeping tells of; 0n: it tells of none. */
  async #noted(first: bigint, newest: bigint): Promise<bigint> {
    const { peer } = this.#options
    const second = await peer.activity(this.#scope)
    const activity = second > first ? second : first
    return activity > newest ? activity : peer.deleteStamp(this.#scope)
  }

  async #take(entries: readonly Entry[]): Promise<void> {
    if (entries.length === 0) return
    const { store, clock, leader } = this.#options
    for (const entry of entries) clock.observe(versionOf(entry))
    this.#add(await store.run(planTake(leader, entries)))
  }

  async #settle(keys: readonly string[], proof: bigint): Promise<void> {
    if (keys.length === 0) return
    const { store, clock, leader } = this.#options
    clock.observe(proof)
    this.#add(await store.run(planAbsent(leader, keys, proof)))
  }

  #add({ applied, owed }: PullResult): void {
    this.#applied += applied
    this.#owed += owed
  }

  #result(): PullResult {
    return { applied: this.#applied, owed: this.#owed }
  }
}

/**
 * Up to which stamp absence is proven to be a delete: one was noted at the leader that was not there
 * yet when this node last looked.
 */
function proofOf(noted: bigint | undefined, view: ScopeView): bigint {
  return noted === undefined || noted === view.deleteNoted ? 0n : noted
}
