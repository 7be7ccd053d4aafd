/**
 * The part of the replication stream by which two nodes find out in what they differ. The follower
 * asks, the leader answers; each question and each exchange has a number `n`, counting up.
 *
 * ```
 * follower                                 leader
 *    │ ask (n, nodes) ───────────────────▶ │
 *    │ ◀──────────────── digests (n)       │   until the differing nodes are small or leaves
 *    │ want (n, nodes) ──────────────────▶ │
 *    │ have (n, hashes) … ───────────────▶ │   of the records it holds in them
 *    │ ◀──────── found (n, part, records)… │   what the follower lacks, then what the leader lacks
 *    │ taken (n, part) ──────────────────▶ │   durable here; no more is sent than a window
 * ```
 *
 * A node of the digest tree is named by the hexadecimal digits its leaves begin with: `''` is the
 * root, `a` one of its sixteen children, `a3f` a leaf.
 */
import { type Digest, decodeDigest, encodeDigest } from '../data/digest.ts'
import type { StoredRecord } from '../data/entry.ts'
import { type Fields, integer, invalid, list, scope, stamp } from './fields.ts'
import { type Whole, wholePlaces, withoutValues } from './pieces.ts'
import { encodeRecord, records } from './records.ts'

/** The keys that match `path` and none of `except`. */
export interface KeySet {
  readonly path: string
  readonly except: readonly string[]
}

/** What are the digests of these nodes? */
export interface Ask {
  readonly t: 'ask'
  readonly n: number
  readonly set: KeySet
  readonly nodes: readonly string[]
}

export interface Digests {
  readonly t: 'digests'
  readonly n: number
  /** Seq of the leader's last change. */
  readonly head: number
  /** Tombstones up to this stamp are left out, since they may be removed at any time. */
  readonly horizon: bigint
  /** One per node, in order. */
  readonly digests: readonly Digest[]
}

/** Send what I lack below these nodes, and tell what you lack. */
export interface Want {
  readonly t: 'want'
  readonly n: number
  readonly set: KeySet
  readonly nodes: readonly string[]
  /** What changed after this seq of the leader's log is under way anyhow. */
  readonly after: number
  /** How many `have` messages follow. */
  readonly parts: number
}

export interface Have {
  readonly t: 'have'
  readonly n: number
  /** Hashes of the follower's records, 16 hexadecimal digits each. */
  readonly hashes: string
}

export interface Found extends Whole {
  readonly t: 'found'
  readonly n: number
  /** From 1. */
  readonly part: number
  readonly head: number
  readonly records: readonly StoredRecord[]
  /** How many of the records, the last ones, changed after what `want` named. */
  readonly fresh: number
  /** Hashes of the follower that the leader has no record for. */
  readonly lacks: string
  /** Whether the exchange ends with this part. */
  readonly last: boolean
}

export interface Taken {
  readonly t: 'taken'
  readonly n: number
  readonly part: number
}

export type ComparisonMessage = Ask | Want | Have | Taken
export type ComparisonReply = Digests | Found

/** Most hashes in one exchange; what a follower holds beyond is sent to it again. */
export const MAX_HASHES = 65_536
/** Digits of one hash. */
export const HASH_DIGITS = 16
/** Most nodes in one message. */
export const MAX_NODES = 4096
const MAX_EXCEPTIONS = 1000

/** A reply as it is spelled, before it becomes JSON. */
export function comparisonFields(reply: ComparisonReply, protocol: number): Fields {
  if (reply.t === 'digests') {
    const { horizon, digests } = reply
    return { ...reply, horizon: String(horizon), digests: digests.map(encodeDigest) }
  }
  const sent = withoutValues(reply.records, reply)
  return { ...reply, records: sent.map((record) => encodeRecord(record, protocol)) }
}

/** @throws StateError `invalid_message` saying which field is wrong. */
export function decodeComparisonMessage(fields: Fields): ComparisonMessage {
  const { t } = fields
  switch (t) {
    case 'ask':
      return { t, n: integer(fields, 'n'), set: keySet(fields), nodes: nodes(fields) }
    case 'want':
      return {
        t,
        n: integer(fields, 'n'),
        set: keySet(fields),
        nodes: nodes(fields),
        after: integer(fields, 'after'),
        parts: integer(fields, 'parts'),
      }
    case 'have':
      return { t, n: integer(fields, 'n'), hashes: hashes(fields, 'hashes') }
    case 'taken':
      return { t, n: integer(fields, 'n'), part: integer(fields, 'part') }
    default:
      throw invalid('t', t)
  }
}

/** @throws StateError `invalid_message` saying which field is wrong. */
export function decodeComparisonReply(fields: Fields): ComparisonReply {
  const { t } = fields
  switch (t) {
    case 'digests':
      return {
        t,
        n: integer(fields, 'n'),
        head: integer(fields, 'head'),
        horizon: stamp(fields.horizon, 'horizon'),
        digests: list(fields, 'digests', MAX_NODES).map(digest),
      }
    case 'found': {
      const found = records(fields)
      const fresh = integer(fields, 'fresh')
      if (fresh > found.length) throw invalid('fresh', fresh)
      return {
        t,
        n: integer(fields, 'n'),
        part: integer(fields, 'part'),
        head: integer(fields, 'head'),
        records: found,
        ...wholePlaces(fields, found.length),
        fresh,
        lacks: hashes(fields, 'lacks'),
        last: fields.last === true,
      }
    }
    default:
      throw invalid('t', t)
  }
}

function keySet(fields: Fields): KeySet {
  const { set } = fields
  if (typeof set !== 'object' || set === null) throw invalid('set', set)
  const { path } = set as Fields
  return {
    path: scope(path),
    except: list(set as Fields, 'except', MAX_EXCEPTIONS).map(scope),
  }
}

function nodes(fields: Fields): string[] {
  return list(fields, 'nodes', MAX_NODES).map((node) => {
    if (typeof node !== 'string' || !/^[0-9a-f]{0,3}$/.test(node)) throw invalid('nodes', node)
    return node
  })
}

function hashes(fields: Fields, name: string): string {
  const value = fields[name]
  if (
    typeof value !== 'string' ||
    value.length > MAX_HASHES * HASH_DIGITS ||
    value.length % HASH_DIGITS !== 0 ||
    !/^[0-9a-f]*$/.test(value)
  ) {
    throw invalid(name, value)
  }
  return value
}

function digest(value: unknown): Digest {
  const decoded = typeof value === 'string' ? decodeDigest(value) : undefined
  if (decoded === undefined) throw invalid('digests', value)
  return decoded
}
