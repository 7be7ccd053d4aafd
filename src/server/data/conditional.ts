/**
 * Conditional requests (RFC 9110 section 13) on plain keys. The entity tag of an entry is its version,
 * `"<nanoseconds>"`: strong, so that a write can name exactly the state it replaces.
 */
import type { IncomingMessage } from 'node:http'
import { type Entry, versionOf } from '../../core/data/entry.ts'
import { assertPrecondition, type Precondition } from '../../core/data/precondition.ts'
import { StateError } from '../../core/errors.ts'

/** What a conditional header lists; tags that no entry can have are left out. */
type TagList = '*' | readonly bigint[]

export function etagOf(version: bigint): string {
  return `"${version}"`
}

/**
 * The condition that `If-Match` and `If-None-Match` put on a write; both count. Weak tags never equal
 * in `If-Match` (section 13.1.1).
 * @throws StateError `invalid_message` for a malformed header: dropping a condition could cost data.
 */
export function writePrecondition(request: IncomingMessage): Precondition | undefined {
  const conditions: Precondition[] = []
  const match = request.headers['if-match']
  if (match !== undefined) {
    conditions.push(matching(required('If-Match', match, 'strong')))
  }
  const noneMatch = request.headers['if-none-match']
  if (noneMatch !== undefined) {
    conditions.push(notMatching(required('If-None-Match', noneMatch, 'weak')))
  }
  return conditions.length < 2 ? conditions[0] : { kind: 'all', conditions }
}

/**
 * Checks the `If-Match` of a read (section 13.1.1); a malformed header counts for nothing.
 * @throws StateError `precondition_failed`.
 */
export function assertReadCondition(request: IncomingMessage, entry: Entry): void {
  const header = request.headers['if-match']
  const tags = header === undefined ? undefined : parseTags(header, 'strong')
  if (tags !== undefined) assertPrecondition(matching(tags), entry.key, entry)
}

/** Whether the client has this entry already, by `If-None-Match`. A malformed header says no. */
export function isUnchanged(request: IncomingMessage, entry: Entry): boolean {
  const header = request.headers['if-none-match']
  const tags = header === undefined ? undefined : parseTags(header, 'weak')
  return tags === '*' || tags?.includes(versionOf(entry)) === true
}

/** The condition of a list of tags, one of which must be the current version. */
export function matching(tags: TagList): Precondition {
  return tags === '*' ? { kind: 'present' } : { kind: 'any-of', versions: tags }
}

/** The condition of a list of tags, none of which may be the current version. */
export function notMatching(tags: TagList): Precondition {
  return tags === '*' ? { kind: 'absent' } : { kind: 'none-of', versions: tags }
}

function required(name: string, value: string, comparison: Comparison): TagList {
  const tags = parseTags(value, comparison)
  if (tags !== undefined) return tags
  throw new StateError(
    'invalid_message',
    `ooo: ${name} must be * or a list of quoted versions, not ${value}`,
  )
}

/** In a weak comparison `W/"1"` equals `"1"`; in a strong one it equals nothing. */
type Comparison = 'weak' | 'strong'

/** One member of a list, which may be empty, and the comma or end after it (section 5.6.1). */
const MEMBER = /[ \t]*(?:(W\/)?"([!#-~\x80-\xff]*)")?[ \t]*(?:,|$)/y

/** The tags of a header; undefined when it is malformed or holds none. */
function parseTags(value: string, comparison: Comparison): TagList | undefined {
  if (value.trim() === '*') return '*'
  const versions: bigint[] = []
  let tags = 0
  for (let at = 0; at < value.length; ) {
    MEMBER.lastIndex = at
    const member = MEMBER.exec(value)
    if (member === null) return undefined
    at = MEMBER.lastIndex
    const [, weak, tag] = member
    if (tag === undefined) continue
    tags++
    const isOurs = /^(?:0|[1-9]\d{0,19})$/.test(tag)
    if (isOurs && (weak === undefined || comparison === 'weak')) versions.push(BigInt(tag))
  }
  return tags === 0 ? undefined : versions
}
