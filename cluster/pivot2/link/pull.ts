/**
 * Takes over one scope from a 2.0 leader. 2.0 tells one stamp per scope, its activity, and else only
 * the whole list; so the list is fetched when the activity changed, and merged entry by entry.
 */
import type { HybridClock } from '../../../src/core/data/clock.ts'
import { type Entry, versionOf } from '../../../src/core/data/entry.ts'
import { StateError } from '../../../src/core/errors.ts'
import type { ReplicationStore } from '../../../src/store/replication-store.ts'
import type { KeyState } from '../../../src/store/state/state.ts'
import { Absence } from '../peer/absence.ts'
import { keysOf, type PeerClient } from '../peer/client.ts'
import type { Observation } from '../peer/held.ts'
import { type PullResult, planAbsent, planTake } from '../peer/plans.ts'
import type { SameDisk } from '../peer/same-disk.ts'
import { isOfScope, PIVOT_ORIGIN, type PivotScope } from '../peer/wire.ts'

export interface PullOptions {
  readonly store: ReplicationStore
  readonly clock: HybridClock
  /** URL of the leader. */
  readonly leader: string
  readonly peer: PeerClient
  /** Ends early when it says no. */
  readonly isWanted: () => boolean
  /** What has been seen of the scope at the leader. */
  readonly observation: Observation | undefined
  /** Looks elsewhere at the leader whether it has the disk it had; for a list that has nothing to tell. */
  readonly hasSameDisk: () => Promise<SameDisk>
}

/** What is known of the leader's side of a scope. Kept by the caller between pulls. */
export interface ScopeView {
  /** The activity that this node has taken over; undefined: the scope must be pulled. */
  activity: bigint | undefined
  /** Greatest stamp of an entry there. */
  newest: bigint
  /** The stamp of a delete that was noted there when last looked; 0n: none was. */
  deleteNoted: bigint
  /** The activity that the leader told last. */
  reported: bigint
  /** All that is held here and not pending is at the leader: it was compared with, and heard of since. */
  isWhole: boolean
}

export const unknownView = (): ScopeView => ({
  activity: undefined,
  newest: 0n,
  deleteNoted: 0n,
  reported: 0n,
  isWhole: false,
})

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
  view.reported = activity
  if (!isForced && activity === view.activity) return undefined
  view.activity = undefined
  const pull = new Pull(options, scope)
  pull.absence.reported(activity)
  const result = await (scope.isList ? pull.list(activity, view) : pull.object(activity, view))
  // What happened there since the first reading shows as another activity next time.
  if (options.isWanted()) {
    view.activity = activity
    view.isWhole = true
  }
  return result
}

type DeletedAt = (ours: KeyState) => bigint | undefined

class Pull {
  readonly #options: PullOptions
  readonly #scope: PivotScope
  readonly absence: Absence
  #applied = 0
  #pending = 0

  constructor(options: PullOptions, scope: PivotScope) {
    this.#options = options
    this.#scope = scope
    this.absence = new Absence(options.observation)
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
    const missing: string[] = []
    let isJudged = false
    const { rows } = await store.scanRows({ prefix: `${this.#scope.base}/` })
    for await (const { record } of rows) {
      if (there.has(record.key) || !isOfScope(this.#scope, record.key)) continue
      missing.push(record.key)
      // What is pending is on its way there: there is nothing to judge of it.
      isJudged ||=
        record.kind === 'entry' && (await store.keyState(record.key))?.pendingFor === undefined
    }
    const deletedAt = isJudged ? await this.#judge(activity, view, missing) : undefined
    for (let i = 0; i < missing.length && isWanted(); i += PAGE) {
      await this.#settle(missing.slice(i, i + PAGE), deletedAt ?? (() => undefined))
    }
  }

  /** How to tell when an entry that the list lacks was deleted there, if it was. */
  async #judge(activity: bigint, view: ScopeView, missing: string[]): Promise<DeletedAt> {
    const disk = this.absence.hasSurvivor ? 'same' : await this.#options.hasSameDisk()
    if (disk === 'another') return () => undefined
    const noted = await this.#noted(activity, view.newest)
    const proof = proofOf(noted, view)
    view.deleteNoted = noted
    const again =
      disk === 'same' ? await keysOf(this.#options.peer, this.#scope) : new Set<string>()
    // A list that is just being filled again grows meanwhile: then nothing is sure.
    const isStill = disk === 'same' && !missing.some((key) => again.has(key))
    return (ours) =>
      (isStill ? this.absence.deletedAt(ours) : undefined) ?? this.#provenBy(proof, ours)
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
      const proof = proofOf(noted, view)
      // The only delete that can be noted there is that of this key.
      const isNoted = noted > 0n
      await this.#settle(
        [this.#scope.base],
        (ours) =>
          (isNoted ? this.absence.deletedAt(ours) : undefined) ?? this.#provenBy(proof, ours),
      )
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

  /** A delete that was noted there is one of what had been there. */
  #provenBy(proof: bigint, { record }: KeyState): bigint | undefined {
    const wasThere =
      this.#options.observation !== undefined || record.origin.startsWith(PIVOT_ORIGIN)
    if (!wasThere || this.absence.isDoubtful(record)) return undefined
    return versionOf(record) <= proof ? proof : undefined
  }

  async #take(entries: readonly Entry[]): Promise<void> {
    if (entries.length === 0) return
    const { store, clock, leader } = this.#options
    for (const entry of entries) clock.observe(versionOf(entry))
    const met = (ours: KeyState | undefined, theirs: Entry): void => this.absence.met(ours, theirs)
    this.#add(await store.run(planTake(leader, entries, met)))
  }

  async #settle(keys: readonly string[], deletedAt: DeletedAt): Promise<void> {
    if (keys.length === 0) return
    const { store, clock, leader } = this.#options
    const observed: DeletedAt = (ours) => {
      const stamp = deletedAt(ours)
      if (stamp !== undefined) clock.observe(stamp)
      return stamp
    }
    this.#add(await store.run(planAbsent(leader, keys, observed)))
  }

  #add({ applied, pending }: PullResult): void {
    this.#applied += applied
    this.#pending += pending
  }

  #result(): PullResult {
    return { applied: this.#applied, pending: this.#pending }
  }
}

/**
 * Up to which stamp absence is proven to be a delete: one was noted at the leader that was not there
 * yet when this node last looked.
 */
function proofOf(noted: bigint | undefined, view: ScopeView): bigint {
  return noted === undefined || noted === view.deleteNoted ? 0n : noted
}
