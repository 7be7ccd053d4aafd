/** How a follower takes part in the grant of an elected leader, over one link. */
import type { Grant, Vote } from '../../src/core/wire/voting.ts'
import type { Voting } from '../election/voters/voting.ts'
import { hasMissedDeletes, type JudgeOptions } from '../progress/missed-deletes.ts'

export interface FollowerVotingOptions extends JudgeOptions {
  /** undefined: this leader is followed by configuration, or this node does not run for the lease. */
  readonly voting?: Voting | undefined
  /** Runs after all durable steps so far, and before those that come then. */
  readonly queue: (work: () => Promise<void>) => void
  readonly send: (vote: Vote) => void
  /** Ends the connection. */
  readonly drop: (reason: string) => void
  /** Records that the leader refused on this connection. */
  readonly refused: () => number
  /** What is held is compared with the leader, whose log is new here. */
  readonly isComparing: () => boolean
}

export class FollowerVoting {
  readonly #options: FollowerVotingOptions
  #grant: Grant | undefined
  #isHeld = false
  /** Records refused, as the leader was told. */
  #refused = 0
  #connections = 0

  constructor(options: FollowerVotingOptions) {
    this.#options = options
  }

  /** A connection begins: nothing is known of the leader's grant. */
  up(): void {
    this.#connections++
    this.#grant = undefined
    this.#isHeld = false
    this.#refused = 0
  }

  /**
   * The leader says under which grant it leads. What it sends is acknowledged after this node took part:
   * durable steps run in order, and the grant comes before all that is to be acknowledged.
   */
  granted(grant: Grant): void {
    const { voting, drop } = this.#options
    if (voting === undefined) return
    if (grant.n < voting.n) {
      drop(`it leads by grant ${grant.n}, this node took part in ${voting.n}`)
      return
    }
    if (this.#hasMissed(grant)) {
      // Before anything is taken from it.
      this.#options.send({ ...voting.vote(grant.n, false, 0), missed: true })
      drop('it has missed deletes that this node knows of, and is to let another one lead')
      return
    }
    voting.isTwin = grant.isTwin === true
    this.#grant = grant
    this.#takePart(grant)
  }

  /** A node that has given its own lease up judges nobody; see `election/voters/yielding.ts`. */
  #hasMissed({ places }: Grant): boolean {
    const { voting, isComparing } = this.#options
    if (places === undefined || voting?.hasYielded !== false || !isComparing()) return false
    return hasMissedDeletes(this.#options, places)
  }

  /** The leader holds all that this node held when it took part. */
  held(): void {
    this.#isHeld = true
    if (this.#grant !== undefined) this.#takePart(this.#grant)
  }

  /** A push was answered: the leader is told of records that it refused, as it waits for this node. */
  answered(): void {
    if (this.#grant === undefined || this.#options.refused() === this.#refused) return
    this.#takePart(this.#grant)
  }

  #takePart(grant: Grant): void {
    const { voting, queue, send, drop, refused } = this.#options
    const connection = this.#connections
    if (voting === undefined) return
    queue(async () => {
      const isHeld = this.#isHeld
      if (connection !== this.#connections) return
      const mayAnswer = await voting.takePart(grant, isHeld)
      if (connection !== this.#connections) return
      this.#refused = refused()
      if (mayAnswer) send(voting.vote(grant.n, isHeld, this.#refused))
      else drop(`it leads by grant ${grant.n}, this node took part in ${voting.n}`)
    })
  }
}
