/** The bus of a virtual cluster: a good one, or one that loses, repeats, delays and goes away. */
import { type Delivery, MemoryBus } from '../../cluster/bus/memory.ts'
import { NS_PER_MS, type TimeSource } from '../../src/core/ports/time.ts'
import type { Bus } from '../../src/fanout/bus.ts'
import { SeededRandom } from '../support/seeded-random.ts'

/** `bad`: of ten messages one is lost, one comes twice and one too late; and it is away now and then. */
export type BusQuality = 'good' | 'bad'

export class VirtualBus {
  readonly #time: TimeSource
  readonly #random: SeededRandom
  readonly #quality: BusQuality
  readonly #bus: MemoryBus
  readonly #sides = new Map<string, Bus>()
  /** When the newest message of each path arrives; later ones do not overtake it. */
  readonly #arrivals = new Map<string, number>()
  #mayGoAway: boolean
  /** Hears what happens to messages. */
  readonly #count: (what: string) => void

  constructor(time: TimeSource, seed: number, quality: BusQuality, count: (what: string) => void) {
    this.#time = time
    this.#random = SeededRandom.named(seed, 'bus')
    this.#quality = quality
    this.#count = count
    this.#bus = new MemoryBus({
      deliver: (delivery, arrive) => this.#deliver(delivery, arrive),
      now: () => Number(time.wallNs() / NS_PER_MS),
    })
    this.#mayGoAway = quality === 'bad'
    if (this.#mayGoAway) this.#planOutage()
  }

  /** The side of a process that has just started. */
  connect(host: string): Bus {
    this.disconnect(host)
    const side = this.#bus.connect(host)
    this.#sides.set(host, side)
    return side
  }

  /** The process is gone. */
  disconnect(host: string): void {
    void this.#sides.get(host)?.close()
    this.#sides.delete(host)
  }

  /** It is there from now on; messages may still get lost. */
  heal(): void {
    this.#mayGoAway = false
    this.#bus.comeBack()
  }

  #deliver({ from, to }: Delivery, arrive: () => void): void {
    const random = this.#random
    const delayMs = random.chance(0.05) ? random.below(200) : 1 + random.below(8)
    const luck = this.#quality === 'good' ? 1 : random.next()
    this.#count('messages on the bus')
    if (luck < 0.1) {
      this.#count('messages lost on the bus')
      return
    }
    if (luck < 0.2) this.#time.after(delayMs + random.below(100), arrive)
    // Not in order.
    if (luck < 0.3) {
      this.#time.after(random.below(150), arrive)
      return
    }
    const path = `${from}>${to}`
    const nowMs = Number(this.#time.monotonicNs()) / 1e6
    const at = Math.max(this.#arrivals.get(path) ?? 0, nowMs + delayMs)
    this.#arrivals.set(path, at)
    this.#time.after(at - nowMs, arrive)
  }

  #planOutage(): void {
    this.#time.after(500 + this.#random.below(6000), () => {
      if (!this.#mayGoAway) return
      this.#count('outages of the bus')
      this.#bus.goAway()
      this.#time.after(50 + this.#random.below(3000), () => {
        if (!this.#mayGoAway) return
        this.#bus.comeBack()
        this.#planOutage()
      })
    })
  }
}
