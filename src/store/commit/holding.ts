/** Whether a store still has its storage: a database may give the rows of a node that it took for dead to another. */
import type { StateError } from '../../core/errors.ts'
import type { Logger } from '../../core/ports/logger.ts'
import type { StorageAdapter } from '../../core/ports/storage-adapter.ts'

export class Holding {
  readonly #logger: Logger
  readonly #listeners = new Set<(reason: StateError) => void>()
  #reason: StateError | undefined
  #opening: Promise<StateError> | undefined

  constructor(logger: Logger) {
    this.#logger = logger
  }

  /** Why the storage is lost; undefined while it is held. */
  get reason(): StateError | undefined {
    return this.#reason
  }

  /** Watches over an adapter that has just been opened. */
  begin({ lost }: StorageAdapter): void {
    this.#reason = undefined
    this.#opening = lost
    void lost?.then((reason) => {
      if (this.#opening === lost) this.#lose(reason)
    })
  }

  /** What is lost after this is of no concern: the adapter is being closed. */
  end(): void {
    this.#opening = undefined
    this.#reason = undefined
  }

  /** Hears once that the storage is lost, at once when it is already. Must not throw. */
  onLost(listener: (reason: StateError) => void): () => void {
    this.#listeners.add(listener)
    if (this.#reason !== undefined) listener(this.#reason)
    return () => this.#listeners.delete(listener)
  }

  /** @throws the reason why the storage is lost. */
  assertHeld(): void {
    if (this.#reason !== undefined) throw this.#reason
  }

  #lose(reason: StateError): void {
    this.#reason = reason
    this.#logger.error('the storage is lost: nothing is read or written until it is opened again', {
      reason: reason.message,
    })
    for (const listener of this.#listeners) listener(reason)
  }
}
