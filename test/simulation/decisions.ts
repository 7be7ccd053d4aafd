/**
 * What was decided, and what of it was promised: a conditional write that a majority of the voters held
 * while its leader's lease held. Nothing is decided from a state before such a write, whoever leads, and a
 * decision of an earlier grant never beats one of a later.
 */
import { type StoredRecord, versionOf } from '../../src/core/data/entry.ts'
import { compareRecords } from '../../src/core/data/merge.ts'
import type { VoterList } from '../../src/core/voter-list.ts'
import { isMajority } from '../../src/core/voter-list.ts'
import type { VirtualDisk } from './disk.ts'
import { tellRecord } from './view.ts'
import type { Loss } from './witness.ts'

interface Decision {
  /** Fencing number of the grant. */
  readonly n: number
  readonly record: StoredRecord
}

interface Promised extends Decision {
  /** Who voted when it was promised. */
  readonly voters: VoterList
  /** Whose disk was lost since then. */
  readonly lost: Set<string>
}

export class Decisions {
  readonly #made = new Map<string, Decision[]>()
  readonly #promised = new Map<string, Promised[]>()

  /** The latest that was promised of a key; undefined: nothing. */
  latest(key: string): StoredRecord | undefined {
    return (this.#promised.get(key) ?? []).reduce<StoredRecord | undefined>(
      (latest, { record }) =>
        latest === undefined || compareRecords(record, latest) > 0 ? record : latest,
      undefined,
    )
  }

  /**
   * A condition was decided on `base`, and `record` written.
   * @param promised the latest that had been promised when it was asked for.
   * @throws Error when it was decided from an older state, or is out of the order of the grants.
   */
  made(
    decision: Decision,
    base: StoredRecord | undefined,
    promised: StoredRecord | undefined,
  ): void {
    const { n, record } = decision
    const { key } = record
    if (promised !== undefined && (base === undefined || compareRecords(base, promised) < 0)) {
      throw new Error(
        `grant ${n} decided ${key} on ${tellRecord(base)}, after ${tellRecord(promised)} was promised`,
      )
    }
    const made = this.#made.get(key) ?? []
    for (const other of made) {
      const isRight = other.n === n || other.n < n === versionOf(other.record) < versionOf(record)
      if (isRight) continue
      const told = [other, decision].map((one) => `${tellRecord(one.record)} by grant ${one.n}`)
      throw new Error(
        `decisions of ${key} are not in the order of their grants: ${told.join(', ')}`,
      )
    }
    this.#made.set(key, [...made, decision])
  }

  promise(promised: Omit<Promised, 'lost'>): void {
    const { key } = promised.record
    const lost = new Set<string>()
    this.#promised.set(key, [...(this.#promised.get(key) ?? []), { ...promised, lost }])
  }

  /**
   * A fault took something from the disk of `place`. Of a disk that was lost, what was promised holds as long as
   * a majority of the voters' disks are those of when it was promised, or have been refilled. Of what was not
   * synced, only as long as a majority has it.
   */
  lost(diskOf: (voter: string) => VirtualDisk | undefined, loss: Loss, place: string): void {
    for (const [key, promised] of this.#promised) {
      const kept = promised.filter(({ record, voters, lost }) => {
        if (loss === 'disk') lost.add(place)
        const holds = (voter: string): boolean => {
          const held = diskOf(voter)?.record(key)
          return held !== undefined && compareRecords(held, record) >= 0
        }
        return isMajority(voters, (voter) => holds(voter) || (loss === 'disk' && !lost.has(voter)))
      })
      this.#promised.set(key, kept)
    }
  }

  /** @throws Error when a promised decision is not there, nor one that is later. */
  check(
    host: string,
    holds: (key: string) => boolean,
    records: ReadonlyMap<string, StoredRecord>,
  ): void {
    for (const key of this.#promised.keys()) {
      const latest = this.latest(key)
      const record = records.get(key)
      if (latest === undefined || !holds(key)) continue
      if (record !== undefined && compareRecords(record, latest) >= 0) continue
      throw new Error(
        `${host} has ${tellRecord(record)} of ${key}, a majority held ${tellRecord(latest)}`,
      )
    }
  }
}
