/** Values and stamps as people read them. Pure. */
import { encodeJson, JsonNumber } from '../../src/client/index.ts'

export type TokenKind = 'name' | 'text' | 'number' | 'literal' | 'plain'

/** A piece of printed JSON, with what it is. */
export interface Token {
  readonly kind: TokenKind
  readonly text: string
}

/** Indented JSON in pieces; every digit as it was received. */
export function jsonTokens(value: unknown, indent = ''): Token[] {
  if (typeof value !== 'object' || value === null || value instanceof JsonNumber) {
    return [{ kind: scalarKind(value), text: encodeJson(value) }]
  }
  const isList = Array.isArray(value)
  const [open, close] = isList ? ['[', ']'] : ['{', '}']
  const members = Object.entries(value)
  if (members.length === 0) return [{ kind: 'plain', text: open + close }]
  const inner = `${indent}  `
  const tokens: Token[] = [{ kind: 'plain', text: open }]
  members.forEach(([name, member], i) => {
    tokens.push({ kind: 'plain', text: `${i === 0 ? '' : ','}\n${inner}` })
    if (!isList) {
      tokens.push({ kind: 'name', text: JSON.stringify(name) }, { kind: 'plain', text: ': ' })
    }
    for (const token of jsonTokens(member, inner)) tokens.push(token)
  })
  tokens.push({ kind: 'plain', text: `\n${indent}${close}` })
  return tokens
}

/** Indented JSON; every digit as it was received. */
export function prettyJson(value: unknown): string {
  return jsonTokens(value)
    .map((token) => token.text)
    .join('')
}

/** Local date and time of a stamp in nanoseconds since the Unix epoch; a dash for 0. */
export function localTime(stampNs: bigint, locale?: string): string {
  if (stampNs === 0n) return '–'
  const date = dateOf(stampNs)
  if (date === undefined) return stampNs.toString()
  return date.toLocaleString(locale, { dateStyle: 'medium', timeStyle: 'medium' })
}

/** Local time of day, for the clock. */
export function localClock(stampNs: bigint, locale?: string): string {
  return dateOf(stampNs)?.toLocaleTimeString(locale) ?? '–'
}

/** UTC in full, down to the nanosecond: `2026-01-01T00:00:00.000000001Z`. */
export function exactTime(stampNs: bigint): string {
  const date = dateOf(stampNs)
  if (date === undefined) return `${stampNs} ns`
  const fraction = (stampNs % 1_000_000_000n).toString().padStart(9, '0')
  return `${date.toISOString().slice(0, 19)}.${fraction}Z`
}

/** Undefined for what no `Date` can hold. */
function dateOf(stampNs: bigint): Date | undefined {
  const date = new Date(Number(stampNs / 1_000_000n))
  return Number.isNaN(date.getTime()) || stampNs < 0n ? undefined : date
}

function scalarKind(value: unknown): TokenKind {
  if (typeof value === 'string') return 'text'
  return value === null || typeof value === 'boolean' ? 'literal' : 'number'
}
