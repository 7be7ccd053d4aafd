/**
 * The binary layout of a backup, from the first byte:
 *
 * | bytes | what |
 * | --- | --- |
 * | 8 | the magic `89 4F 4F 4F 42 4B 0D 0A`: the high bit and the line end tell a damaged transfer |
 * | frame 0 | `H`: the header, JSON |
 * | frames 1…n | `B`: blocks of record lines, compressed with Brotli |
 * | frame n+1 | `E`: the totals, JSON; nothing follows it |
 *
 * A frame is a head of 24 bytes and its payload. Numbers are big-endian:
 *
 * | offset | bytes | what |
 * | --- | --- | --- |
 * | 0 | 4 | marker `F7 4F 62` and the type, by which a reader finds back after damage |
 * | 4 | 4 | number of the frame, from 0 |
 * | 8 | 4 | bytes of the payload |
 * | 12 | 4 | bytes of the payload once uncompressed |
 * | 16 | 4 | CRC-32 of the payload |
 * | 20 | 4 | CRC-32 of the 20 bytes before |
 */
import { crc32 } from 'node:zlib'

export const MAGIC: Uint8Array = Uint8Array.of(0x89, 0x4f, 0x4f, 0x4f, 0x42, 0x4b, 0x0d, 0x0a)
/** The bytes every frame starts with, before its type. */
export const MARKER: Uint8Array = Uint8Array.of(0xf7, 0x4f, 0x62)
/** Bytes of a frame's head. */
export const HEAD_BYTES = 24

/** `H` header, `B` block of records, `E` end. */
export type FrameType = 'H' | 'B' | 'E'

export interface FrameHead {
  readonly type: FrameType
  /** From 0, without gaps. */
  readonly number: number
  /** Bytes of the payload as stored. */
  readonly length: number
  /** Bytes of the payload once uncompressed; equal to `length` for `H` and `E`. */
  readonly rawLength: number
  readonly checksum: number
}

/** The head and payload of a frame, ready to write. */
export function encodeFrame(
  type: FrameType,
  number: number,
  payload: Uint8Array,
  rawLength: number,
): Uint8Array[] {
  const head = Buffer.alloc(HEAD_BYTES)
  head.set(MARKER, 0)
  head.writeUInt8(type.charCodeAt(0), 3)
  head.writeUInt32BE(number, 4)
  head.writeUInt32BE(payload.length, 8)
  head.writeUInt32BE(rawLength, 12)
  head.writeUInt32BE(crc32(payload), 16)
  head.writeUInt32BE(crc32(head.subarray(0, 20)), 20)
  return [head, payload]
}

/** The head in 24 bytes; undefined when they are none, or a damaged one. */
export function decodeHead(bytes: Uint8Array): FrameHead | undefined {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (head.length < HEAD_BYTES || !MARKER.every((byte, i) => head[i] === byte)) return undefined
  if (crc32(head.subarray(0, 20)) !== head.readUInt32BE(20)) return undefined
  const type = String.fromCharCode(head.readUInt8(3))
  if (type !== 'H' && type !== 'B' && type !== 'E') return undefined
  return {
    type,
    number: head.readUInt32BE(4),
    length: head.readUInt32BE(8),
    rawLength: head.readUInt32BE(12),
    checksum: head.readUInt32BE(16),
  }
}
