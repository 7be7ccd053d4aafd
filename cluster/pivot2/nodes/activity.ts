/**
 * What this node answers when a 2.0 peer asks for its activity: the stamp of the latest change of a
 * scope, entries and deletes alike. Two differences to 2.0 make its nodes miss less. A later set does
 * not take the stamp of a delete away; and a change that comes late, with a stamp older than the
 * activity, raises it, because 2.0 nodes pull only when it is greater than their own.
 */
import type { HybridClock } from '../../../src/core/data/clock.ts'
import { type Commit, versionOf } from '../../../src/core/data/entry.ts'
import { errorText } from '../../../src/core/errors.ts'
import type { Logger } from '../../../src/core/ports/logger.ts'
import type { ReplicationStore } from '../../../src/store/replication-store.ts'
import type { PivotScope } from '../peer/wire.ts'
import { isOfScope } from '../peer/wire.ts'

export interface ActivityOptions {
  readonly store: ReplicationStore
  readonly clock: HybridClock
  readonly logger: Logger
  readonly scopes: readonly PivotScope[]
  /** Whether any 2.0 node may be asking. */
  readonly isAsked: () => boolean
}

interface ScopeActivity {
  /** Greatest stamp heard of. */
  latest: bigint
  /** Reads the stamps of all records, once. */
  counted: Promise<void> | undefined
  isCounted: boolean
}

const rowOf = ({ path }: PivotScope): string => `pivot2/activity/${path}`

export class ActivityTable {
  readonly #options: ActivityOptions
  readonly #scopes = new Map<string, ScopeActivity>()
  #saving: Promise<void> = Promise.resolve()
  readonly #unsaved = new Set<PivotScope>()

  constructor(options: ActivityOptions) {
    this.#options = options
    for (const scope of options.scopes) {
      const stored = options.store.meta(rowOf(scope))
      this.#scopes.set(scope.path, {
        latest: BigInt(stored ?? '0'),
        counted: undefined,
        isCounted: false,
      })
    }
  }

  /** Nanoseconds; 0n for a scope that never held anything. @throws StateError of the storage. */
  async of(scope: PivotScope): Promise<bigint> {
    const activity = this.#scopes.get(scope.path)
    if (activity === undefined) return 0n
    activity.counted ??= this.#count(scope, activity)
    try {
      await activity.counted
    } catch (error) {
      activity.counted = undefined
      throw error
    }
    return activity.latest
  }

  /** Hears every commit of the store. */
  committed({ changes, source }: Commit): void {
    for (const { key, after } of changes) {
      const scope = this.#options.scopes.find((candidate) => isOfScope(candidate, key))
      const activity = scope && this.#scopes.get(scope.path)
      if (scope === undefined || activity === undefined) continue
      const version = versionOf(after)
      const isNewest = activity.isCounted && version > activity.latest
      const isLate = source !== undefined && scope.isList && !isNewest
      if (version > activity.latest) activity.latest = version
      if (isLate && this.#options.isAsked()) this.raise(scope)
    }
  }

  /** Makes a 2.0 node pull whose activity is `above`. Nothing is done about one whose clock is far ahead. */
  exceed(scope: PivotScope, above: bigint): void {
    const activity = this.#scopes.get(scope.path)
    if (activity === undefined || activity.latest > above) return
    this.#options.clock.observe(above)
    this.raise(scope)
  }

  /** Makes every 2.0 node that asks from now on pull the list. */
  raise(scope: PivotScope): void {
    const activity = this.#scopes.get(scope.path)
    if (activity === undefined || !scope.isList) return
    activity.latest = this.#options.clock.now(activity.latest)
    const isAwaited = this.#unsaved.size > 0
    this.#unsaved.add(scope)
    if (isAwaited) return
    this.#saving = this.#saving.then(() => this.#save())
  }

  /** Waits for what is being written. */
  async stop(): Promise<void> {
    await this.#saving
  }

  async #save(): Promise<void> {
    const rows = [...this.#unsaved].map((scope): [string, string] => [
      rowOf(scope),
      String(this.#scopes.get(scope.path)?.latest ?? 0n),
    ])
    this.#unsaved.clear()
    try {
      await this.#options.store.saveMeta(new Map(rows))
    } catch (error) {
      this.#options.logger.warn('the activity told to 2.0 nodes could not be saved', {
        error: errorText(error),
      })
    }
  }

  async #count(scope: PivotScope, activity: ScopeActivity): Promise<void> {
    const { rows } = await this.#options.store.scanRows({ prefix: scope.base })
    for await (const { record } of rows) {
      if (!isOfScope(scope, record.key)) continue
      const version = versionOf(record)
      if (version > activity.latest) activity.latest = version
    }
    activity.isCounted = true
  }
}
