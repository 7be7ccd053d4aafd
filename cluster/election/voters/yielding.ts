/**
 * How a leader that has missed deletes lets another node lead (`missed-deletes.ts`). It says with its grant what it
 * was in step with. A node that knows of deletes it has missed takes nothing from it, and says so. Then the leader
 * gives the lease up, once, and does not ask for it for a while; the other one wins it, and this node follows that as
 * one that was away. When that time is over and this node leads again, nobody who knows more could take the lease:
 * then it says no places any more, so that all follow it.
 *
 * It yields again only when it has been in step with a leader since: two nodes that have both missed deletes of the
 * other would go on for ever. For the same reason such a node finds nothing wrong with other leaders. All of it is
 * forgotten by a restart, which costs one more change of leader.
 */
import type { Logger } from '../../../src/core/ports/logger.ts'
import type { TimeSource } from '../../../src/core/ports/time.ts'
import type { InStepPlace } from '../../../src/core/wire/known.ts'
import type { Voting } from './voting.ts'

export interface YieldingOptions {
  readonly voting: Pick<Voting, 'hasYielded'>
  readonly time: Pick<TimeSource, 'monotonicNs'>
  readonly logger: Pick<Logger, 'warn'>
  /** Gives the lease up. @returns until when this node does not ask for it; monotonic. */
  readonly giveUp: () => bigint
}

export class Yielding {
  readonly #options: YieldingOptions
  #places: readonly InStepPlace[] = []
  /** Of the node that knew more, when the lease was given up for it; until when that one has time. */
  #given: { readonly name: string; readonly untilNs: bigint } | undefined
  #hasWarned = false

  constructor(options: YieldingOptions) {
    this.#options = options
  }

  /** This node leads by another grant. @param places what it was in step with before. */
  begin(places: readonly InStepPlace[]): void {
    this.#places = places
    if (this.#options.voting.hasYielded) return
    this.#given = undefined
    this.#hasWarned = false
  }

  /** What a node that follows is to judge this one by; undefined: it is to follow in any case. */
  placesToSend(): readonly InStepPlace[] | undefined {
    const { warning } = this
    if (warning === undefined) return this.#places
    if (!this.#hasWarned) this.#options.logger.warn(warning)
    this.#hasWarned = true
    return undefined
  }

  /** The voter with this name knows of deletes that this node has missed. */
  missed(name: string): void {
    const { voting, logger, giveUp } = this.#options
    if (voting.hasYielded) return
    voting.hasYielded = true
    logger.warn('this node has missed deletes that another one knows of: it lets that one lead', {
      knows: name,
    })
    this.#given = { name, untilNs: giveUp() }
  }

  /** Why the lease was given up; undefined: it was not, or the time of the other one is over. */
  get reason(): string | undefined {
    const given = this.#given
    if (given === undefined || this.#isOver) return undefined
    return `given up, as ${given.name} knows of deletes that this node has missed`
  }

  /** What people should look at while this node leads all the same; undefined: nothing. */
  get warning(): string | undefined {
    const given = this.#given
    if (given === undefined || !this.#isOver) return undefined
    return `this node has missed deletes that ${given.name} knows of, and nobody keeps any more; no node that knows them came to lead, so it leads: what was deleted may be back`
  }

  get #isOver(): boolean {
    const { time } = this.#options
    return this.#given !== undefined && time.monotonicNs() >= this.#given.untilNs
  }
}
