/**
 * Notes what clients were promised, and says at the end whether it was kept. It knows the disks,
 * so that it can tell a write that a fault took from the last disk that held it (a power cut, a
 * lost disk) from one that the engine lost.
 */
import { type StoredRecord, versionOf } from '../../src/core/entry.ts'
import { compareRecords } from '../../src/core/merge.ts'
import type { VirtualDisk } from './disk.ts'
import { tellRecord } from './view.ts'

interface Promised {
  readonly record: StoredRecord
  /** It was answered once it was synced: no power cut may take it. */
  readonly isSynced: boolean
}

/** What a fault does to promises: `power` takes what was not synced, `disk` takes what it wants. */
export type Loss = 'power' | 'disk'

export class Witness {
  /** Acknowledged and not lost, by key. */
  readonly #promised = new Map<string, Promised[]>()
  /** The key that each text was written under, whether or not it was acknowledged. */
  readonly #attempted = new Map<string, string>()
  /** The latest delete of each key that anybody made. */
  readonly #deleted = new Map<string, StoredRecord>()

  /** Records that were given lesser stamps, by key, in order. */
  readonly #moved = new Map<string, { before: StoredRecord; after: StoredRecord }[]>()

  /** Every record that a node at the top held, by key. */
  readonly #led = new Map<string, StoredRecord[]>()
  /** Of those, the ones that were deleted there later. */
  readonly #buried = new Set<string>()

  /** A node at the top holds this. */
  noteLed(record: StoredRecord): void {
    const led = this.#led.get(record.key) ?? []
    led.push(record)
    this.#led.set(record.key, led)
  }

  /** A node at the top was asked for this delete and acknowledged it: what it held stays deleted. */
  bury(tombstone: StoredRecord): void {
    for (const record of this.#led.get(tombstone.key) ?? []) {
      if (compareRecords(record, tombstone) < 0) this.#buried.add(tellPlace(record))
    }
  }

  /** A client is about to write this. */
  attempt(data: string, pattern: string): void {
    this.#attempted.set(data, pattern)
  }

  /** A client was told that this is written. */
  acknowledge(record: StoredRecord, isSynced: boolean): void {
    const promised = this.#promised.get(record.key) ?? []
    promised.push({ record, isSynced })
    this.#promised.set(record.key, promised)
  }

  /** A delete was made, whether or not it was acknowledged. */
  noteDelete(record: StoredRecord): void {
    const known = this.#deleted.get(record.key)
    if (known === undefined || compareRecords(known, record) < 0) {
      this.#deleted.set(record.key, record)
    }
  }

  /**
   * A record got another stamp. What was promised of it, and of those that its node had written
   * before it, holds for the new one.
   */
  restamped(before: StoredRecord, after: StoredRecord): void {
    const moved = this.#moved.get(before.key) ?? []
    moved.push({ before, after })
    this.#moved.set(before.key, moved)
    const promised = this.#promised.get(before.key) ?? []
    promised.forEach(({ record }, i) => {
      // Whoever made it: a write that `before` was later than may have lost to it already.
      const isOlder = compareRecords(record, before) <= 0
      if (isOlder && compareRecords(record, after) > 0)
        promised[i] = { record: after, isSynced: false }
    })
  }

  /**
   * Whether `after` may take the place of `before` though its stamp is lesser: `before`, or what it
   * had lost to, was given another stamp, and `after` is that record or has won against it since.
   */
  mayReplace(before: StoredRecord, after: StoredRecord): boolean {
    let least = before
    // Each record that was moved down may have been moved again.
    for (const moved of this.#moved.get(before.key) ?? []) {
      if (compareRecords(moved.before, least) < 0) continue
      if (compareRecords(moved.after, least) < 0) least = moved.after
    }
    return compareRecords(least, before) < 0 && compareRecords(after, least) >= 0
  }

  /**
   * A fault took something: what no disk holds any more is not promised any more.
   * @param expired see `check`.
   * @throws Error when a power cut took what had been synced.
   */
  lost(disksOf: (key: string) => readonly VirtualDisk[], loss: Loss, expired: bigint): void {
    for (const [key, promised] of this.#promised) {
      const best = latest(disksOf(key).flatMap((disk) => disk.record(key) ?? []))
      const kept = promised.flatMap(({ record, isSynced }): Promised[] => {
        // With one disk gone, nobody knows what the others have synced.
        const stillSynced = isSynced && loss === 'power'
        if (best !== undefined && compareRecords(best, record) >= 0) {
          return [{ record, isSynced: stillSynced }]
        }
        if (!stillSynced || this.#isForgotten(record, expired)) return []
        throw new Error(`a power cut took ${tellRecord(record)} of ${key}, which had been synced`)
      })
      this.#promised.set(key, kept)
    }
  }

  /**
   * What `host` holds must be at least what was promised, and nothing that nobody wrote.
   * @param expired deletes with a lesser stamp may have been forgotten, by whatever clock.
   * @throws Error naming the key.
   */
  check(
    host: string,
    holds: (key: string) => boolean,
    records: ReadonlyMap<string, StoredRecord>,
    expired: bigint,
  ): void {
    for (const [key, promised] of this.#promised) {
      const best = latest(promised.map(({ record }) => record))
      if (best === undefined || !holds(key)) continue
      const record = records.get(key)
      // Once a delete is forgotten, what was written before it and not shared comes through.
      if (this.#isForgotten(best, expired)) continue
      if (record !== undefined && compareRecords(record, best) >= 0) continue
      throw new Error(`${host} has ${tellRecord(record)} of ${key}, lost ${tellRecord(best)}`)
    }
    for (const record of records.values()) {
      this.#assertWritten(host, record)
      if (record.kind === 'tombstone' || !this.#buried.has(tellPlace(record))) continue
      throw new Error(`${host} has ${tellRecord(record)} of ${record.key}, which was deleted`)
    }
  }

  /** Whether a record is a delete, or was followed by one, that may be forgotten. */
  #isForgotten(record: StoredRecord, expired: bigint): boolean {
    // Of the deletes only the latest is known, which a fault may have taken with its node.
    if (record.kind === 'tombstone' && versionOf(record) < expired) return true
    const deleted = this.#deleted.get(record.key)
    return (
      deleted !== undefined && compareRecords(deleted, record) >= 0 && versionOf(deleted) < expired
    )
  }

  #assertWritten(host: string, record: StoredRecord): void {
    if (record.kind === 'tombstone') return
    const pattern = this.#attempted.get(record.data)
    if (pattern === record.key) return
    if (pattern?.endsWith('/*') === true && record.key.startsWith(pattern.slice(0, -1))) return
    throw new Error(`${host} has ${record.data} under ${record.key}, which nobody wrote there`)
  }
}

function tellPlace(record: StoredRecord): string {
  return `${record.key} ${tellRecord(record)}`
}

function latest(records: readonly StoredRecord[]): StoredRecord | undefined {
  return records.reduce<StoredRecord | undefined>(
    (best, record) => (best !== undefined && compareRecords(best, record) >= 0 ? best : record),
    undefined,
  )
}
