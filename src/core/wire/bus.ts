/**
 * How a leader and its followers use a bus beside their stream. The leader publishes what it commits,
 * once for all; the stream of a follower that takes it from there carries no rows. Each message
 * names the part of the log it stands for, so that what is missing is seen and asked for.
 *
 * ```
 * follower                         leader
 *    │ hello (bus) ─────────────────▶ │
 *    │ ◀───── welcome (channel, key)  │
 *    │ ◀─ ─ ─ ─ ─ ─ batch (from, to)  │   on the bus, to all
 *    │ feed (after = until) ────────▶ │   the bus will do
 *    │ feed (after, until) ─────────▶ │   these are missing
 *    │ feed (after, null) ──────────▶ │   the bus will not do
 *    │ ◀──────────── rows … (of feed) │
 * ```
 */
import type { StoredRecord } from '../data/entry.ts'
import { type Fields, identifier, integer, invalid, parseFields, string } from './fields.ts'
import { encodeRecord, records } from './records.ts'

/** Where a follower gets rows from, from now on. Replaces the request before. */
export interface FeedRequest {
  readonly t: 'feed'
  /** Number of the request on this connection, from 1; what is sent because of it says so. */
  readonly n: number
  /** The follower has, or is about to store, everything up to here. */
  readonly after: number
  /** Rows up to here are to be sent; null: all that ever come; the same as `after`: none. */
  readonly until: number | null
}

/** How to listen to a leader on the bus. */
export interface BusInvitation {
  readonly channel: string
  /** Messages are sealed with it; known to those who were admitted to the stream only. */
  readonly key: string
}

/** A part of a leader's log, as published. */
export interface Batch {
  readonly epoch: string
  /** The part begins after this seq, and ends with `to`; the same: nothing is new. */
  readonly from: number
  readonly to: number
  /** The newest record of each key that changed in it; undefined: too much for the bus. */
  readonly records: readonly StoredRecord[] | undefined
  /** Who holds everything up to here is to say so at once. */
  readonly ack?: number
}

/** Only followers that speak the newest protocol are invited to the bus. */
export function encodeBatch({ records: rows, ...fields }: Batch): string {
  const encoded = rows?.map((record) => encodeRecord(record, BUS_PROTOCOL))
  return JSON.stringify(encoded === undefined ? fields : { ...fields, records: encoded })
}

/** The stream protocol whose records travel on the bus. */
export const BUS_PROTOCOL = 3

/** @throws StateError `invalid_message` saying which field is wrong, as below. */
export function decodeBatch(text: string): Batch {
  const fields = parseFields(text)
  const from = integer(fields, 'from')
  const to = integer(fields, 'to')
  if (to < from) throw invalid('to', to)
  return {
    epoch: identifier(fields.epoch, 'epoch'),
    from,
    to,
    records: fields.records === undefined ? undefined : records(fields),
    ...(fields.ack === undefined ? {} : { ack: integer(fields, 'ack') }),
  }
}

export function decodeFeedRequest(fields: Fields): FeedRequest {
  const after = integer(fields, 'after')
  const until = fields.until === null ? null : integer(fields, 'until')
  if (until !== null && until < after) throw invalid('until', until)
  return { t: 'feed', n: integer(fields, 'n'), after, until }
}

/** The field `bus` of a welcome. */
export function invitation(value: unknown): BusInvitation {
  if (typeof value !== 'object' || value === null) throw invalid('bus', value)
  const fields = value as Fields
  return { channel: string(fields, 'channel', 300), key: string(fields, 'key', 300) }
}
