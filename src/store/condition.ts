/** What a store tells of itself and its storage, to whoever watches over a node. */
import type { StateError } from '../core/errors.ts'
import type { RecordLimits } from '../core/records/check.ts'
import type { Committer } from './commit/committer.ts'
import type { StorageBacklog } from './commit/storage-backlog.ts'
import type { RefusedReport } from './planning/refused-records.ts'
import type { DurabilityLevels } from './types/durability-levels.ts'

export class StoreCondition {
  protected readonly committer: Committer

  constructor(committer: Committer) {
    this.committer = committer
  }

  get durability(): DurabilityLevels {
    return this.committer.durability
  }

  /** How great a record may be that is written. */
  get limits(): RecordLimits {
    return this.committer.limits.limits
  }

  /** What was not taken of what others sent since the store was opened. */
  get refused(): RefusedReport {
    return this.committer.refused.report()
  }

  /** @throws StateError `overloaded` when a write of so many bytes may not wait for the storage now. */
  assertRoom(bytes: number): void {
    this.committer.assertRoom(bytes)
  }

  /** What waits for the storage, and since when that has not answered. */
  get backlog(): StorageBacklog {
    return this.committer.backlog
  }

  /** Keys whose stored record is damaged: reads fail until they are written again. */
  damaged(): readonly string[] {
    return this.committer.damage.keys
  }

  /** How many records of a key or glob are damaged. */
  damagedCount(pattern: string): number {
    return this.committer.damage.count(pattern)
  }

  /** What was found damaged in this opening beyond single records, as sentences for people. */
  get damageFindings(): readonly string[] {
    return this.committer.damage.sentences
  }

  /** Why this node has its storage no more: nothing is read or written then. undefined while it has it. */
  get lost(): StateError | undefined {
    return this.committer.holding.reason
  }

  /** Hears that the storage is lost, at once when it is already. Must not throw. */
  onLost(listener: (reason: StateError) => void): () => void {
    return this.committer.holding.onLost(listener)
  }

  /** The node begins to start: to be called before `open`; or has written what a start writes. */
  starting(isUnderWay: boolean): void {
    this.committer.adapter.starting?.(isUnderWay)
  }

  /** Hears that damage was found while open: `epoch` is another, peers are to be compared with. */
  onDamage(listener: () => void): () => void {
    return this.committer.onDamage(listener)
  }
}
