/** Frames of a target's socket, and the state they add up to. */
import { StateError } from '../../core/errors.ts'
import { compactJson, type JsonNode, parseNodes } from '../../core/json/json.ts'
import { PatchedDocument } from '../../core/json/patch-apply.ts'
import { lazySnapshot, type Snapshot, sentSnapshot } from '../../fanout/frames/frame.ts'

/** A frame read: a full state, a step from the state before it, or the clock's time, full as well. */
export type TargetFrame =
  | {
      readonly kind: 'snapshot' | 'patch'
      readonly bytes: Uint8Array
      readonly version: string
      readonly data: JsonNode
    }
  | { readonly kind: 'clock'; readonly bytes: Uint8Array }

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** @throws StateError `invalid_message` for what is neither an envelope nor decimal text. */
export function readFrame(bytes: Uint8Array): TargetFrame {
  let text: string
  try {
    text = decoder.decode(bytes)
    if (/^\d+$/.test(text)) return { kind: 'clock', bytes }
    text = compactJson(text)
  } catch (cause) {
    throw new StateError('invalid_message', 'proxy: a frame is not JSON', { cause })
  }
  const envelope = parseNodes(text)
  const members = envelope.kind === 'object' ? envelope.members : undefined
  const snapshot = members?.get('snapshot')?.raw
  const version: unknown = JSON.parse(members?.get('version')?.raw ?? 'null')
  const data = members?.get('data')
  if ((snapshot !== 'true' && snapshot !== 'false') || data === undefined) {
    throw new StateError('invalid_message', 'proxy: a frame is not an envelope')
  }
  return {
    kind: snapshot === 'true' ? 'snapshot' : 'patch',
    bytes,
    version: typeof version === 'string' ? version : '0',
    data,
  }
}

/** What a target's socket shows at this moment, kept by applying its frames. */
export class TargetState {
  readonly #maxLength: number
  #document: PatchedDocument | undefined
  #snapshot: Snapshot | undefined

  /** @param maxLength longest state, characters */
  constructor(maxLength: number) {
    this.#maxLength = maxLength
  }

  /** What a late joiner is sent; undefined before the first full state. */
  get snapshot(): Snapshot | undefined {
    return this.#snapshot
  }

  /**
   * Takes the next frame.
   * @throws StateError `invalid_message` for a patch that does not fit; the state is then of no more use.
   */
  take(frame: TargetFrame): void {
    switch (frame.kind) {
      case 'clock':
        this.#snapshot = sentSnapshot('', frame.bytes)
        return
      case 'snapshot':
        this.#document = new PatchedDocument(frame.data, this.#maxLength)
        this.#snapshot = sentSnapshot(frame.version, frame.bytes)
        return
      case 'patch': {
        const document = this.#document
        if (document === undefined) {
          throw new StateError('invalid_message', 'proxy: a patch came before the first snapshot')
        }
        document.apply(frame.data)
        const view = {
          json: () => document.text,
          get length() {
            return document.length
          },
        }
        this.#snapshot = lazySnapshot(frame.version, view)
      }
    }
  }
}
