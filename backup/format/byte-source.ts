/** Reading a stream of chunks by count and by byte, holding little more than was asked for. */

/** Bytes asked for at first when a line is looked for. */
const LINE_BYTES = 4096

export interface Line {
  /** Without its end. */
  readonly bytes: Buffer
  readonly whole: boolean
}

export class ByteSource {
  readonly #chunks: AsyncIterator<Uint8Array>
  #buffer: Buffer = Buffer.alloc(0)
  #position = 0
  #ended = false

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]()
  }

  /** Offset of the next byte, from the start of the stream. */
  get position(): number {
    return this.#position
  }

  /** The next `count` bytes without taking them; fewer at the end of the stream. */
  async peek(count: number): Promise<Buffer> {
    await this.#fill(count)
    return this.#buffer.subarray(0, count)
  }

  /** The next `count` bytes; fewer at the end of the stream. */
  async take(count: number): Promise<Buffer> {
    const bytes = await this.peek(count)
    this.#drop(bytes.length)
    return bytes
  }

  /** Drops bytes up to where `pattern` begins; to the end of the stream when it never does. */
  async skipTo(pattern: Uint8Array): Promise<void> {
    while (true) {
      await this.#fill(pattern.length)
      if (this.#buffer.length < pattern.length) {
        this.#drop(this.#buffer.length)
        return
      }
      const at = this.#buffer.indexOf(pattern)
      if (at !== -1) {
        this.#drop(at)
        return
      }
      this.#drop(this.#buffer.length - pattern.length + 1)
    }
  }

  /**
   * The bytes up to the next `end`, which is dropped; the rest of the stream when there is none. Of a line
   * longer than `limit` only the first bytes are given, `limit` + 1 of them. `whole` tells whether its
   * end was there. undefined at the end of the stream.
   */
  async takeLine(end: number, limit: number): Promise<Line | undefined> {
    let searched = 0
    while (true) {
      const at = this.#buffer.indexOf(end, searched)
      if (at !== -1 || this.#buffer.length > limit) {
        const length = at === -1 ? limit + 1 : at
        const bytes = this.#buffer.subarray(0, length)
        this.#drop(length + (at === -1 ? 0 : 1))
        return { bytes, whole: at !== -1 }
      }
      searched = this.#buffer.length
      // Twice as much each time, so that a long line is not copied for every chunk.
      await this.#fill(Math.min(Math.max(searched * 2, LINE_BYTES), limit + 1))
      if (this.#buffer.length > searched) continue
      if (searched === 0) return undefined
      return { bytes: await this.take(searched), whole: false }
    }
  }

  /** Bytes that are left, dropped unread. */
  async drain(): Promise<number> {
    let count = 0
    for (let bytes = await this.take(65_536); bytes.length > 0; bytes = await this.take(65_536)) {
      count += bytes.length
    }
    return count
  }

  /** Lets the stream end its work. Idempotent. */
  async close(): Promise<void> {
    this.#ended = true
    await this.#chunks.return?.()
  }

  async #fill(count: number): Promise<void> {
    if (this.#buffer.length >= count) return
    const parts = [this.#buffer]
    let length = this.#buffer.length
    while (length < count && !this.#ended) {
      const next = await this.#chunks.next()
      if (next.done === true) {
        this.#ended = true
        break
      }
      parts.push(Buffer.from(next.value.buffer, next.value.byteOffset, next.value.length))
      length += next.value.length
    }
    this.#buffer = Buffer.concat(parts, length)
  }

  #drop(count: number): void {
    this.#buffer = this.#buffer.subarray(count)
    this.#position += count
  }
}
