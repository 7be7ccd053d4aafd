/**
 * What goes over a subscription: envelopes `{"snapshot","version","data"}`, each the full state or
 * an RFC 6902 patch to the state before it.
 */

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
  /** Encodes on first use, which must come before the next change; the same bytes afterwards. */
  frame(): Uint8Array
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

/** @param json gives the full state as JSON text; asked at most once */
export function lazySnapshot(version: string, json: () => string): Snapshot {
  let frame: Uint8Array | undefined
  return {
    version,
    frame: () => {
      frame ??= encodeFrame({ snapshot: true, data: json() }, version)
      return frame
    },
  }
}
