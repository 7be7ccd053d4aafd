/** One log line for each origin or host that is refused, and no more lines than that. */
import type { Logger } from '../../core/ports/logger.ts'

/** Origins and hosts that get a line of their own; beyond that a stranger could fill the log. */
const MAX_NAMED = 100

export class RefusalLog {
  readonly #logger: Logger
  readonly #named = new Set<string>()

  constructor(logger: Logger) {
    this.#logger = logger
  }

  /** @param advice what would allow it */
  refused(what: 'origin' | 'host', name: string, advice: string): void {
    const id = `${what} ${name}: ${advice}`
    if (this.#named.size > MAX_NAMED || this.#named.has(id)) return
    this.#named.add(id)
    if (this.#named.size > MAX_NAMED) {
      this.#logger.warn('more origins and hosts are refused than are named here', {
        named: MAX_NAMED,
      })
    } else this.#logger.warn(`requests are refused for their ${what}`, { [what]: name, advice })
  }
}
