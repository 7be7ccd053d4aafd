/** Reading of Snappy's raw format, in which LevelDB keeps blocks (format_description.txt of Snappy). */

/** The plain bytes, or undefined when `packed` is not a whole Snappy block. */
export function unpackSnappy(packed: Buffer): Buffer | undefined {
  const { plain, isWhole } = unpack(packed)
  return isWhole ? plain : undefined
}

/**
 * What can be read of a damaged Snappy block, from its start up to where its parts make no sense any
 * more. Bytes whose source is lost are 0, so that what follows them stays in its place.
 */
export function unpackDamagedSnappy(packed: Buffer): Buffer {
  return unpack(packed).plain
}

function unpack(packed: Buffer): { plain: Buffer; isWhole: boolean } {
  const length = readVarint(packed, 0)
  // Snappy can not shrink below a twenty-first or so: a greater claim is damage, not data.
  if (length === undefined || length.value > packed.length * 64 + 64) {
    return { plain: Buffer.alloc(0), isWhole: false }
  }
  const plain = Buffer.alloc(length.value)
  let isWhole = true
  let from = length.next
  let to = 0
  while (from < packed.length) {
    const tag = packed.readUInt8(from)
    const part = (tag & 3) === 0 ? literal(packed, from, tag) : copy(packed, from, tag)
    if (part === undefined || to + part.length > plain.length) {
      return { plain: plain.subarray(0, to), isWhole: false }
    }
    if (part.kind === 'literal') packed.copy(plain, to, part.start, part.start + part.length)
    else if (part.offset === 0 || part.offset > to) isWhole = false
    // Byte by byte: a copy may reach into what it is writing.
    else
      for (let i = 0; i < part.length; i += 1) plain[to + i] = plain[to + i - part.offset] as number
    to += part.length
    from = part.next
  }
  return { plain: plain.subarray(0, to), isWhole: isWhole && to === plain.length }
}

/** A base-128 number of LevelDB and Snappy, below 2^53; undefined when there is none. */
export function readVarint(
  bytes: Uint8Array,
  offset: number,
): { value: number; next: number } | undefined {
  let value = 0
  for (let i = 0; i < 8; i += 1) {
    const byte = bytes[offset + i]
    if (byte === undefined) return undefined
    value += (byte & 127) * 2 ** (7 * i)
    if (byte < 128)
      return value > Number.MAX_SAFE_INTEGER ? undefined : { value, next: offset + i + 1 }
  }
  return undefined
}

type Part =
  | { kind: 'literal'; start: number; length: number; next: number }
  | { kind: 'copy'; offset: number; length: number; next: number }

function literal(packed: Buffer, from: number, tag: number): Part | undefined {
  let length = tag >>> 2
  let start = from + 1
  if (length >= 60) {
    const bytes = length - 59
    if (start + bytes > packed.length) return undefined
    length = packed.readUIntLE(start, bytes)
    start += bytes
  }
  length += 1
  const next = start + length
  return next > packed.length ? undefined : { kind: 'literal', start, length, next }
}

function copy(packed: Buffer, from: number, tag: number): Part | undefined {
  const width = [0, 1, 2, 4][tag & 3] ?? 0
  const next = from + 1 + width
  if (next > packed.length) return undefined
  const low = packed.readUIntLE(from + 1, width)
  if (width !== 1) return { kind: 'copy', offset: low, length: (tag >>> 2) + 1, next }
  return { kind: 'copy', offset: ((tag >>> 5) << 8) | low, length: ((tag >>> 2) & 7) + 4, next }
}
