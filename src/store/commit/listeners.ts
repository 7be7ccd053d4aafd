/** Those who hear of commits, in seq order, after they are durable. */
import type { Commit } from '../../core/data/entry.ts'
import { errorText } from '../../core/errors.ts'
import type { Logger } from '../../core/ports/logger.ts'

export class CommitListeners {
  readonly #listeners = new Set<(commit: Commit) => void>()
  readonly #logger: Logger

  constructor(logger: Logger) {
    this.#logger = logger
  }

  /** @returns what takes the listener off again. */
  add(listener: (commit: Commit) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  announce(commit: Commit): void {
    for (const listener of this.#listeners) {
      try {
        listener(commit)
      } catch (error) {
        // The change is durable already: a listener's fault must not fail the write.
        this.#logger.error('a commit listener failed', { seq: commit.seq, error: errorText(error) })
      }
    }
  }
}
