/**
 * What it means that a 2.0 peer lacks a key. It was deleted there when this node has seen it there, and
 * it has not changed here since. But a peer that lost its disk, or got an older one back, lacks keys as
 * well, and deleted none. So the peer must still have something of what was seen there; and where it
 * shows older data than it had, only what is older still counts as deleted. Pure.
 */
import { type Entry, type StoredRecord, versionOf } from '../../../src/core/data/entry.ts'
import type { Observation } from './held.ts'

/** What is known here of a key. */
export interface OwnRecord {
  readonly record: StoredRecord
  readonly seq: number
  readonly pendingFor: string | undefined
}

export class Absence {
  readonly #observation: Observation | undefined
  #hasSurvivor = false
  /** The disk of the peer may have been set back, to no earlier a time than this. */
  #setBackTo: bigint | undefined

  constructor(observation: Observation | undefined) {
    this.#observation = observation
  }

  /** Whether this very entry has been seen at the peer. */
  isKnown({ record, seq, pendingFor }: OwnRecord): boolean {
    if (this.#observation === undefined || pendingFor !== undefined) return false
    return record.kind === 'entry' && seq <= this.#observation.seq
  }

  /** Takes notice of what the peer holds. @param ours what is held here under that key */
  met(ours: OwnRecord | undefined, theirs: Entry): void {
    const observation = this.#observation
    if (observation === undefined || ours === undefined || ours.record.kind !== 'entry') return
    const { created } = ours.record
    // It may have changed since, on either side: it was made before the look, and was not made again.
    if (created === theirs.created && created <= observation.atNs) this.#hasSurvivor = true
    const version = versionOf(theirs)
    if (this.isKnown(ours) && version < versionOf(ours.record)) this.#setBack(version)
  }

  /** Takes notice of the peer's activity. */
  reported(activity: bigint): void {
    if (this.#observation !== undefined && activity < this.#observation.activity)
      this.#setBack(activity)
  }

  /** Something that was seen at the peer is still there. */
  get hasSurvivor(): boolean {
    return this.#hasSurvivor
  }

  /** The stamp of the delete of an entry that the peer lacks; undefined when none is proven. */
  deletedAt(ours: OwnRecord): bigint | undefined {
    const { record } = ours
    if (record.kind !== 'entry' || this.#observation === undefined || !this.isKnown(ours)) {
      return undefined
    }
    if (this.isDoubtful(record)) return undefined
    const { atNs } = this.#observation
    // It was made after the look: what was written elsewhere before that has to give way, no more.
    const version = versionOf(record)
    return atNs > version ? atNs : version
  }

  /** It may be missing because the peer got an older disk. */
  isDoubtful(record: StoredRecord): boolean {
    if (this.#setBackTo === undefined || record.kind !== 'entry') return false
    return record.created > this.#setBackTo
  }

  #setBack(to: bigint): void {
    if (this.#setBackTo === undefined || to > this.#setBackTo) this.#setBackTo = to
  }
}
