/**
 * Puts a 2.0 node's list beside what its leader holds. 2.0 can not tell that a change was missed: a
 * push that failed is never repeated, and a node pulls only when its leader's activity is greater than
 * its own. So its leader looks: what is newer there is taken, what was deleted there is deleted here,
 * and what is older there is told again.
 */
import { isDeepStrictEqual } from 'node:util'
import type { HybridClock } from '../../../src/core/data/clock.ts'
import { type Entry, versionOf } from '../../../src/core/data/entry.ts'
import { StateError } from '../../../src/core/errors.ts'
import { NS_PER_SECOND } from '../../../src/core/ports/time.ts'
import type { SequencedRow } from '../../../src/store/format/rows.ts'
import type { ReplicationStore } from '../../../src/store/replication-store.ts'
import type { KeyState } from '../../../src/store/state/state.ts'
import { Absence } from '../peer/absence.ts'
import { keysOf, type PeerClient } from '../peer/client.ts'
import type { HeldByPeer, Observation } from '../peer/held.ts'
import { planAnew, planGone } from '../peer/plans.ts'
import type { SameDisk } from '../peer/same-disk.ts'
import { isOfScope, type PivotScope } from '../peer/wire.ts'

export interface CompareOptions {
  readonly store: ReplicationStore
  readonly clock: HybridClock
  readonly peer: PeerClient
  readonly scope: PivotScope
  /** Marks what is taken from the node. */
  readonly source: string
  readonly held: HeldByPeer
  /** The node has been given the list as of this seq, at least; 0: that is not known. */
  readonly servedSeq: number
  /** The activity of the scope here, before the look. */
  readonly activity: bigint
  /** Looks elsewhere at the node whether it has the disk it had. */
  readonly hasSameDisk: (observation: Observation | undefined) => Promise<SameDisk>
}

/** What was found. */
export interface NodeLook {
  /** The node holds all that is held here. */
  readonly isSame: boolean
  /** The latest stamp there, of an entry or a delete. */
  readonly latest: bigint
}

const PAGE = 500
/** What was seen at a node is noted again after this, also when nothing has changed. */
const NOTE_NS = 3600n * NS_PER_SECOND
/** Greatest list that is compared, entries: their keys are remembered meanwhile. */
const MAX_LIST = 5_000_000

/** Takes what the node has that is newer. @throws StateError of the peer and of the storage. */
export async function compareWithNode(options: CompareOptions): Promise<NodeLook> {
  const look = new Look(options)
  return options.scope.isList ? look.list() : look.object()
}

class Look {
  readonly #options: CompareOptions
  readonly #seq: number
  readonly #atNs: bigint
  readonly #observation: Observation | undefined
  #isSame = true
  #latest = 0n

  constructor(options: CompareOptions) {
    this.#options = options
    this.#seq = options.store.head
    this.#atNs = options.clock.physicalNs()
    this.#observation = options.held.of(options.scope.path)
  }

