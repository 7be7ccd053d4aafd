/**
 * Frames that leave together. One batch is made per pool and flush, and handed to every subscriber:
 * what it costs to encode it for the network is paid once, and each connection takes it in one write.
 */

/** How a batch is put on the wire, e.g. as WebSocket frames one after another. */
export type BatchEncoder = (frames: readonly Uint8Array[]) => Uint8Array

export class FrameBatch {
  /** Oldest first; never empty, never changed. */
  readonly frames: readonly Uint8Array[]
  /** Bytes of all frames. */
  readonly byteLength: number
  /** Bytes of the full state in it, which can only be the first frame; 0 without one. */
  readonly snapshotBytes: number
  /** Version of the state that the first frame applies to; undefined when that is a full state. */
  readonly from: string | undefined
  #encoded: Uint8Array | undefined

  /** @param from the version that the frames are patches to; undefined: the first is a full state */
  constructor(frames: readonly Uint8Array[], from: string | undefined) {
    this.frames = frames
    this.byteLength = frames.reduce((sum, frame) => sum + frame.byteLength, 0)
    this.snapshotBytes = from === undefined ? (frames[0]?.byteLength ?? 0) : 0
    this.from = from
  }

  /** What `encode` makes of the frames: asked once, then the same bytes, which are never changed. */
  encoded(encode: BatchEncoder): Uint8Array {
    this.#encoded ??= encode(this.frames)
    return this.#encoded
  }
}
