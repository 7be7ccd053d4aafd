/** A bus within one process: for nodes that live in the same one, and for tests that want it to fail. */
import type { Bus, BusHandlers, BusSide, BusStatus } from '../../src/fanout/bus.ts'

/** A message on its way to one subscriber. */
export interface Delivery {
  /** Names of the two sides, as given to `connect`. */
  readonly from: string
  readonly to: string
  readonly channel: string
  readonly text: string
}

export interface MemoryBusOptions {
  /**
   * Has messages arrive: calls `arrive` once, never, twice, now or later. Default: once, in order, when
   * the code that runs has ended.
   */
  readonly deliver?: (delivery: Delivery, arrive: () => void) => void
  /** Milliseconds since the Unix epoch, for the status. Default `Date.now`. */
  readonly now?: () => number
}

/** The medium that the sides share. */
export class MemoryBus {
  readonly #deliver: NonNullable<MemoryBusOptions['deliver']>
  readonly #now: () => number
  readonly #sides = new Set<Side>()
  #isAway = false

  constructor(options: MemoryBusOptions = {}) {
    this.#deliver = options.deliver ?? ((_, arrive) => queueMicrotask(arrive))
    this.#now = options.now ?? Date.now
  }

  /** A side of the bus; `name` is for the options' `deliver` and for people. */
  connect(name: string): Bus {
    const side = new Side(name, this.#now, {
      send: (channel, text) => this.#send(side, channel, text),
      left: () => this.#sides.delete(side),
    })
    if (this.#isAway) side.cut('the bus is away')
    this.#sides.add(side)
    return side
  }

  /** Nothing is carried and every subscription is down, until `comeBack`. */
  goAway(): void {
    this.#isAway = true
    for (const side of this.#sides) side.cut('the bus is away')
  }

  comeBack(): void {
    this.#isAway = false
    for (const side of this.#sides) side.heal()
  }

  #send(from: Side, channel: string, text: string): void {
    for (const to of this.#sides) {
      for (const subscription of to.subscriptions(channel)) {
        const delivery: Delivery = { from: from.name, to: to.name, channel, text }
        this.#deliver(delivery, () => to.receive(subscription, text))
      }
    }
  }
}

interface Subscription {
  readonly channel: string
  readonly handlers: BusHandlers
  isUp: boolean
}

/** What a side needs of the medium. */
interface Medium {
  readonly send: (channel: string, text: string) => void
  readonly left: () => void
}

class Side implements Bus {
  readonly name: string
  readonly #now: () => number
  readonly #medium: Medium
  readonly #subscriptions = new Set<Subscription>()
  readonly #counts = { published: 0, dropped: 0, received: 0 }
  #state: 'open' | 'cut' | 'closed' = 'open'
  #sinceMs: number
  #lastError: string | undefined
  #hasPublished = false

  constructor(name: string, now: () => number, medium: Medium) {
    this.name = name
    this.#now = now
    this.#medium = medium
    this.#sinceMs = now()
  }

  publish(channel: string, text: string): boolean {
    this.#hasPublished = true
    if (this.#state !== 'open') {
      this.#counts.dropped++
      return false
    }
    this.#counts.published++
    this.#medium.send(channel, text)
    return true
  }

  subscribe(channel: string, handlers: BusHandlers): () => void {
    const subscription: Subscription = { channel, handlers, isUp: false }
    if (this.#state === 'closed') return () => undefined
    this.#subscriptions.add(subscription)
    queueMicrotask(() => this.#raise(subscription))
    return () => {
      this.#subscriptions.delete(subscription)
    }
  }

  status(): BusStatus {
    const state = this.#state === 'open' ? 'up' : 'down'
    const side = (isUsed: boolean): BusSide => ({
      state: isUsed ? state : 'idle',
      sinceMs: this.#sinceMs,
      lastError: this.#lastError,
    })
    return {
      kind: 'memory',
      address: this.name,
      publishing: side(this.#hasPublished),
      subscribing: side(this.#subscriptions.size > 0),
      ...this.#counts,
      waitingBytes: 0,
    }
  }

  async close(): Promise<void> {
    this.#state = 'closed'
    this.#subscriptions.clear()
    this.#medium.left()
  }

  /** Those that listen to the channel now. */
  subscriptions(channel: string): Subscription[] {
    return [...this.#subscriptions].filter((known) => known.channel === channel && known.isUp)
  }

  /** A message arrives, unless the subscription has gone meanwhile. */
  receive(subscription: Subscription, text: string): void {
    if (!subscription.isUp || !this.#subscriptions.has(subscription)) return
    this.#counts.received++
    subscription.handlers.message(text)
  }

  cut(reason: string): void {
    if (this.#state !== 'open') return
    this.#become('cut', reason)
    for (const subscription of this.#subscriptions) {
      if (!subscription.isUp) continue
      subscription.isUp = false
      subscription.handlers.down(reason)
    }
  }

  heal(): void {
    if (this.#state !== 'cut') return
    this.#become('open', this.#lastError)
    for (const subscription of this.#subscriptions) this.#raise(subscription)
  }

  #raise(subscription: Subscription): void {
    if (this.#state !== 'open' || subscription.isUp) return
    if (!this.#subscriptions.has(subscription)) return
    subscription.isUp = true
    subscription.handlers.up()
  }

  #become(state: 'open' | 'cut', reason: string | undefined): void {
    this.#state = state
    this.#sinceMs = this.#now()
    this.#lastError = reason
  }
}