  async list(): Promise<NodeLook> {
    const { store, peer, scope, held } = this.#options
    const { observation, note } = await this.#known()
    const absence = new Absence(observation)
    const there = new Set<string>()
    for await (const page of pagesOf(peer, scope)) {
      for (const entry of page) {
        there.add(entry.key)
        absence.met(await store.keyState(entry.key), entry)
      }
      if (there.size > MAX_LIST) {
        throw new StateError('too_large', `pivot: ${scope.path} has over ${MAX_LIST} entries there`)
      }
      await this.#take(page)
    }
    if (note > this.#latest) this.#latest = note
    absence.reported(this.#latest)
    const missing = await this.#missing(there)
    const known = missing.filter((row) => absence.isKnown({ ...row, pendingFor: undefined }))
    const gone = known.length === 0 ? 0 : await this.#settle(known, absence)
    if (gone < missing.length) this.#isSame = false
    // It lacks what it had, and did not delete it: it may be about to fill an empty disk.
    if (gone < known.length) await held.forget(scope.path)
    else if (this.#isSame) await this.#noteHeld()
    return { isSame: this.#isSame, latest: this.#latest }
  }

  async object(): Promise<NodeLook> {
    const { store, clock, peer, scope, source } = this.#options
    const entry = await peer.object(scope)
    const keyState = await store.keyState(scope.base)
    if (entry !== undefined) {
      await this.#take([entry])
      return { isSame: this.#isSame, latest: this.#latest }
    }
    if (keyState === undefined || keyState.record.kind === 'tombstone')
      return { isSame: true, latest: 0n }
    // The note is one of this key; a key that is missing without one has never come there.
    const noted = await peer.deleteStamp(scope)
    this.#latest = noted
    if (noted >= versionOf(keyState.record) && noted <= clock.latest) {
      await store.run(planGone([keyState], () => noted, source))
      return { isSame: true, latest: noted }
    }
    if (noted > keyState.record.created && noted <= clock.latest)
      await store.run(planAnew(keyState, noted))
    return { isSame: false, latest: noted }
  }

  /**
   * What the node is known to have had. A delete that it notes later than all that is here is its own: then
   * it had taken over what it was given before, whether that was seen or not.
   */
  async #known(): Promise<{ observation: Observation | undefined; note: bigint }> {
    const { peer, scope, clock, activity, servedSeq } = this.#options
    const note = await peer.deleteStamp(scope)
    const isOwn = note > activity && note <= clock.latest
    if (!isOwn || servedSeq <= (this.#observation?.seq ?? 0))
      return { observation: this.#observation, note }
    return { observation: { seq: servedSeq, atNs: note, activity: 0n }, note }
  }

  async #take(page: readonly Entry[]): Promise<void> {
    const { store, clock, source } = this.#options
    const newer: Entry[] = []
    for (const entry of page) {
      const keyState = await store.keyState(entry.key)
      const version = versionOf(entry)
      if (version > this.#latest) this.#latest = version
      const held = keyState === undefined ? this.#forgotten : versionOf(keyState.record)
      if (version > held) newer.push(entry)
      else if (keyState === undefined || keyState.record.kind === 'tombstone') this.#isSame = false
      else if (version < held || !isSameData(keyState.record, entry)) {
        this.#isSame = false
        await makeTakeable(store, keyState.record, entry)
      }
    }
    if (newer.length > 0) await store.merge(newer, { source, notAfter: clock.latest })
  }

  /**
   * What is not known here, and not later than this, was deleted here and forgotten. What is later than
   * the latest look at the node is news.
   */
  get #forgotten(): bigint {
    const { forgotten } = this.#options.store.retention
    const seenNs = this.#observation?.atNs
    return seenNs !== undefined && seenNs < forgotten ? seenNs : forgotten
  }

  async #missing(there: ReadonlySet<string>): Promise<SequencedRow[]> {
    const { store, scope } = this.#options
    const missing: SequencedRow[] = []
    const { rows } = await store.scanRows({ prefix: `${scope.base}/` })
    for await (const row of rows) {
      const { record } = row
      if (record.kind === 'tombstone' || !isOfScope(scope, record.key)) continue
      if (!there.has(record.key)) missing.push(row)
    }
    return missing
  }

  /** Deletes what the node has deleted. @returns how many of `known` that were. */
  async #settle(known: readonly SequencedRow[], absence: Absence): Promise<number> {
    const { store, peer, scope, source, hasSameDisk } = this.#options
    if (!absence.hasSurvivor && (await hasSameDisk(this.#observation)) !== 'same') return 0
    const again = await keysOf(peer, scope)
    // A list that is just being filled grows meanwhile: then nothing is sure.
    if (known.some(({ record }) => again.has(record.key))) return 0
    const deletedAt = (ours: KeyState): bigint | undefined => absence.deletedAt(ours)
    let gone = 0
    for (let i = 0; i < known.length; i += PAGE) {
      gone += await store.run(planGone(known.slice(i, i + PAGE), deletedAt, source))
    }
    return gone
  }

  async #noteHeld(): Promise<void> {
    const { held, scope } = this.#options
    const before = this.#observation
    const isNews =
      before?.seq !== this.#seq ||
      before.activity !== this.#latest ||
      this.#atNs - before.atNs > NOTE_NS
    // Forgotten during the look: what it began from does not hold any more.
    if (!isNews || held.of(scope.path) !== before) return
    const observation = { seq: this.#seq, atNs: this.#atNs, activity: this.#latest }
    await held.note(new Map([[scope.path, observation]]))
  }
}

/** Whether two entries of one stamp, which two nodes may give, are the same. Go escapes and spaces otherwise. */
function isSameData(a: Entry, b: Entry): boolean {
  return a.data === b.data || isDeepStrictEqual(JSON.parse(a.data), JSON.parse(b.data))
}

/** 2.0 nodes take an entry only when its `updated` is greater than theirs: writes ours again if it is not. */
export async function makeTakeable(
  store: ReplicationStore,
  ours: Entry,
  theirs: Entry,
): Promise<void> {
  if (ours.updated > theirs.updated) return
  await store.update(ours.key, ({ data }) => data)
}

async function* pagesOf(peer: PeerClient, scope: PivotScope): AsyncGenerator<Entry[], undefined> {
  let page: Entry[] = []
  for await (const entry of peer.list(scope)) {
    page.push(entry)
    if (page.length < PAGE) continue
    yield page
    page = []
  }
  if (page.length > 0) yield page
  return undefined
}
