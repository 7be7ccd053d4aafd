/**
 * What goes over a subscription: envelopes `{"snapshot","version","data"}`, each the full state or
 * an RFC 6902 patch to the state before it.
 */

import { FrameBatch } from './frame-batch.ts'

/** The content of one frame, not yet stamped with a version. */
export interface FrameBody {
  /** True when `data` is the full state, false when it is a patch. */
  readonly snapshot: boolean
  /** JSON text: a meta object, an array of them, or a patch. */
  readonly data: string
}

/** The state at one point in the order of events. */
export interface Snapshot {
  readonly version: string
  /** Bytes it takes, or a guess as long as it has not been encoded. */
  readonly byteLength: number
  /** Encodes on first use, which must come before the next change; the same batch afterwards. */
  batch(): FrameBatch
}

const encoder = new TextEncoder()

/** Patches up to this many characters are sent even when the full state would be shorter. */
const SMALL_PATCH = 1024

/** The bytes of one frame; every subscriber of a pool is handed the same ones. */
export function encodeFrame(body: FrameBody, version: string): Uint8Array {
  return encoder.encode(`{"snapshot":${body.snapshot},"version":"${version}","data":${body.data}}`)
}

/** Longest patch worth sending in place of a full state of that many characters. */
export function patchLimit(stateLength: number): number {
  return Math.max(SMALL_PATCH, stateLength)
}

/** @param view gives the full state as JSON text, asked at most once, and its length */
export function lazySnapshot(
  version: string,
  view: { json(): string; readonly length: number },
): Snapshot {
  let batch: FrameBatch | undefined
  return {
    version,
    get byteLength() {
      return batch?.byteLength ?? view.length
    },
    batch: () => {
      batch ??= new FrameBatch(
        [encodeFrame({ snapshot: true, data: view.json() }, version)],
        undefined,
      )
      return batch
    },
  }
}

/** The state as a frame that was sent to everyone. */
export function sentSnapshot(version: string, frame: Uint8Array): Snapshot {
  const batch = new FrameBatch([frame], undefined)
  return { version, byteLength: batch.byteLength, batch: () => batch }
}
