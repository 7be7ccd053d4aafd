/** The frames of a pool that wait for the end of a turn. */
import { FrameBatch } from './batch.ts'

/** Bytes that may wait; more are handed over at once. */
const MAX_WAITING_BYTES = 1024 * 1024

export class FrameQueue {
  #from: string | undefined
  #frames: Uint8Array[] = []
  #bytes = 0

  /**
   * @param from the version that the frame is a patch to; a full state has none, and replaces what waits
   * @returns false when it has become too much to wait any longer
   */
  push(frame: Uint8Array, from: string | undefined): boolean {
    return this.append([frame], from)
  }

  /** The same for frames that belong together; `from` is that of the first. */
  append(frames: readonly Uint8Array[], from: string | undefined): boolean {
    if (from === undefined) this.clear()
    if (this.#frames.length === 0) this.#from = from
    for (const frame of frames) {
      this.#frames.push(frame)
      this.#bytes += frame.byteLength
    }
    return this.#bytes <= MAX_WAITING_BYTES
  }

  /** All that waits, which is then no longer here; undefined for nothing. */
  take(): FrameBatch | undefined {
    if (this.#frames.length === 0) return undefined
    const batch = new FrameBatch(this.#frames, this.#from)
    this.clear()
    return batch
  }

  clear(): void {
    this.#frames = []
    this.#bytes = 0
  }
}
