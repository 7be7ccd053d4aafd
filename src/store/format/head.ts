/**
 * The row that every batch rewrites: how far the log goes, the greatest stamp, and the digest of all
 * records. Whatever vanishes from the storage without a batch makes the digest differ.
 */
import { type Digest, decodeDigest, EMPTY_DIGEST, encodeDigest } from '../../core/data/digest.ts'

export interface Head {
  /** Seq of the last committed change. */
  readonly seq: number
  /** Greatest stamp ever given out or seen. */
  readonly clock: bigint
  /** Of every record, tombstones included; undefined when it is not known. */
  readonly digest: Digest | undefined
}

export const NEW_HEAD: Head = Object.freeze({ seq: 0, clock: 0n, digest: EMPTY_DIGEST })

export function encodeHead({ seq, clock, digest }: Head): string {
  return digest === undefined ? `${seq} ${clock}` : `${seq} ${clock} ${encodeDigest(digest)}`
}

/** undefined when the text is not a head. */
export function decodeHead(text: string): Head | undefined {
  const [seq, clock, digest] = text.split(' ')
  if (seq === undefined || clock === undefined || !/^\d+$/.test(seq) || !/^\d+$/.test(clock)) {
    return undefined
  }
  return {
    seq: Number(seq),
    clock: BigInt(clock),
    digest: digest === undefined ? undefined : decodeDigest(digest),
  }
}
