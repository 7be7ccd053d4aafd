/**
 * The contract of a bus between nodes: one message goes to whoever listens on a channel, whatever
 * their number. A bus carries news and keeps nothing: it may lose, repeat or delay messages, and be away
 * for days. Whoever uses it numbers what it sends and has another way to what was lost.
 *
 * What an implementation promises, shown by `test/conformance/bus.ts`:
 * 1. Nothing it does throws, blocks or ends the process, whatever the network does.
 * 2. A message that arrives is one that was published on that channel, whole.
 * 3. Messages of one publisher that arrive do so in the order in which they were published, as far as
 *    the medium keeps it; a test bus may be told not to.
 * 4. What waits to be sent is bounded: beyond the bound `publish` says no.
 * 5. A subscription comes back by itself; `up` and `down` take turns, `up` first.
 */

/** What a subscription tells its owner. None of them may throw. */
export interface BusHandlers {
  /** A message came; only while up. */
  message(text: string): void
  /** From now on messages of the channel arrive. */
  up(): void
  /** Messages may be missed from now on, until `up` is called again. */
  down(reason: string): void
}

/** One direction of a bus. */
export interface BusSide {
  /** `idle`: nobody has used it yet. */
  readonly state: 'idle' | 'up' | 'down'
  /** Since when it is so, milliseconds since the Unix epoch. */
  readonly sinceMs: number
  /** Why it was down last; undefined: it never was. Holds no password. */
  readonly lastError: string | undefined
}

/** What people are told of a bus. Counters are since it was made. */
export interface BusStatus {
  /** What carries it, such as `redis`. */
  readonly kind: string
  /** Where, for people; holds no password. undefined: this is not told to who asks. */
  readonly address: string | undefined
  readonly publishing: BusSide
  readonly subscribing: BusSide
  /** Messages handed over. */
  readonly published: number
  /** Messages that were refused because the bus was away or full, or were lost on their way to it. */
  readonly dropped: number
  /** Messages that came in. */
  readonly received: number
  /** Bytes that wait to be sent. */
  readonly waitingBytes: number
}

/** A bus, connected when it is first used. */
export interface Bus {
  /**
   * Hands a message over, without waiting.
   * @returns false when it is not sent, as the bus is away or too much waits. True promises nothing.
   */
  publish(channel: string, text: string): boolean
  /** Listens until the result is called, which is idempotent and after which no handler is called. */
  subscribe(channel: string, handlers: BusHandlers): () => void
  status(): BusStatus
  /** Ends all connections and subscriptions. Idempotent. */
  close(): Promise<void>
}
