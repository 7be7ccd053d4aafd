/**
 * Notes what clients were promised, and says at the end whether it was kept: what a key holds must not be
 * something that a promised write of the key knew of already. It knows the disks, so that it can tell a
 * write that a fault took from the last disk that held it (a power cut, a lost disk) from one that the
 * engine lost. Its order is its own: see `causality.ts`.
 */
import type { StoredRecord } from '../../src/core/data/entry.ts'
import { Causality, type Op } from './causality.ts'
import type { VirtualDisk } from './disk.ts'
import { tellRecord } from './view.ts'

interface Promised {
  readonly op: Op
  /** It was answered once it was synced: no power cut may take it. */
  readonly isSynced: boolean
}

/** What a fault does to promises: `power` takes what was not synced, `disk` takes what it wants. */
export type Loss = 'power' | 'disk'

export class Witness {
  readonly causality: Causality = new Causality()
  /** Acknowledged and not lost, by key. */
  readonly #promised = new Map<string, Promised[]>()
  /** The key that each text was written under, whether or not it was acknowledged. */
  readonly #attempted = new Map<string, string>()
  /** When each delete was made, by key: nanoseconds of the world's time. */
  readonly #deletes = new Map<string, Map<Op, bigint>>()
  /** What a node at the top held, by key. */
  readonly #led = new Map<string, Set<Op>>()
  /** Of those, the ones that were deleted there later. */
  readonly #buried = new Set<Op>()

  /** A node at the top holds this. */
  noteLed(record: StoredRecord): void {
    const led = this.#led.get(record.key) ?? new Set()
    this.#led.set(record.key, led.add(this.causality.opOf(record)))
  }

  /** A node at the top was asked for this delete and acknowledged it: what it held stays deleted. */
  bury(tombstone: StoredRecord): void {
    const op = this.causality.opOf(tombstone)
    for (const led of this.#led.get(tombstone.key) ?? []) {
      if (this.causality.follows(op, led)) this.#buried.add(led)
    }
  }

  /** A client is about to write this. */
  attempt(data: string, pattern: string): void {
    this.#attempted.set(data, pattern)
  }

  /** A client was told that this is written. */
  acknowledge(record: StoredRecord, isSynced: boolean): void {
    const promised = this.#promised.get(record.key) ?? []
    promised.push({ op: this.causality.opOf(record), isSynced })
    this.#promised.set(record.key, promised)
  }

  /** A delete is held somewhere, whether or not it was acknowledged. */
  noteDelete(record: StoredRecord, nowNs: bigint): void {
    const op = this.causality.opOf(record)
    const deletes = this.#deletes.get(record.key) ?? new Map<Op, bigint>()
    if (!deletes.has(op)) deletes.set(op, nowNs)
    this.#deletes.set(record.key, deletes)
  }

  /**
   * Whether a node that held `before` may come to hold `after`: unless the maker of `before` knew of that,
   * or what it knew may be forgotten by now.
   * @param expired deletes made before may be forgotten, nanoseconds of the world's time.
   */
  mayReplace(before: StoredRecord, after: StoredRecord, expired: bigint): boolean {
    const [held, came] = [before, after].map((record) => this.causality.opOf(record))
    if (held === undefined || came === undefined || !this.causality.follows(held, came)) return true
    return this.#isForgotten(before.key, held, expired)
  }

  /**
   * A fault took something: what no disk holds any more is not promised any more.
   * @param expired see `check`.
   * @throws Error when a power cut took what had been synced.
   */
  lost(disksOf: (key: string) => readonly VirtualDisk[], loss: Loss, expired: bigint): void {
    for (const [key, promised] of this.#promised) {
      const records = disksOf(key).flatMap((disk) => disk.record(key) ?? [])
      const told = records.filter((record) => this.causality.knows(record))
      const held = told.map((record) => this.causality.opOf(record))
      const kept = promised.flatMap(({ op, isSynced }): Promised[] => {
        // With one disk gone, nobody knows what the others have synced.
        const stillSynced = isSynced && loss === 'power'
        if (this.causality.livesOn(op, held)) return [{ op, isSynced: stillSynced }]
        // What is on a disk already and not told yet may follow it: nobody knows.
        const mayLiveOn = told.length < records.length
        if (!stillSynced || mayLiveOn || this.#isForgotten(key, op, expired)) return []
        throw new Error(`a power cut took ${op}, which had been synced`)
      })
      this.#promised.set(key, kept)
    }
  }

  /**
   * What `host` holds must be at least what was promised, and nothing that nobody wrote.
   * @param expired deletes made before may have been forgotten, nanoseconds of the world's time.
   * @throws Error naming the key.
   */
  check(
    host: string,
    holds: (key: string) => boolean,
    records: ReadonlyMap<string, StoredRecord>,
    expired: bigint,
  ): void {
    for (const [key, promised] of this.#promised) {
      if (!holds(key)) continue
      const record = records.get(key)
      const final = record === undefined ? undefined : this.causality.opOf(record)
      const lost = promised.find(
        ({ op }) => final === undefined || this.causality.follows(op, final),
      )
      // Once a delete is forgotten, what was written before it and not shared comes through.
      if (lost === undefined || this.#isForgotten(key, lost.op, expired)) continue
      throw new Error(`${host} has ${tellRecord(record)} of ${key}, lost ${lost.op}`)
    }
    for (const record of records.values()) {
      this.#assertWritten(host, record)
      if (record.kind === 'tombstone' || !this.#buried.has(this.causality.opOf(record))) continue
      throw new Error(`${host} has ${tellRecord(record)} of ${record.key}, which was deleted`)
    }
  }

  /** Whether an operation is a delete, or may have given way to one, that may be forgotten. */
  #isForgotten(key: string, op: Op, expired: bigint): boolean {
    for (const [deleted, madeNs] of this.#deletes.get(key) ?? []) {
      // Of two that know nothing of each other either may have won.
      if (madeNs < expired && !this.causality.follows(op, deleted)) return true
    }
    return false
  }

  #assertWritten(host: string, record: StoredRecord): void {
    if (record.kind === 'tombstone') return
    const pattern = this.#attempted.get(record.data)
    if (pattern === record.key) return
    if (pattern?.endsWith('/*') === true && record.key.startsWith(pattern.slice(0, -1))) return
    throw new Error(`${host} has ${record.data} under ${record.key}, which nobody wrote there`)
  }
}
