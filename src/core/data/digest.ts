/**
 * Order-independent digests of sets of records: the sum, lane by lane, of one 64-bit hash per
 * record over key, version, kind, origin and the key's marks. Adding and taking away commute, so a digest is kept
 * up to date by every change and two nodes that hold the same records have the same digest in
 * whatever order they came by them. Not cryptographic: it finds accidents, not attacks.
 */
import type { StoredRecord } from './entry.ts'
import { marksOf, versionOf } from './entry.ts'

/** `count` records whose hashes add up to (`high`, `low`), each lane modulo 2^32. */
export interface Digest {
  readonly count: number
  readonly high: number
  readonly low: number
}

/** 64 bits as two unsigned lanes. */
export interface Hash {
  readonly high: number
  readonly low: number
}

export const EMPTY_DIGEST: Digest = Object.freeze({ count: 0, high: 0, low: 0 })

/** A digest that changes in place. */
export class DigestSum {
  #count: number
  #high: number
  #low: number

  constructor(start: Digest = EMPTY_DIGEST) {
    this.#count = start.count
    this.#high = start.high
    this.#low = start.low
  }

  add(record: StoredRecord): void {
    const { high, low } = hashRecord(record)
    this.#count++
    this.#high = (this.#high + high) >>> 0
    this.#low = (this.#low + low) >>> 0
  }

  remove(record: StoredRecord): void {
    const { high, low } = hashRecord(record)
    this.#count--
    this.#high = (this.#high - high) >>> 0
    this.#low = (this.#low - low) >>> 0
  }

  get value(): Digest {
    return { count: this.#count, high: this.#high, low: this.#low }
  }
}

export function sameDigest(a: Digest, b: Digest): boolean {
  return a.count === b.count && a.high === b.high && a.low === b.low
}

/** The digest of two sets that share nothing. */
export function addDigests(a: Digest, b: Digest): Digest {
  return {
    count: a.count + b.count,
    high: (a.high + b.high) >>> 0,
    low: (a.low + b.low) >>> 0,
  }
}

/** `<count>:<16 hex digits>`. */
export function encodeDigest({ count, high, low }: Digest): string {
  return `${count}:${hex(high)}${hex(low)}`
}

/** undefined when `text` is not what `encodeDigest` makes. */
export function decodeDigest(text: string): Digest | undefined {
  const match = /^(\d{1,15}):([0-9a-f]{8})([0-9a-f]{8})$/.exec(text)
  if (match === null) return undefined
  const [, count, high, low] = match
  return {
    count: Number(count),
    high: Number.parseInt(high ?? '', 16),
    low: Number.parseInt(low ?? '', 16),
  }
}

/** Two lanes of 32 bits as 16 hexadecimal digits. */
export function encodeHash({ high, low }: Hash): string {
  return `${hex(high)}${hex(low)}`
}

/**
 * Two independent 32-bit hashes of what makes a record this one and no other.
 * @param protocol stream protocol of the peer that the hash is compared with: before 3 there were no marks.
 */
export function hashRecord(record: StoredRecord, protocol: number = 3): Hash {
  const kind = record.kind === 'entry' ? 's' : 'd'
  const change = `${record.key}\n${versionOf(record)}${kind}${record.origin}`
  const marks = protocol < 3 ? undefined : marksOf(record)
  return hashText(marks === undefined ? change : `${change}\n${marks}`)
}

/** Two multiply-and-fold lanes over UTF-16 code units, finished as MurmurHash3 finishes. */
export function hashText(text: string): Hash {
  let high = 0x9e3779b9
  let low = 0x85ebca6b
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    high = Math.imul(high ^ unit, 0x01000193)
    low = Math.imul(low + unit, 0xcc9e2d51)
    low ^= low >>> 15
  }
  return { high: finish(high), low: finish(low) }
}

/** The 32-bit finalizer of MurmurHash3. */
function finish(lane: number): number {
  let x = lane
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
  return (x ^ (x >>> 16)) >>> 0
}

function hex(lane: number): string {
  return lane.toString(16).padStart(8, '0')
}
