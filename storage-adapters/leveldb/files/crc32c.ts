/**
 * CRC-32C (Castagnoli polynomial) in LevelDB's masked form, eight bytes a step.
 *
 * A checksum also tells which bit was flipped, when it was one: each place of a flipped bit changes the
 * checksum in its own way (the Hamming distance of CRC-32C is 4 up to 2 Gbit).
 */

const POLYNOMIAL = 0x82f63b78
const MASK_DELTA = 0xa282ead8
const TABLES: readonly Uint32Array[] = makeTables()

/** The masked checksum of `bytes` from `start` to `end`, as LevelDB stores it. */
export function maskedCrc32c(bytes: Uint8Array, start: number, end: number): number {
  const crc = crc32c(bytes, start, end)
  return (((crc >>> 15) | (crc << 17)) + MASK_DELTA) >>> 0
}

/**
 * The one bit whose flip explains why `bytes` from `start` to `end` do not match the masked checksum
 * `stored`, as byte times 8 plus bit; `checksum` when the bit is one of the checksum's own. undefined
 * when no single bit explains it. Other damage is taken for a flipped bit once in 2^32 divided by the bits.
 */
export function findFlippedBit(
  bytes: Uint8Array,
  start: number,
  end: number,
  stored: number,
): number | 'checksum' | undefined {
  const wrong = (maskedCrc32c(bytes, start, end) ^ stored) >>> 0
  if (wrong !== 0 && (wrong & (wrong - 1)) === 0) return 'checksum'
  const rotated = (stored - MASK_DELTA) >>> 0
  const syndrome = (((rotated >>> 17) | (rotated << 15)) ^ crc32c(bytes, start, end)) >>> 0
  const first = TABLES[0] as Uint32Array
  // What a flip of each bit of a byte does to the checksum, from the last byte to the first.
  const effects = Uint32Array.from({ length: 8 }, (_, bit) => at(first, 1 << bit))
  for (let i = end - 1; i >= start; i -= 1) {
    const bit = effects.indexOf(syndrome)
    if (bit !== -1) return i * 8 + bit
    for (let b = 0; b < 8; b += 1) {
      const effect = at(effects, b)
      effects[b] = at(first, effect & 255) ^ (effect >>> 8)
    }
  }
  return undefined
}

/** The least size, up to `most`, of a part from `start` that its masked checksum follows; `isEnd` rules sizes out. */
export function sizeByChecksum(
  bytes: Buffer,
  start: number,
  most: number,
  isEnd: (size: number) => boolean,
): number | undefined {
  const first = TABLES[0] as Uint32Array
  let crc = 0xffffffff
  for (let size = 1; size <= most; size += 1) {
    crc = at(first, (crc ^ at(bytes, start + size - 1)) & 255) ^ (crc >>> 8)
    if (!isEnd(size)) continue
    const plain = ~crc >>> 0
    const masked = (((plain >>> 15) | (plain << 17)) + MASK_DELTA) >>> 0
    if (masked === bytes.readUInt32LE(start + size)) return size
  }
  return undefined
}

function crc32c(bytes: Uint8Array, start: number, end: number): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = TABLES as readonly [
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
  ]
  let crc = 0xffffffff
  let i = start
  // Every index is in range: tables have 256 words, and i stays below end.
  for (; i + 8 <= end; i += 8) {
    const low =
      crc ^
      (at(bytes, i) | (at(bytes, i + 1) << 8) | (at(bytes, i + 2) << 16) | (at(bytes, i + 3) << 24))
    crc =
      at(t7, low & 255) ^
      at(t6, (low >>> 8) & 255) ^
      at(t5, (low >>> 16) & 255) ^
      at(t4, low >>> 24) ^
      at(t3, at(bytes, i + 4)) ^
      at(t2, at(bytes, i + 5)) ^
      at(t1, at(bytes, i + 6)) ^
      at(t0, at(bytes, i + 7))
  }
  for (; i < end; i += 1) crc = at(t0, (crc ^ at(bytes, i)) & 255) ^ (crc >>> 8)
  return ~crc >>> 0
}

function at(words: Uint8Array | Uint32Array, index: number): number {
  return words[index] as number
}

function makeTables(): Uint32Array[] {
  const first = new Uint32Array(256)
  for (let n = 0; n < 256; n += 1) {
    let crc = n
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1
    first[n] = crc
  }
  const tables = [first]
  for (let table = first; tables.length < 8; ) {
    table = table.map((crc) => (crc >>> 8) ^ at(first, crc & 255))
    tables.push(table)
  }
  return tables
}
