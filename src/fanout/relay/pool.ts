/**
 * A pool without a state of its own: its subscribers get what the pool of another process relays, and
 * what they need beyond that is asked of it. `Relay` is the other end.
 */
import { FrameBatch } from '../frames/batch.ts'
import { FrameQueue } from '../frames/queue.ts'
import {
  type CatchUp,
  type FrameSink,
  Subscriber,
  type SubscriberContext,
} from '../frames/subscriber.ts'
import type { PoolNews, RelayedCatchUp } from './messages.ts'

/** Asks the other process what a subscriber that holds this version needs. @returns the request's number */
export type AskRelay = (heldVersion: string | undefined) => number

const LOADING: CatchUp = { kind: 'loading' }

export class RelayPool {
  readonly #context: SubscriberContext
  readonly #ask: AskRelay
  readonly #subscribers = new Set<Subscriber>()
  /** Who waits for the answer to which request; one per subscriber at most. */
  readonly #asking = new Map<number, Subscriber>()
  /** The full state relayed last; undefined once something came after it. */
  #state: FrameBatch | undefined
  readonly #waiting = new FrameQueue()
  readonly #requestFlush: (pool: RelayPool) => void
  /** What came, while those it came for take it. */
  #arriving: CatchUp | undefined

  /** @param requestFlush frames wait here: `flush` is called soon */
  constructor(context: SubscriberContext, ask: AskRelay, requestFlush: (pool: RelayPool) => void) {
    this.#requestFlush = requestFlush
    this.#context = context
    this.#ask = ask
  }

  /** @param heldVersion the version whose state the client says it holds, if any */
  add(sink: FrameSink, heldVersion: string | undefined): Subscriber {
    const catchUp = (held: string | undefined): CatchUp => this.#catchUp(subscriber, held)
    const subscriber = new Subscriber(sink, this.#context, catchUp, heldVersion)
    this.#subscribers.add(subscriber)
    subscriber.synchronize()
    return subscriber
  }

  remove(subscriber: Subscriber): void {
    this.#subscribers.delete(subscriber)
    subscriber.close()
  }

  /** Hands what waits to every subscriber: batches that came while another was being written leave as one. */
  flush(): void {
    const batch = this.#waiting.take()
    if (batch === undefined) return
    for (const subscriber of this.#subscribers) subscriber.deliver(batch)
  }

  /** Takes what the other process says about this pool, in the order it was said. */
  hear(news: PoolNews): void {
    if (news.kind === 'batch') {
      this.#state = undefined
      if (this.#waiting.append(news.batch.frames, news.batch.from)) this.#requestFlush(this)
      else this.flush()
      return
    }
    // What was said before is handed over before.
    this.flush()
    switch (news.kind) {
      case 'invalid':
        this.#state = undefined
        for (const subscriber of this.#subscribers) subscriber.invalidate()
        return
      case 'live':
        this.#give(news.catchUp, this.#subscribers)
        return
      case 'caughtUp': {
        const asking = this.#asking.get(news.request)
        this.#asking.delete(news.request)
        this.#give(news.catchUp, asking === undefined ? [] : [asking])
      }
    }
  }

  #give(relayed: RelayedCatchUp, to: Iterable<Subscriber>): void {
    this.#arriving = this.#arrived(relayed)
    for (const subscriber of to) subscriber.synchronize()
    this.#arriving = undefined
  }

  #arrived(relayed: RelayedCatchUp): CatchUp {
    if (relayed.kind === 'same') {
      return this.#state === undefined ? LOADING : { kind: 'behind', batch: this.#state }
    }
    if (relayed.kind !== 'behind') return relayed
    const batch = new FrameBatch(relayed.batch.frames, relayed.batch.from)
    if (batch.from === undefined) this.#state = batch
    return { kind: 'behind', batch }
  }

  #catchUp(subscriber: Subscriber, heldVersion: string | undefined): CatchUp {
    if (this.#arriving !== undefined) return this.#arriving
    this.#asking.set(this.#ask(heldVersion), subscriber)
    return LOADING
  }
}
