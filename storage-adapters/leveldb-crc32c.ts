/** CRC-32C (Castagnoli polynomial) in LevelDB's masked form, eight bytes a step. */

const POLYNOMIAL = 0x82f63b78
const TABLES: readonly Uint32Array[] = makeTables()

/** The masked checksum of `bytes` from `start` to `end`, as LevelDB stores it. */
export function maskedCrc32c(bytes: Uint8Array, start: number, end: number): number {
  const crc = crc32c(bytes, start, end)
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
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
