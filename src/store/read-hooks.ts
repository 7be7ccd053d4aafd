/** Functions that run before a read and are waited for, such as one that fetches what is read. */
import { errorText } from '../core/errors.ts'
import type { Logger } from '../core/ports/logger.ts'
import type { TimeSource } from '../core/ports/time.ts'

/** Hears of the key or glob about to be read. What it throws is logged, and the read goes on. */
export type BeforeRead = (keyOrGlob: string) => void | Promise<void>

export interface ReadHooksOptions {
  /** The hooks registered elsewhere, in order; asked at each read. */
  readonly registered: () => readonly BeforeRead[]
  readonly time: TimeSource
  readonly logger: Logger
  /** Milliseconds a read waits for all of its hooks together; 0 for as long as they take. */
  readonly timeoutMs: number
}

/**
 * Runs the hooks one after the other: those registered, then the one that was set. A read whose hooks
 * take too long goes on without them, which is logged; hooks that have not begun are then left out.
 */
export class ReadHooks {
  readonly #options: ReadHooksOptions
  #own: BeforeRead | undefined
  #late = 0

  constructor(options: ReadHooksOptions) {
    this.#options = options
  }

  /** Puts a hook in the place of the one set before; undefined for none. Reads under way keep theirs. */
  set(hook: BeforeRead | undefined): void {
    this.#own = hook
  }

  /** Reads that went on because their hooks took too long. */
  get late(): number {
    return this.#late
  }

  /** Resolves when the read may go on; undefined, and no wait, when there are no hooks. Never rejects. */
  run(keyOrGlob: string): Promise<void> | undefined {
    const registered = this.#options.registered()
    const hooks = this.#own === undefined ? registered : [...registered, this.#own]
    return hooks.length === 0 ? undefined : this.#runAll(hooks, keyOrGlob)
  }

  async #runAll(hooks: readonly BeforeRead[], keyOrGlob: string): Promise<void> {
    const { time, logger, timeoutMs } = this.#options
    let isLate = false
    const done = this.#each(hooks, keyOrGlob, () => isLate)
    if (timeoutMs === 0) return done
    let cancel = (): void => undefined
    const late = new Promise<void>((resolve) => {
      cancel = time.after(timeoutMs, () => {
        isLate = true
        this.#late++
        logger.warn('a read goes on: its hooks took too long', { key: keyOrGlob, timeoutMs })
        resolve()
      })
    })
    try {
      await Promise.race([done, late])
    } finally {
      cancel()
    }
  }

  async #each(
    hooks: readonly BeforeRead[],
    keyOrGlob: string,
    isLate: () => boolean,
  ): Promise<void> {
    for (const hook of hooks) {
      if (isLate()) return
      try {
        await hook(keyOrGlob)
      } catch (error) {
        this.#options.logger.error('a hook failed', { hook: 'beforeRead', error: errorText(error) })
      }
    }
  }
}
