/** Counts the records of one follower that were refused as stamped too far in the future. */
import type { StoredRecord } from '../../src/core/data/entry.ts'
import { versionOf } from '../../src/core/data/entry.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import { NS_PER_MS, NS_PER_SECOND, type TimeSource } from '../../src/core/ports/time.ts'
import type { PushOutcome } from '../../src/core/wire/protocol.ts'

/** Told in the log at most this often per follower. */
const QUIET_NS = 60n * NS_PER_SECOND

export class DriftLog {
  readonly #time: TimeSource
  readonly #logger: Logger
  #count = 0
  #loggedNs: bigint | undefined

  constructor(options: { readonly time: TimeSource; readonly logger: Logger }) {
    this.#time = options.time
    this.#logger = options.logger
  }

  /** Refused so far. */
  get count(): number {
    return this.#count
  }

  /** Takes what became of a push. @param latest the greatest stamp that was taken. */
  note(
    follower: string,
    records: readonly StoredRecord[],
    outcomes: readonly PushOutcome[],
    latest: bigint,
  ): void {
    const refused = records.filter((_record, i) => outcomes[i] === 'drift')
    const [first] = refused
    if (first === undefined) return
    this.#count += refused.length
    const now = this.#time.monotonicNs()
    if (this.#loggedNs !== undefined && now - this.#loggedNs < QUIET_NS) return
    this.#loggedNs = now
    this.#logger.warn(
      'writes of a follower are stamped too far in the future: its clock is wrong',
      {
        follower,
        refused: this.#count,
        key: first.key,
        beyondMs: Number((versionOf(first) - latest) / NS_PER_MS),
      },
    )
  }
}
