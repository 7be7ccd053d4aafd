/**
 * Deletes what limit filters hide: after each write to their lists, and at intervals. Sweeps of one
 * filter never overlap; calls that come during a sweep share the one after it.
 */
import type { Entry } from '../../core/data/entry.ts'
import { errorText } from '../../core/errors.ts'
import type { Logger } from '../../core/ports/logger.ts'
import type { CancelTimer, TimeSource } from '../../core/ports/time.ts'
import type { LimitFilter } from './limit-filter.ts'

/** What sweeps work on. */
export interface SweepContext {
  readonly store: {
    /** Deletes what `choose` picks of the entries of `glob`, in one step. */
    sweep(glob: string, choose: (entries: readonly Entry[]) => readonly Entry[]): Promise<unknown>
  }
  readonly time: TimeSource
  readonly logger: Logger
  /** Called after each periodic sweep of a path, also when it deleted nothing. */
  readonly refresh: (path: string) => void
}

interface Sweeps {
  running: Promise<void> | undefined
  next: Promise<void> | undefined
  cancelTimer: CancelTimer
}

export class LimitSweeper {
  readonly #context: SweepContext
  readonly #sweeps = new Map<LimitFilter, Sweeps>()
  #state: 'running' | 'stopped' = 'running'
  /** Sweeps that nobody waited for and that failed. */
  failures = 0

  constructor(context: SweepContext) {
    this.#context = context
  }

  /** Takes a filter in; its periodic sweep, if any, starts one interval from now. */
  add(filter: LimitFilter): void {
    if (this.#state === 'stopped' || this.#sweeps.has(filter)) return
    const sweeps = { running: undefined, next: undefined, cancelTimer: () => undefined }
    this.#sweeps.set(filter, sweeps)
    this.#schedule(filter, sweeps)
  }

  /** Resolves when a sweep that began after this call is done. @throws what the store threw. */
  sweep(filter: LimitFilter): Promise<void> {
    const sweeps = this.#sweeps.get(filter)
    if (this.#state === 'stopped' || sweeps === undefined) return Promise.resolve()
    if (sweeps.running === undefined) return this.#begin(filter, sweeps)
    sweeps.next ??= sweeps.running
      .catch(() => undefined)
      .then(() => {
        sweeps.next = undefined
        return this.#begin(filter, sweeps)
      })
    return sweeps.next
  }

  /** As `sweep`, for a caller that does not wait; a failure is counted and logged. */
  sweepSoon(filter: LimitFilter): void {
    void this.#sweepAlone(filter)
  }

  /** No sweep begins after this; resolves when those under way are done. */
  async stop(): Promise<void> {
    this.#state = 'stopped'
    for (const { cancelTimer } of this.#sweeps.values()) cancelTimer()
    await Promise.allSettled([...this.#sweeps.values()].map(({ running }) => running))
    this.#sweeps.clear()
  }

  #begin(filter: LimitFilter, sweeps: Sweeps): Promise<void> {
    if (this.#state === 'stopped') return Promise.resolve()
    const running = this.#context.store
      .sweep(filter.path, (entries) => filter.overLimit(entries))
      .then(() => undefined)
      .finally(() => {
        sweeps.running = undefined
      })
    sweeps.running = running
    return running
  }

  #schedule(filter: LimitFilter, sweeps: Sweeps): void {
    if (filter.intervalMs === undefined || this.#state === 'stopped') return
    sweeps.cancelTimer = this.#context.time.after(filter.intervalMs, () => {
      void this.#periodic(filter, sweeps)
    })
  }

  async #periodic(filter: LimitFilter, sweeps: Sweeps): Promise<void> {
    await this.#sweepAlone(filter)
    this.#context.refresh(filter.path)
    this.#schedule(filter, sweeps)
  }

  async #sweepAlone(filter: LimitFilter): Promise<void> {
    try {
      await this.sweep(filter)
    } catch (error) {
      this.failures++
      this.#context.logger.error('a limit could not be swept', {
        path: filter.path,
        error: errorText(error),
      })
    }
  }
}
