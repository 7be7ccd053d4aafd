/** Why a record is not taken, and how that is said. What is checked is in `records/check.ts`. */
import { LATEST_STAMP } from '../data/clock.ts'
import type { ErrorCode } from '../errors.ts'

/** `text` begins with the field. */
export interface RecordFlaw {
  readonly code: ErrorCode
  readonly text: string
  /** The key as it came, where no record can have it. */
  readonly key?: string
}

export function flaw(code: ErrorCode, text: string): RecordFlaw {
  return { code, text }
}

export function keyFlaw(key: unknown): RecordFlaw {
  return flaw('invalid_key', `key ${shown(key)} is no key of an entry`)
}

export function originFlaw(origin: unknown): RecordFlaw {
  const text = `origin ${shown(origin)} is not 1 to 64 letters, digits, "_" and "-"`
  return flaw('invalid_option', text)
}

export function stampFlaw(stamp: unknown): RecordFlaw {
  const text = `stamp ${String(stamp).slice(0, 80)} is not nanoseconds from 0 to ${LATEST_STAMP}`
  return flaw('invalid_option', text)
}

export function fieldsFlaw(fields: unknown): RecordFlaw {
  return flaw('invalid_message', `fields ${shown(JSON.stringify(fields))} are none of a record`)
}

/** A value as it is shown to people: short, and on one line. */
export function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value))
  const short = text.length > 80 ? `${text.slice(0, 80)}…` : text
  return typeof value === 'string' ? JSON.stringify(short) : short
}
