/** Close frames: which codes and reasons may be sent (RFC 6455 sections 5.5.1 and 7.4). */
import { encodeFrames, OPCODE } from './frame-writer.ts'

const INTERNAL_ERROR = 1011
/** A close frame has room for this many bytes of reason. */
const MAX_REASON_BYTES = 123
/** Codes of the protocol's own range that stand for something no frame may carry, or for nothing. */
const RESERVED: ReadonlySet<number> = new Set([1004, 1005, 1006])

/** Whether a close frame may carry this code. */
export function isCloseCode(code: number): boolean {
  const isStandard = code >= 1000 && code <= 1014 && !RESERVED.has(code)
  return isStandard || (code >= 3000 && code <= 4999)
}

/** A code or reason that the protocol forbids is made to fit. */
export function fitClose(code: number, reason: string): { code: number; reason: Buffer } {
  return { code: isCloseCode(code) ? code : INTERNAL_ERROR, reason: fitReason(reason) }
}

/** A whole close frame of a server. */
export function encodeClose(code: number, reason: string): Buffer {
  const fit = fitClose(code, reason)
  const payload = Buffer.allocUnsafe(2 + fit.reason.length)
  payload.writeUInt16BE(fit.code, 0)
  fit.reason.copy(payload, 2)
  return encodeFrames(OPCODE.close, [payload])
}

function fitReason(reason: string): Buffer {
  const bytes = Buffer.from(reason)
  if (bytes.length <= MAX_REASON_BYTES) return bytes
  let end = MAX_REASON_BYTES
  // Not inside a character: continuation bytes are 10xxxxxx.
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--
  return bytes.subarray(0, end)
}
