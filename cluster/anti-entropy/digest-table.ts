/**
 * The digests of what this node holds, per set of keys and horizon, kept up to date by every commit.
 * A set is counted by one scan of the store; commits after the scan's place in the log are added to
 * it, so that each change counts once. Sets nobody counted on are counted when they are asked for.
 *
 * Tombstones up to the horizon do not count: they may be removed at any time, which no commit tells.
 * So a horizon had better move in long steps, each of which costs a scan.
 */
import type { Digest, Hash } from '../../src/core/data/digest.ts'
import { hashRecord } from '../../src/core/data/digest.ts'
import type { Commit, StoredRecord } from '../../src/core/data/entry.ts'
import { StateError } from '../../src/core/errors.ts'
import { literalPrefix } from '../../src/core/keys/key.ts'
import type { TimeSource } from '../../src/core/ports/time.ts'
import type { KeySet } from '../../src/core/wire/comparison.ts'
import { STREAM_PROTOCOL } from '../../src/core/wire/protocol.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import { DigestTree, leafOf } from './digest-tree.ts'
import { coversKey, setName } from './key-set.ts'
import { breathe } from './set-rows.ts'
import { countsInDigest } from './unknown-entries.ts'

/** Sets counted at most, beside twice the usual ones; the one not asked for longest goes. */
const MAX_FOREIGN = 64
/** Records between two breaths of a count. */
const BREATH = 10_000
/** A count that met a damaged record is begun again, at most so often. */
const MAX_TRIES = 5

/** What is counted. */
export interface Counting {
  readonly set: KeySet
  readonly horizon: bigint
  /** Version of the stream that those speak who compare with it. Default: the newest. */
  readonly protocol?: number
}

interface Tracked extends Required<Counting> {
  readonly tree: DigestTree
  readonly count: Count
}

/** One scan for one or more sets. */
interface Count {
  /** Seq of the log as of which the store is scanned; undefined until that is known. */
  after: number | undefined
  /** Commits heard before that: those of at most two batches. */
  early: Commit[]
  isDone: boolean
  done: Promise<void>
}

export class DigestTable {
  readonly #store: Pick<ReplicationStore, 'scanRows'>
  readonly #time: TimeSource
  readonly #usual: readonly KeySet[]
  /** By name of the set, the one asked for longest ago first. */
  readonly #tracked = new Map<string, Tracked>()
  /** Counts of an earlier generation end without a result. */
  #generation = 0

  /** @param usual sets that are counted together, once, at the start. */
  constructor(
    store: Pick<ReplicationStore, 'scanRows'>,
    time: TimeSource,
    usual: readonly KeySet[],
  ) {
    this.#store = store
    this.#time = time
    this.#usual = usual
  }

  /** Counts the usual sets again, as at the start. @throws StateError of the storage. */
  async recount(horizon: bigint): Promise<void> {
    this.stop()
    await this.#begin(this.#usual.map((set) => ({ set, horizon })))
  }

  /** Ends counts under way and forgets everything. */
  stop(): void {
    this.#generation++
    this.#tracked.clear()
  }

  /** Tombstones up to this stamp are gone: sets that count some of them are to be counted again. */
  removed(forgotten: bigint): void {
    for (const [name, { horizon }] of this.#tracked) {
      if (horizon < forgotten) this.#tracked.delete(name)
    }
  }

