/**
 * What goes over a subscription: envelopes `{"snapshot","version","data"}`, each the full state or
 * an RFC 6902 patch to the state before it.
 */

import type { Entry } from '../../core/data/entry.ts'
import { atOnce } from '../../core/steps.ts'
import { FrameBatch } from './batch.ts'
import { LongList } from './long-list.ts'

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
/** Characters of a list beyond which its text is not made in one. */
const LONG_STATE = 1_048_576

/** The bytes of one frame; every subscriber of a pool is handed the same ones. */
export function encodeFrame(body: FrameBody, version: string): Uint8Array {
  return encoder.encode(`{"snapshot":${body.snapshot},"version":"${version}","data":${body.data}}`)
}

/** What a full state is made of. */
export interface StateText {
  json(): string
  /** Of a list: what `json` is made of. */
  entries?(): readonly Entry[]
  /** Characters of `json`, about. */
  readonly length: number
}

/**
 * The bytes of a frame with the full state. That of a long list is put together outside of the heap, in which there
 * may be no room for the text of all that it holds.
 */
export function encodeState(view: StateText, version: string): Uint8Array {
  const entries = view.length > LONG_STATE ? view.entries?.() : undefined
  if (entries === undefined) return encodeFrame({ snapshot: true, data: view.json() }, version)
  const list = new LongList(entries.slice())
  const head = Buffer.from(`{"snapshot":true,"version":"${version}","data":`)
  const frame = Buffer.allocUnsafe(head.length + atOnce(list.measuring()) + 1)
  let at = head.copy(frame)
  for (let piece = list.piece(); piece !== undefined; piece = list.piece())
    at += piece.copy(frame, at)
  frame.write('}', at)
  return frame
}

/** Longest patch worth sending in place of a full state of that many characters. */
export function patchLimit(stateLength: number): number {
  return Math.max(SMALL_PATCH, stateLength)
}

/** @param view gives the full state, asked at most once, and its length */
export function lazySnapshot(version: string, view: StateText): Snapshot {
  let batch: FrameBatch | undefined
  return {
    version,
    get byteLength() {
      return batch?.byteLength ?? view.length
    },
    batch: () => {
      batch ??= new FrameBatch([encodeState(view, version)], undefined)
      return batch
    },
  }
}

/** The state as a frame that was sent to everyone. */
export function sentSnapshot(version: string, frame: Uint8Array): Snapshot {
  const batch = new FrameBatch([frame], undefined)
  return { version, byteLength: batch.byteLength, batch: () => batch }
}
