/**
 * One row of the configuration table: a value that a flag, an environment variable or a field of
 * the config file may give; and the kinds of value there are.
 */
import { postgresTarget } from '../../../postgres/connection/options.ts'
import { CREDENTIAL_RULE, isCredential } from '../../../src/core/credential.ts'
import { type HostPort, parseHostPort } from '../../../src/core/host-port.ts'
import { isGlob, isValidKey } from '../../../src/core/keys/key.ts'
import type { Durability } from '../../../src/core/ports/storage-adapter.ts'
import { LOG_LEVELS, type LogLevel } from '../../terminal/console-logger.ts'

/** How a text becomes a value. */
export interface Kind<T> {
  /** Stands for the value in help; undefined for a switch, which needs no value. */
  readonly placeholder: string | undefined
  /** What is allowed, as the end of the sentence "give …". */
  readonly allowed: string
  /** The value of one text, or undefined when the text is not allowed. */
  parse(text: string): T | undefined
  /** Present where the flag may be repeated: joins the values of all texts. */
  join?(values: readonly T[]): T
}

export interface Setting<T> {
  /** The flag without its dashes. */
  readonly flag: string
  /** The field in a config file. Default: the flag. */
  readonly field?: string
  /** Environment variable; undefined when the setting belongs on the command line only. */
  readonly env: string | undefined
  readonly kind: Kind<T>
  /** Value when nothing is given. */
  readonly fallback: T
  /** What help says about the default, where the fallback itself does not tell. */
  readonly fallbackText?: string
  /** One line of help. */
  readonly meaning: string
  /** True when the value must never be printed. */
  readonly secret?: boolean
}

/** The settings of one command, by the name that code uses. */
export type SettingsTable<T> = { readonly [K in keyof T]: Setting<T[K]> }

/** What a source gives for a setting. */
export interface Found {
  /** As the user knows it: `--port`, `OOO_PORT`, … */
  readonly source: string
  readonly texts: readonly string[]
}

export const TEXT: Kind<string> = {
  placeholder: 'TEXT',
  allowed: 'a text that is not empty',
  parse: (text) => (text.trim() === '' ? undefined : text),
}

/** A secret that is shown to other nodes in a header. */
export const CREDENTIAL: Kind<string> = {
  placeholder: 'TEXT',
  allowed: CREDENTIAL_RULE,
  parse: (text) => (isCredential(text) ? text : undefined),
}

/** A text under another name in help. */
export function named<T>(kind: Kind<T>, placeholder: string): Kind<T> {
  return { ...kind, placeholder }
}

export const SWITCH: Kind<boolean> = {
  placeholder: undefined,
  allowed: 'true or false',
  parse: (text) => {
    if (text === 'true' || text === '1') return true
    return text === 'false' || text === '0' ? false : undefined
  },
}

/** A whole number within bounds, both included. */
export function wholeNumber(least: number, most: number, placeholder = 'N'): Kind<number> {
  return {
    placeholder,
    allowed: `a whole number from ${least} to ${most}`,
    parse: (text) => {
      const number = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
      return number >= least && number <= most ? number : undefined
    },
  }
}

/** One word out of a list. */
export function oneOf<T extends string>(words: readonly T[]): Kind<T> {
  return {
    placeholder: 'WORD',
    allowed: `one of ${words.join(', ')}`,
    parse: (text) => words.find((word) => word === text),
  }
}

export const LOG_LEVEL: Kind<LogLevel> = oneOf(LOG_LEVELS)

export const DURABILITY: Kind<Durability | undefined> = oneOf<Durability>([
  'memory',
  'process',
  'disk',
])

/** Bytes that a cache may take, or everything. */
export type CacheSize = number | 'all'

const UNITS: Readonly<Record<string, number>> = { '': 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 }

export const CACHE_SIZE: Kind<CacheSize> = {
  placeholder: 'SIZE',
  allowed: 'all, or a number of bytes such as 256MiB, 512KiB, 2GiB or 1048576',
  parse: (text) => {
    if (text === 'all') return text
    const [, digits, unit = ''] = /^(\d{1,15})([KMG]iB)?$/.exec(text) ?? []
    const bytes = Number(digits) * (UNITS[unit] ?? Number.NaN)
    return Number.isSafeInteger(bytes) ? bytes : undefined
  },
}

const UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}
/** Ten years. */
const MAX_DURATION_MS = 315_360_000_000

/** Milliseconds. */
export const DURATION: Kind<number> = {
  placeholder: 'TIME',
  allowed: '0 or a time up to ten years such as 500ms, 60s, 15m, 12h or 7d',
  parse: (text) => {
    if (text === '0') return 0
    const [, digits, unit = ''] = /^(\d{1,12})(ms|s|m|h|d)$/.exec(text) ?? []
    const ms = Number(digits) * (UNITS_MS[unit] ?? Number.NaN)
    return ms <= MAX_DURATION_MS ? ms : undefined
  },
}

/** Key paths; may be repeated, and one text may hold several divided by commas. */
export const KEYS: Kind<readonly string[]> = {
  placeholder: 'PATH',
  allowed: 'a key such as settings or a glob such as items/* (letters, digits, / - _ . and *)',
  parse: (text) => {
    const keys = text.split(',').map((key) => key.trim())
    return keys.every(isValidKey) ? keys : undefined
  },
  join: (values) => [...new Set(values.flat())],
}

export const LIST_GLOB: Kind<string> = {
  placeholder: 'GLOB',
  allowed: 'a glob such as nodes/*',
  parse: (text) => (isValidKey(text) && isGlob(text) ? text : undefined),
}

/** An HTTP origin; `host:port` is short for `http://host:port`. Normalised, without a slash. */
export const SERVER_URL: Kind<string> = {
  placeholder: 'URL',
  allowed: 'a server such as http://10.0.0.1:8800 or 10.0.0.1:8800, without a path',
  parse: parseServerUrl,
}

/** A database; it may hold a password. */
export const POSTGRES_URL: Kind<string> = {
  placeholder: 'URL',
  allowed: 'a database such as postgres://user:password@10.0.0.1:5432/ooo',
  parse: (text) => {
    try {
      postgresTarget(text)
      return text
    } catch {
      return undefined
    }
  },
}

export const HOST_PORT: Kind<HostPort | undefined> = {
  placeholder: 'HOST:PORT',
  allowed: 'a host and a port such as 10.0.0.2:8800 or [fd00::2]:8800',
  parse: parseHostPort,
}

/** The origin in a text, or undefined when it is not an HTTP origin. */
export function parseServerUrl(text: string): string | undefined {
  const full = text.includes('://') ? text : `http://${text}`
  if (/\s/.test(full) || !URL.canParse(full)) return undefined
  const url = new URL(full)
  const bare = url.pathname === '/' && url.search === '' && url.hash === '' && url.username === ''
  return /^https?:$/.test(url.protocol) && bare ? url.origin : undefined
}
