/** Counts how a follower goes between the leader's stream and the bus, and says so in the log. */
import type { Logger } from '../../../src/core/ports/logger.ts'
import type { Feed, FeedReason } from './feed.ts'
import type { FollowerEffect } from './link.ts'

/** Since the link began. */
export interface FeedReport {
  /** Where changes come from; `fetch`: from the bus, and what was lost of it from the stream. */
  readonly from: Feed['from']
  /** Times that something was missing on the bus, or too large for it. */
  readonly gaps: number
  /** Rows that the stream brought because of that. */
  readonly fetched: number
  /** Times that the bus was left for the stream. */
  readonly fallbacks: number
  /** Why it was left last; undefined: it never was. */
  readonly lastReason: string | undefined
}

/** What a reason means to people. */
const REASONS: Readonly<Record<FeedReason, string>> = {
  joined: 'the bus joins on',
  gap: 'something is missing on the bus',
  down: 'the connection to the bus was lost',
  silent: 'nothing of the leader is heard on the bus',
  slow: 'too much waits to be stored, or for what is missing',
  large: 'a large value travels in pieces',
  leader: 'the leader cannot publish',
}

export class FeedCounts {
  readonly #options: { readonly leader: string; readonly logger: Logger }
  #gaps = 0
  #fetched = 0
  #fallbacks = 0
  #lastReason: string | undefined

  constructor(options: { readonly leader: string; readonly logger: Logger }) {
    this.#options = options
  }

  /** Changes come from somewhere else now, or something more is fetched. */
  fed({ from, reason }: Extract<FollowerEffect, { type: 'fed' }>): void {
    const { leader, logger } = this.#options
    if (from === 'fetch') this.#gaps++
    if (from !== 'stream') return
    this.#fallbacks++
    this.#lastReason = REASONS[reason]
    logger.info('changes come over the stream, not the bus', { leader, reason: this.#lastReason })
  }

  /** The stream brought so many rows that were asked for. */
  fetched(rows: number): void {
    this.#fetched += rows
  }

  /** @param from where changes come from now; undefined: the link is not up. */
  report(from: Feed['from'] = 'stream'): FeedReport {
    return {
      from,
      gaps: this.#gaps,
      fetched: this.#fetched,
      fallbacks: this.#fallbacks,
      lastReason: this.#lastReason,
    }
  }
}
