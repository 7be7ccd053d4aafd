/**
 * Notices that the folder of an open database was deleted. The engine writes on into files that nobody will find
 * again, and another process can make a database of its own in the same place, whose lock is another file.
 */
import { StateError } from '../../src/core/errors.ts'

export class FolderWatch {
  /** Resolves once the folder is gone. */
  readonly lost: Promise<StateError>
  #reason: StateError | undefined
  readonly #timer: NodeJS.Timeout | undefined

  /**
   * @param isGone whether the folder was deleted; a rejection tells nothing
   * @param everyMs milliseconds between two looks; 0: none
   */
  constructor(directory: string, isGone: () => Promise<boolean>, everyMs: number) {
    let report: (reason: StateError) => void = () => undefined
    this.lost = new Promise((resolve) => {
      report = resolve
    })
    if (everyMs === 0) return
    this.#timer = setInterval(() => {
      const noteGone = (gone: boolean): void => {
        if (!gone || this.#reason !== undefined) return
        this.#reason = deleted(directory)
        report(this.#reason)
      }
      isGone().then(noteGone, () => undefined)
    }, everyMs).unref()
  }

  /** @throws StateError `storage_failed` once the folder is gone. */
  assertThere(): void {
    if (this.#reason !== undefined) throw this.#reason
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}

function deleted(directory: string): StateError {
  const text = `storage: folder "${directory}" was deleted while it was open`
  return new StateError('storage_failed', text, {
    clientText: 'storage: the folder of this node was deleted',
    isAway: true,
  })
}
