/**
 * Looks at the conflict log when a record turns out to be older than its stamp: what it won against by
 * that stamp is decided again, since it may be later than what its key holds now.
 */
import type { HybridClock } from '../../src/core/data/clock.ts'
import { type Change, type Commit, marksOf, nameOf } from '../../src/core/data/entry.ts'
import { isCovered } from '../../src/core/data/marks.ts'
import { errorText } from '../../src/core/errors.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import type { ConflictLog } from '../../src/store/conflicts/conflict-log.ts'
import { planDecideAgain } from '../../src/store/plans/decide-again.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'

export interface ConflictRevisionOptions {
  readonly store: ReplicationStore
  readonly clock: HybridClock
  readonly conflicts: ConflictLog
  readonly logger: Logger
}

/** Conflicts of one key that are looked at. */
const MAX_CONFLICTS = 1000

export class ConflictRevision {
  readonly #options: ConflictRevisionOptions
  /** Keys to be looked at, each once. */
  readonly #keys = new Set<string>()
  #work: Promise<void> | undefined
  #isStopped = false

  constructor(options: ConflictRevisionOptions) {
    this.#options = options
  }

  /** Hears every commit of the store. */
  committed({ changes }: Commit): void {
    for (const change of changes) if (isUncovering(change)) this.#keys.add(change.key)
    if (this.#keys.size === 0 || this.#isStopped) return
    this.#work ??= this.#run().finally(() => {
      this.#work = undefined
    })
  }

  /** Waits for what is being decided. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#work
  }

  async #run(): Promise<void> {
    const { store, conflicts, clock, logger } = this.#options
    for (const key of this.#keys) {
      if (this.#isStopped) return
      this.#keys.delete(key)
      try {
        const found = await conflicts.list({ pattern: key, limit: MAX_CONFLICTS })
        if (found.length === 0) continue
        await store.run(planDecideAgain(key, found, conflicts, clock.latest))
      } catch (error) {
        logger.warn('conflicts of a key could not be decided again', {
          key,
          error: errorText(error),
        })
      }
    }
  }
}

/** Whether what was there is older than its stamp by what is known now. */
function isUncovering({ replaced, after }: Change): boolean {
  const marks = marksOf(after)
  if (replaced === undefined || marks === undefined || marks === marksOf(replaced)) return false
  return isCovered(marks, nameOf(replaced))
}
