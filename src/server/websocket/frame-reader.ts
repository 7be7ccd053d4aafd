/**
 * What a subscriber sends, read to be thrown away: it has nothing to say, but must keep to the protocol
 * (RFC 6455 section 5). Nothing is kept of a message but where it stands, so that a connection at rest
 * costs next to no memory.
 */
import { isUtf8 } from 'node:buffer'
import { TextDecoder } from 'node:util'
import { isCloseCode } from './close-frame.ts'
import { OPCODE } from './frame-writer.ts'

/** What the owner of the connection acts on. */
export interface FrameEvents {
  /** A ping came, to be answered with a pong of the same payload. */
  pinged(payload: Buffer): void
  /** The peer closes. `code` is undefined when it gives none. */
  closing(code: number | undefined): void
  /** The peer broke the protocol: the connection ends with this code and reason. */
  violated(code: number, reason: string): void
}

const PROTOCOL_ERROR = 1002
const INVALID_DATA = 1007
const TOO_BIG = 1009
const MAX_CONTROL_BYTES = 125
const MASK_BYTES = 4
const NO_BYTES: Buffer = Buffer.alloc(0)

interface Header {
  readonly fin: boolean
  readonly opcode: number
  readonly length: number
  /** Bytes of the header itself, the mask included, which may not have come yet. */
  readonly size: number
}

/** The data frame under way. */
interface Passing {
  readonly fin: boolean
  left: number
  readonly mask: Buffer
  maskAt: number
}

export class FrameReader {
  readonly #maxMessageBytes: number
  readonly #events: FrameEvents
  /** Bytes of a header or control frame that is not whole yet. */
  #held: Buffer = NO_BYTES
  #passing: Passing | undefined
  /** The message under way; undefined between messages. */
  #message: { bytes: number; readonly decoder: TextDecoder | undefined } | undefined
  #state: 'reading' | 'ended' = 'reading'

  /** @param maxMessageBytes a longer message is a violation */
  constructor(maxMessageBytes: number, events: FrameEvents) {
    this.#maxMessageBytes = maxMessageBytes
    this.#events = events
  }

  /** Takes the next bytes. After a close frame or a violation the rest is not looked at. */
  push(chunk: Buffer): void {
    let rest = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk])
    this.#held = NO_BYTES
    while (rest.length > 0 && this.#state === 'reading') {
      const taken = this.#passing === undefined ? this.#begin(rest) : this.#pass(rest)
      if (taken === 0) {
        // A copy: the chunk may be a slice of a much larger block.
        this.#held = Buffer.from(rest)
        return
      }
      rest = rest.subarray(taken)
    }
  }

  /** Reads a header, with all of a control frame. @returns bytes taken; 0 when more are needed */
  #begin(bytes: Buffer): number {
    const header = readHeader(bytes, this.#message !== undefined)
    if (header === undefined) return 0
    if (typeof header === 'string') return this.#violate(PROTOCOL_ERROR, header)
    if (isControl(header.opcode)) return this.#control(header, bytes)
    // As soon as the length is known: what is too long need not send its mask as well.
    if ((this.#message?.bytes ?? 0) + header.length > this.#maxMessageBytes) {
      return this.#violate(TOO_BIG, `a message is longer than ${this.#maxMessageBytes} bytes`)
    }
    return bytes.length < header.size ? 0 : this.#data(header, bytes)
  }

  #control(header: Header, bytes: Buffer): number {
    const end = header.size + header.length
    if (bytes.length < end) return 0
    const payload = Buffer.from(bytes.subarray(header.size, end))
    unmask(payload, bytes.subarray(header.size - 4, header.size), 0)
    if (header.opcode === OPCODE.ping) this.#events.pinged(payload)
    else if (header.opcode === OPCODE.close) this.#close(payload)
    return end
  }

  #close(payload: Buffer): void {
    const code = payload.length === 0 ? undefined : readCloseCode(payload)
    if (code === 'invalid') {
      this.#violate(PROTOCOL_ERROR, 'a close frame without a valid code')
      return
    }
    if (!isUtf8(payload.subarray(2))) {
      this.#violate(INVALID_DATA, 'the reason of a close frame is not UTF-8')
      return
    }
    this.#state = 'ended'
    this.#events.closing(code)
  }

  #data(header: Header, bytes: Buffer): number {
    const isText = header.opcode === OPCODE.text
    this.#message ??= {
      bytes: 0,
      decoder: isText ? new TextDecoder('utf-8', { fatal: true }) : undefined,
    }
    this.#message.bytes += header.length
    const mask = Buffer.from(bytes.subarray(header.size - 4, header.size))
    this.#passing = { fin: header.fin, left: header.length, mask, maskAt: 0 }
    if (header.length === 0) this.#pass(NO_BYTES)
    return header.size
  }

  /** Lets the payload of a data frame pass. @returns bytes taken */
  #pass(bytes: Buffer): number {
    const passing = this.#passing
    if (passing === undefined) return 0
    const part = bytes.subarray(0, passing.left)
    passing.left -= part.length
    const isLast = passing.left === 0 && passing.fin
    const decoder = this.#message?.decoder
    if (decoder !== undefined) {
      const clear = Buffer.from(part)
      unmask(clear, passing.mask, passing.maskAt)
      if (!decodes(decoder, clear, !isLast)) {
        return this.#violate(INVALID_DATA, 'a text message is not UTF-8')
      }
    }
    passing.maskAt = (passing.maskAt + part.length) % 4
    if (passing.left === 0) this.#passing = undefined
    if (isLast) this.#message = undefined
    return part.length
  }

  #violate(code: number, reason: string): number {
    this.#state = 'ended'
    this.#events.violated(code, reason)
    return 1
  }
}