  /** Hears every commit of the store, in order. */
  committed(commit: Commit): void {
    for (const { count } of this.#tracked.values()) {
      if (count.after === undefined && count.early.at(-1) !== commit) count.early.push(commit)
    }
    apply([...this.#tracked.values()], commit)
  }

  /** Resolves when the set is counted. @throws StateError of the storage, or `not_open` once stopped. */
  async track(counting: Counting): Promise<void> {
    const name = nameOf(counting)
    const known = this.#tracked.get(name)
    if (known === undefined) return this.#begin([counting])
    this.#tracked.delete(name)
    this.#tracked.set(name, known)
    await known.count.done
  }

  /** One per node, in order, as of the last commit. @throws StateError `not_open` unless tracked. */
  digests(counting: Counting, nodes: readonly string[]): Digest[] {
    const tracked = this.#tracked.get(nameOf(counting))
    if (tracked === undefined || !tracked.count.isDone) {
      throw new StateError('not_open', `cluster: "${setName(counting.set)}" is not counted`)
    }
    return nodes.map((node) => tracked.tree.digest(node))
  }

  async #begin(countings: readonly Counting[]): Promise<void> {
    const count: Count = { after: undefined, early: [], isDone: false, done: Promise.resolve() }
    const begun = countings.map(
      ({ set, horizon, protocol = STREAM_PROTOCOL }): Tracked => ({
        ...{ set, horizon, protocol, count },
        tree: new DigestTree(),
      }),
    )
    for (const tracked of begun) this.#tracked.set(nameOf(tracked), tracked)
    count.done = this.#count(begun, count).catch((error: unknown) => {
      for (const [name, { count: its }] of this.#tracked) {
        if (its === count) this.#tracked.delete(name)
      }
      throw error
    })
    this.#forget()
    await count.done
  }

  async #count(begun: readonly Tracked[], count: Count): Promise<void> {
    for (let tries = 1; !(await this.#scan(begun, count)); tries++) {
      if (tries === MAX_TRIES) {
        throw new StateError('storage_failed', `cluster: ${tries} counts met damaged records`)
      }
      for (const { tree } of begun) tree.clear()
      count.after = undefined
    }
    count.isDone = true
  }

  /**
   * Counts by one scan. @returns false when a record is newer than the scan: the one it should have
   * had is damaged on disk, and nobody can tell any more which of the commits since count it.
   */
  async #scan(begun: readonly Tracked[], count: Count): Promise<boolean> {
    const generation = this.#generation
    const [only, ...others] = begun
    const prefix = only !== undefined && others.length === 0 ? literalPrefix(only.set.path) : ''
    const { seq: after, rows } = await this.#store.scanRows({ prefix })
    count.after = after
    // What is after the scan among them is counted the ordinary way.
    for (const commit of count.early) apply(begun, commit)
    count.early = []
    let records = 0
    for await (const { seq, record } of rows) {
      if (generation !== this.#generation) {
        throw new StateError('not_open', 'cluster: counting was stopped')
      }
      if (seq > after) return false
      const hashOf = hashedOnce(record)
      for (const { set, horizon, protocol, tree } of begun) {
        if (!coversKey(set, record.key) || !countsInDigest(record, horizon, protocol)) continue
        tree.add(leafOf(record.key), hashOf(protocol))
      }
      if (++records % BREATH === 0) await breathe(this.#time)
    }
    return true
  }

  #forget(): void {
    const limit = this.#usual.length * 2 + MAX_FOREIGN
    for (const [name, { count }] of this.#tracked) {
      if (this.#tracked.size <= limit) return
      if (count.isDone) this.#tracked.delete(name)
    }
  }
}

function nameOf({ set, horizon, protocol = STREAM_PROTOCOL }: Counting): string {
  return `${protocol} ${horizon} ${setName(set)}`
}

/** The record's hash for a protocol; made once while the protocol stays the same. */
function hashedOnce(record: StoredRecord): (protocol: number) => Hash {
  let known: { readonly protocol: number; readonly hash: Hash } | undefined
  return (protocol) => {
    if (known?.protocol !== protocol) known = { protocol, hash: hashRecord(record, protocol) }
    return known.hash
  }
}

/** Counts a commit in every set whose scan does not have it; each record is hashed once at most. */
function apply(tracked: readonly Tracked[], { seq, changes }: Commit): void {
  for (const { key, replaced, after } of changes) {
    const leaf = leafOf(key)
    const came = hashedOnce(after)
    const left = replaced === undefined ? undefined : hashedOnce(replaced)
    for (const { set, horizon, protocol, tree, count } of tracked) {
      if (count.after === undefined || seq <= count.after || !coversKey(set, key)) continue
      if (countsInDigest(after, horizon, protocol)) tree.add(leaf, came(protocol))
      if (replaced === undefined || left === undefined) continue
      if (countsInDigest(replaced, horizon, protocol)) tree.remove(leaf, left(protocol))
    }
  }
}
