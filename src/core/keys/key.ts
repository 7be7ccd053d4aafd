/**
 * Key and glob grammar. A key is a path of segments divided by `/`; a glob is a key text that
 * holds `*`. Allowed characters: `a-z A-Z 0-9 * / - _ .`; first and last: `a-z A-Z 0-9 *`;
 * never `//` or `**`. Keys are case-sensitive and have no dot-segment meaning. Globs, and keys that are written,
 * have at most 1,024 bytes and 32 segments; longer keys of earlier releases are read and deleted one by one.
 */
import { StateError } from '../errors.ts'
import { matchStars } from './glob-match.ts'

/** Longest glob, and key that is written, bytes: keys are ASCII, so characters too. */
export const MAX_KEY_BYTES = 1024
/** Most segments of a glob, and of a key that is written. */
export const MAX_KEY_SEGMENTS = 32

const KEY_SHAPE = /^(?:[A-Za-z0-9*]|[A-Za-z0-9*][A-Za-z0-9*/\-_.]*[A-Za-z0-9*])$/

export function isValidKey(key: string): boolean {
  return KEY_SHAPE.test(key) && !key.includes('//') && !key.includes('**')
}

/** True when `*` occurs anywhere. */
export function hasGlob(key: string): boolean {
  return key.includes('*')
}

/** True when the last segment is exactly `*`. */
export function isGlob(key: string): boolean {
  return key === '*' || key.endsWith('/*')
}

/**
 * Throws `invalid_key` unless `key` is a valid key, or a glob text within the limits of keys: every key that is
 * looked through is compared with it.
 */
export function assertKey(key: string): void {
  if (!isValidKey(key)) throw new StateError('invalid_key', 'ooo: key is not valid')
  const excess = globExcess(key)
  if (excess !== undefined) throw new StateError('invalid_key', `ooo: the glob ${excess}`)
}

/** What is too great in a glob, to go after its name; undefined for nothing, and for plain keys. */
export function globExcess(glob: string): string | undefined {
  return hasGlob(glob) ? keyExcess(glob) : undefined
}

/** Throws `invalid_glob` unless `key` has no `*`, or exactly one that is the very last character. */
export function assertWritableGlob(key: string): void {
  const first = key.indexOf('*')
  if (first === -1) return
  if (key.indexOf('*', first + 1) !== -1) {
    throw new StateError('invalid_glob', 'key: contains more than one glob pattern')
  }
  if (first !== key.length - 1) {
    throw new StateError('invalid_glob', 'key: glob pattern must be at the end of the path')
  }
}

/** What is too great in a key that is to be written, to go after its name; undefined for nothing. */
export function keyExcess(key: string): string | undefined {
  if (key.length > MAX_KEY_BYTES) return `has ${key.length} bytes, the limit is ${MAX_KEY_BYTES}`
  const segments = countSlashes(key) + 1
  if (segments <= MAX_KEY_SEGMENTS) return undefined
  return `has ${segments} segments, the limit is ${MAX_KEY_SEGMENTS}`
}

/** The directory of a key: everything up to and including the last `/`, or the empty text. */
export function directoryOf(key: string): string {
  return key.slice(0, key.lastIndexOf('/') + 1)
}

/**
 * Whether `key` is covered by `pattern`. Depth is exact: `*` never crosses a `/`. The rules are
 * those of Go's `filepath.Match` plus an equal number of `/`; a malformed pattern matches nothing.
 * The cost is in proportion to the two texts, except for paths with `?`, `[` or `\\`, which only the
 * owner of a server can register: pattern × key at most.
 */
export function matchKey(pattern: string, key: string): boolean {
  if (pattern === key) return true
  const star = pattern.indexOf('*')
  if (star === -1) return false
  if (star === pattern.length - 1 && pattern.charCodeAt(star - 1) === SLASH) {
    return key.startsWith(pattern.slice(0, star)) && key.indexOf('/', star) === -1
  }
  if (!SPECIAL.test(pattern)) return matchStars(pattern, key)
  return countSlashes(pattern) === countSlashes(key) && matchPath(pattern, key)
}

