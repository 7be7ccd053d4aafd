/**
 * Room in bytes that is handed out in the order in which it was asked for. Whoever waits is not overtaken, so a
 * large wish is met as soon as those before it have given back enough.
 */
import { StateError } from '../../core/errors.ts'

export interface FairQueueOptions {
  /** Most bytes that are held at a time; a wish that is alone is met whatever its size. */
  readonly maxBytes: number
  /** Most who wait. */
  readonly maxWaiting: number
  /** What is waited for, to go into a refusal: "merges of large documents". */
  readonly what: string
}

interface Waiting {
  readonly bytes: number
  readonly enter: () => void
}

/** Gives room back, or leaves the queue. Idempotent. */
export type Leave = () => void

export class FairQueue {
  readonly #options: FairQueueOptions
  /** In the order in which they came. */
  readonly #waiting = new Set<Waiting>()
  #bytes = 0
  #refused = 0

  constructor(options: FairQueueOptions) {
    this.#options = options
  }

  /** Bytes that are held. */
  get bytes(): number {
    return this.#bytes
  }

  get maxBytes(): number {
    return this.#options.maxBytes
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /** How many were refused since too many waited. */
  get refused(): number {
    return this.#refused
  }

  /**
   * Asks for room.
   * @returns what gives it back, and when it is there; `entered` is undefined when it is there at once
   * @throws StateError `overloaded` when too many wait
   */
  enter(bytes: number): { readonly leave: Leave; readonly entered: Promise<void> | undefined } {
    if (this.#waiting.size === 0 && this.#hasRoom(bytes)) {
      this.#bytes += bytes
      return { leave: this.#leaving(bytes), entered: undefined }
    }
    const { maxWaiting, what } = this.#options
    if (this.#waiting.size >= maxWaiting) {
      this.#refused++
      throw new StateError(
        'overloaded',
        `ooo: ${this.#waiting.size} ${what} wait for room, the limit is ${maxWaiting}`,
      )
    }
    const { promise, resolve } = promised()
    const waiting = { bytes, enter: resolve }
    this.#waiting.add(waiting)
    return { leave: this.#leaving(bytes, waiting), entered: promise }
  }

  #leaving(bytes: number, waiting?: Waiting): Leave {
    let hasLeft = false
    return () => {
      if (hasLeft) return
      hasLeft = true
      const hadEntered = waiting === undefined || !this.#waiting.delete(waiting)
      if (hadEntered) this.#bytes -= bytes
      this.#admit()
    }
  }

  #hasRoom(bytes: number): boolean {
    return this.#bytes === 0 || this.#bytes + bytes <= this.#options.maxBytes
  }

  #admit(): void {
    for (const waiting of this.#waiting) {
      if (!this.#hasRoom(waiting.bytes)) return
      this.#waiting.delete(waiting)
      this.#bytes += waiting.bytes
      waiting.enter()
    }
  }
}

function promised(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => undefined
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve }
}
