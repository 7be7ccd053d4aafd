/** The latest patches of a pool, so that a client that was away for a moment gets what it missed. */
import { FrameBatch } from '../frames/batch.ts'

interface Step {
  /** Version of the state that the frame applies to. */
  readonly from: string
  readonly frame: Uint8Array
}

/** Bounds of one pool's history. */
export interface HistoryLimits {
  /** Frames; 0 keeps none. */
  readonly historyFrames: number
  /** Bytes of all frames; 0 keeps none. */
  readonly historyBytes: number
}

/** An unbroken run of patches that ends at the current version; the oldest are dropped first. */
export class History {
  readonly #limits: HistoryLimits
  #steps: Step[] = []
  #bytes = 0

  constructor(limits: HistoryLimits) {
    this.#limits = limits
  }

  push(from: string, frame: Uint8Array): void {
    this.#steps.push({ from, frame })
    this.#bytes += frame.byteLength
    const { historyFrames, historyBytes } = this.#limits
    while (this.#steps.length > historyFrames || this.#bytes > historyBytes) {
      this.#bytes -= this.#steps.shift()?.frame.byteLength ?? 0
    }
  }

  get bytes(): number {
    return this.#bytes
  }

  clear(): void {
    this.#steps = []
    this.#bytes = 0
  }

  /** The frames from `version` to the current state; undefined when they are not known. */
  since(version: string): FrameBatch | undefined {
    const first = this.#steps.findIndex(({ from }) => from === version)
    if (first === -1) return undefined
    const frames = this.#steps.slice(first).map(({ frame }) => frame)
    return new FrameBatch(frames, version)
  }
}
