/**
 * The envelope in which a server sends states and patches to subscribers:
 * `{"snapshot":bool,"version":"<hex>","data":<state or RFC 6902 patch>}`, members in any order.
 */
import { errorText, StateError } from '../errors.ts'
import { parseExact } from '../json/json.ts'

/** A decoded envelope. `version` is opaque text; it is only ever compared and sent back. */
export type Envelope =
  | {
      readonly snapshot: true
      readonly version: string
      /** The full state: a meta object, or an array of them. */
      readonly data: unknown
    }
  | {
      readonly snapshot: false
      readonly version: string
      /** Patch operations, unchecked; applied to the previous state. Empty: nothing changed. */
      readonly operations: readonly unknown[]
    }

/**
 * Reads one frame. `parse` decides how JSON becomes values; the default keeps unsafe integers
 * exact as `bigint`.
 * @throws StateError `invalid_message` when the frame is not an envelope; the cause is kept.
 */
export function decodeEnvelope(
  text: string,
  parse: (text: string) => unknown = parseExact,
): Envelope {
  const frame = parseFrame(text, parse)
  if (typeof frame !== 'object' || frame === null || Array.isArray(frame)) {
    throw refusal('it is not a JSON object')
  }
  const { snapshot, version, data } = frame as Record<string, unknown>
  if (typeof snapshot !== 'boolean') throw refusal('"snapshot" must be a boolean')
  if (typeof version !== 'string' || version === '') {
    throw refusal('"version" must be a text that is not empty')
  }
  if (data === undefined) throw refusal('"data" is missing')
  if (snapshot) return { snapshot, version, data }
  if (!Array.isArray(data)) throw refusal('"data" of a patch must be an array')
  return { snapshot, version, operations: data }
}

function parseFrame(text: string, parse: (text: string) => unknown): unknown {
  try {
    return parse(text)
  } catch (cause) {
    throw new StateError('invalid_message', `envelope refused: ${errorText(cause)}`, { cause })
  }
}

function refusal(what: string): StateError {
  return new StateError('invalid_message', `envelope refused: ${what}`)
}
