/** WebSocket frames of a server: unmasked, unfragmented, without extensions (RFC 6455 section 5.2). */

export const OPCODE: Readonly<
  Record<'continuation' | 'text' | 'binary' | 'close' | 'ping' | 'pong', number>
> = { continuation: 0x0, text: 0x1, binary: 0x2, close: 0x8, ping: 0x9, pong: 0xa }

const FIN = 0x80
/** Payloads up to this many bytes have their length in the second byte. */
const MAX_SHORT = 125
const MAX_UINT16 = 0xffff

/** Every payload as one frame, one after another in one block. */
export function encodeFrames(opcode: number, payloads: readonly Uint8Array[]): Buffer {
  let length = 0
  for (const payload of payloads) length += headerLength(payload.byteLength) + payload.byteLength
  const bytes = Buffer.allocUnsafeSlow(length)
  let at = 0
  for (const payload of payloads) {
    at = writeHeader(bytes, at, opcode, payload.byteLength)
    bytes.set(payload, at)
    at += payload.byteLength
  }
  return bytes
}

/** A batch of a subscription on the wire: one binary frame per envelope. */
export function encodeBinary(payloads: readonly Uint8Array[]): Buffer {
  return encodeFrames(OPCODE.binary, payloads)
}

function headerLength(payloadLength: number): number {
  if (payloadLength <= MAX_SHORT) return 2
  return payloadLength <= MAX_UINT16 ? 4 : 10
}

function writeHeader(bytes: Buffer, at: number, opcode: number, length: number): number {
  bytes[at] = FIN | opcode
  if (length <= MAX_SHORT) {
    bytes[at + 1] = length
    return at + 2
  }
  if (length <= MAX_UINT16) {
    bytes[at + 1] = 126
    return bytes.writeUInt16BE(length, at + 2)
  }
  bytes[at + 1] = 127
  return bytes.writeBigUInt64BE(BigInt(length), at + 2)
}