/**
 * @param isInside whether a message is under way
 * @returns undefined when more bytes are needed; text that tells what is wrong
 */
function readHeader(bytes: Buffer, isInside: boolean): Header | string | undefined {
  const first = bytes[0]
  if (first === undefined) return undefined
  const opcode = first & 0x0f
  const fin = (first & 0x80) !== 0
  if ((first & 0x70) !== 0) return 'a reserved bit is set'
  if (!KNOWN_OPCODES.has(opcode)) return `opcode ${opcode} is unknown`
  if (isControl(opcode) && !fin) return 'a control frame is fragmented'
  if (!isInside && opcode === OPCODE.continuation) return 'a continuation of nothing'
  if (isInside && opcode !== OPCODE.continuation && !isControl(opcode)) {
    return 'a message inside another'
  }
  const second = bytes[1]
  if (second === undefined) return undefined
  if ((second & 0x80) === 0) return 'a frame is not masked'
  const short = second & 0x7f
  if (isControl(opcode) && short > MAX_CONTROL_BYTES) {
    return `a control frame is longer than ${MAX_CONTROL_BYTES} bytes`
  }
  const lengthBytes = short === 127 ? 8 : short === 126 ? 2 : 0
  const size = 2 + lengthBytes + MASK_BYTES
  if (bytes.length < size - MASK_BYTES) return undefined
  const length =
    lengthBytes === 0
      ? short
      : lengthBytes === 2
        ? bytes.readUInt16BE(2)
        : Number(bytes.readBigUInt64BE(2))
  return { fin, opcode, length, size }
}

const KNOWN_OPCODES: ReadonlySet<number> = new Set(Object.values(OPCODE))

function isControl(opcode: number): boolean {
  return opcode >= OPCODE.close
}

function readCloseCode(payload: Buffer): number | 'invalid' {
  if (payload.length < 2) return 'invalid'
  const code = payload.readUInt16BE(0)
  return isCloseCode(code) ? code : 'invalid'
}

function unmask(bytes: Buffer, mask: Buffer, maskAt: number): void {
  for (let i = 0; i < bytes.length; i++) {
    bytes[i] = (bytes[i] ?? 0) ^ (mask[(maskAt + i) % 4] ?? 0)
  }
}

function decodes(decoder: TextDecoder, bytes: Buffer, stream: boolean): boolean {
  try {
    decoder.decode(bytes, { stream })
    return true
  } catch {
    return false
  }
}