/** Whether two texts, either of which may be a glob, concern each other. */
export function keysOverlap(a: string, b: string): boolean {
  return matchKey(a, b) || matchKey(b, a)
}

/** The key a push to `glob` creates: its first `*` replaced by the stamp in lower-case hex. */
export function buildKey(glob: string, stamp: bigint): string {
  return glob.replace('*', stamp.toString(16))
}

/** The stamp in a generated index; 0n when the text is not a signed 64-bit hex number. */
export function decodeIndex(index: string): bigint {
  if (!/^[0-9a-fA-F]{1,16}$/.test(index)) return 0n
  const stamp = BigInt(`0x${index}`)
  return stamp <= 0x7fff_ffff_ffff_ffffn ? stamp : 0n
}

/** The text of a pattern before the first character that may stand for another. */
export function literalPrefix(pattern: string): string {
  const special = pattern.search(/[*?[\\]/)
  return special === -1 ? pattern : pattern.slice(0, special)
}

/** What only filter paths hold; never a key or a glob of a client. */
const SPECIAL = /[?[\\]/
const SLASH = 47
const STAR = 42
const QUESTION = 63
const OPEN_BRACKET = 91
const CLOSE_BRACKET = 93
const BACKSLASH = 92
const CARET = 94
const DASH = 45

function countSlashes(text: string): number {
  let count = 0
  for (let i = text.indexOf('/'); i !== -1; i = text.indexOf('/', i + 1)) count++
  return count
}

/**
 * Two-pointer wildcard match: only the last `*` is ever revisited, so the cost is at most
 * pattern × key and no pattern can make it explode.
 */
function matchPath(pattern: string, key: string): boolean {
  let p = 0
  let k = 0
  let resumeP = -1
  let resumeK = -1
  for (;;) {
    if (p < pattern.length && pattern.charCodeAt(p) === STAR) {
      resumeP = ++p
      resumeK = k
      continue
    }
    if (p === pattern.length && k === key.length) return true
    const next = k < key.length && p < pattern.length ? matchOne(pattern, p, key.charCodeAt(k)) : -1
    if (next === MALFORMED) return false
    if (next > 0) {
      p = next
      k++
      continue
    }
    if (resumeP === -1 || resumeK >= key.length || key.charCodeAt(resumeK) === SLASH) return false
    p = resumeP
    k = ++resumeK
  }
}

const MALFORMED = -2

/** The pattern position after one matched character, -1 for no match, MALFORMED for bad syntax. */
function matchOne(pattern: string, p: number, char: number): number {
  const code = pattern.charCodeAt(p)
  if (code === QUESTION) return char === SLASH ? -1 : p + 1
  if (code === OPEN_BRACKET) return matchClass(pattern, p + 1, char)
  if (code !== BACKSLASH) return code === char ? p + 1 : -1
  if (p + 1 === pattern.length) return MALFORMED
  return pattern.charCodeAt(p + 1) === char ? p + 2 : -1
}

function matchClass(pattern: string, start: number, char: number): number {
  let p = start
  const negated = pattern.charCodeAt(p) === CARET
  if (negated) p++
  let matched = false
  for (let ranges = 0; ; ranges++) {
    if (p >= pattern.length) return MALFORMED
    if (pattern.charCodeAt(p) === CLOSE_BRACKET && ranges > 0) break
    const low = classChar(pattern, p)
    if (low === undefined) return MALFORMED
    p = low.next
    let high = low
    if (pattern.charCodeAt(p) === DASH) {
      const end = classChar(pattern, p + 1)
      if (end === undefined) return MALFORMED
      high = end
      p = end.next
    }
    if (low.code <= char && char <= high.code) matched = true
  }
  return matched !== negated ? p + 1 : -1
}

function classChar(pattern: string, at: number): { code: number; next: number } | undefined {
  const escaped = pattern.charCodeAt(at) === BACKSLASH
  const position = escaped ? at + 1 : at
  if (position >= pattern.length) return undefined
  const code = pattern.charCodeAt(position)
  if (!escaped && (code === DASH || code === CLOSE_BRACKET)) return undefined
  return { code, next: position + 1 }
}
