/** Which entries of a list are wanted: order, number, and a span of time on `created`. */
import type { Entry } from '../../core/data/entry.ts'
import { StateError } from '../../core/errors.ts'

/** Stamps are nanoseconds since the Unix epoch, at most this. */
export const MAX_STAMP = 0x7fff_ffff_ffff_ffffn

export interface ListRange {
  /** By `created`. `newest` (default) first, or `oldest` first. */
  readonly order?: 'newest' | 'oldest' | undefined
  /** At most this many entries, the first ones in `order`; an integer from 1. Default: all. */
  readonly limit?: number | undefined
  /** Only entries with `created` from here on, nanoseconds. Default: from the first. */
  readonly from?: bigint | undefined
  /** Only entries with `created` up to and including this, nanoseconds. Default: to the last. */
  readonly to?: bigint | undefined
}

/** A range whose members are there or not, never undefined. */
export type DefinedRange = { readonly [Name in keyof ListRange]?: NonNullable<ListRange[Name]> }

/** @throws StateError `invalid_option` for a range or limit that can not be meant. */
export function assertRange({ order, limit, from, to }: ListRange): void {
  if (order !== undefined && order !== 'newest' && order !== 'oldest') {
    throw invalid(`order must be newest or oldest, not ${String(order)}`)
  }
  if (limit !== undefined && !(Number.isSafeInteger(limit) && limit >= 1)) {
    throw invalid(`invalid limit, it must be an integer from 1, not ${String(limit)}`)
  }
  assertSpan(from, to)
}

/** @throws StateError `invalid_option` unless both are stamps, and the span is none that can not be. */
export function assertSpan(from: bigint | undefined, to: bigint | undefined): void {
  assertStamp('from', from)
  assertStamp('to', to)
  if (from !== undefined && to !== undefined && to < from) {
    throw invalid(`invalid range, to (${to}) must not be less than from (${from})`)
  }
}

/** The range without members that are undefined, as the store takes it. */
export function definedRange({ order, limit, from, to }: ListRange): DefinedRange {
  return {
    ...(order === undefined ? {} : { order }),
    ...(limit === undefined ? {} : { limit }),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
  }
}

/** Whether the entry lies within the span of time. */
export function isWithin({ created }: Entry, { from, to }: ListRange): boolean {
  return (from === undefined || created >= from) && (to === undefined || created <= to)
}

/** What of `entries`, which are in the order asked for, is wanted. */
export function cut(entries: readonly Entry[], range: ListRange): readonly Entry[] {
  const { limit, from, to } = range
  const within =
    from === undefined && to === undefined
      ? entries
      : entries.filter((entry) => isWithin(entry, range))
  return limit === undefined ? within : within.slice(0, limit)
}

function assertStamp(name: string, stamp: bigint | undefined): void {
  if (stamp === undefined) return
  if (typeof stamp === 'bigint' && stamp >= 0n && stamp <= MAX_STAMP) return
  throw invalid(
    `invalid range, ${name} must be nanoseconds from 0 to ${MAX_STAMP} as bigint, not ${String(stamp)}`,
  )
}

function invalid(text: string): StateError {
  return new StateError('invalid_option', `storage: ${text}`)
}
