/** Wakes one loop: rings that come while nobody waits are remembered as one. */
import type { CancelTimer } from '../../src/core/ports/time.ts'

export class Bell {
  readonly #time: { after(delayMs: number, callback: () => void): CancelTimer }
  #rung = false
  #wake: (() => void) | undefined

  constructor(time: { after(delayMs: number, callback: () => void): CancelTimer }) {
    this.#time = time
  }

  ring(): void {
    this.#rung = true
    this.#wake?.()
  }

  /** Resolves at the next ring, at once when one came since the last wait, or after `atMostMs`. */
  wait(atMostMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        cancel()
        this.#rung = false
        this.#wake = undefined
        resolve()
      }
      const cancel = this.#time.after(atMostMs, done)
      this.#wake = done
      if (this.#rung) done()
    })
  }
}
