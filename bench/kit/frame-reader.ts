/**
 * The reading half of a WebSocket client, as little of it as a server's frames need: cuts what
 * arrives into frames, several per chunk or one over many (RFC 6455 section 5.2). Frames of servers
 * are not masked and, here, not fragmented. Copies nothing but frames that a chunk's end cuts.
 */

export interface FrameHandler {
  /** The HTTP answer to the handshake. */
  onUpgrade(head: string): void
  /** One frame: its payload is `bytes` from `from` to `to`, valid until the call returns. */
  onFrame(opcode: number, bytes: Buffer, from: number, to: number): void
  /** What arrived is not what a server may send; nothing is read after it. */
  onProblem(what: string): void
}

export const TEXT = 1
export const BINARY = 2
export const CLOSE = 8
export const PING = 9
export const PONG = 10

export class FrameReader {
  readonly #handler: FrameHandler
  #upgraded = false
  #broken = false
  /** What came of a frame, or of the handshake's answer, that is not whole yet. */
  #parts: Buffer[] = []
  #have = 0
  /** Bytes without which looking again is of no use. */
  #need = 0

  constructor(handler: FrameHandler) {
    this.#handler = handler
  }

  /** The next chunk: `bytes` up to `length`. They are not kept. */
  read(bytes: Buffer, length: number): void {
    if (this.#broken) return
    if (this.#have === 0) {
      this.#consume(bytes, length)
      return
    }
    this.#parts.push(Buffer.from(bytes.subarray(0, length)))
    this.#have += length
    if (this.#have < this.#need) return
    const joined = Buffer.concat(this.#parts)
    this.#parts = []
    this.#have = 0
    this.#consume(joined, joined.length)
  }

  #consume(bytes: Buffer, length: number): void {
    let at = 0
    if (!this.#upgraded) {
      const end = bytes.subarray(0, length).indexOf('\r\n\r\n')
      if (end === -1) {
        this.#keep(bytes, 0, length, length + 1)
        return
      }
      this.#upgraded = true
      this.#handler.onUpgrade(bytes.toString('latin1', 0, end))
      at = end + 4
    }
    while (at < length && !this.#broken) {
      const payload = payloadStart(bytes, at, length)
      const size = payload === -1 ? 0 : payloadSize(bytes, at)
      if (payload === -1 || payload + size > length) {
        this.#keep(bytes, at, length, payload === -1 ? length - at + 1 : payload - at + size)
        return
      }
      this.#frame(bytes, at, payload, payload + size)
      at = payload + size
    }
  }

  #frame(bytes: Buffer, at: number, from: number, to: number): void {
    const first = bytes[at] ?? 0
    if ((first & 0xf0) !== 0x80 || (bytes[at + 1] ?? 0) > 127) {
      this.#broken = true
      this.#handler.onProblem(`a frame that begins with byte ${first}`)
      return
    }
    this.#handler.onFrame(first & 15, bytes, from, to)
  }

  #keep(bytes: Buffer, from: number, to: number, need: number): void {
    this.#parts = [Buffer.from(bytes.subarray(from, to))]
    this.#have = to - from
    this.#need = need
  }
}

/** Where the payload of the frame at `at` begins; -1 when its head is cut. */
function payloadStart(bytes: Buffer, at: number, length: number): number {
  if (at + 2 > length) return -1
  const short = (bytes[at + 1] ?? 0) & 127
  const payload = at + (short < 126 ? 2 : short === 126 ? 4 : 10)
  return payload > length ? -1 : payload
}

function payloadSize(bytes: Buffer, at: number): number {
  const short = (bytes[at + 1] ?? 0) & 127
  if (short < 126) return short
  if (short === 126) return bytes.readUInt16BE(at + 2)
  return Number(bytes.readBigUInt64BE(at + 2))
}
