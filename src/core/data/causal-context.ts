/**
 * What the maker of an unacknowledged change had seen of its key: for each node whose writes of the
 * key this node held since the leader last acknowledged it, the version of the latest. A leader that
 * holds another record, one not covered by this, has a write that the change did not know of.
 *
 * It says nothing of what is acknowledged already, so it stays as short as the list of nodes that
 * wrote the key between two acknowledgements.
 *
 * As text: `<version>@<origin>` joined by commas; `-` when nothing was there.
 */
import type { StoredRecord } from './entry.ts'
import { versionOf, wasOf } from './entry.ts'

/** Nothing was there. */
export const EMPTY_CONTEXT = '-'

/** Nodes that one change keeps track of; one that saw more is not compared. */
const MAX_ORIGINS = 16

const TEXT = /^(?:-|\d{1,19}@[\w-]{1,64}(?:,\d{1,19}@[\w-]{1,64}){0,15})$/

/** The state of a key that a change takes the place of. */
export interface Replaced {
  readonly record: StoredRecord
  /** The leader that has not acknowledged the record. */
  readonly pendingFor: string | undefined
  /** Of an unacknowledged record: what its own maker had seen. */
  readonly causalContext?: string | undefined
}

/** Whether `text` is one of this form: for what comes from other nodes. */
export function isCausalContext(text: unknown): text is string {
  return typeof text === 'string' && TEXT.test(text)
}

/** What the maker of a change has seen that takes the place of `before`; undefined when not known. */
export function contextFrom(before: Replaced | undefined): string | undefined {
  if (before === undefined) return EMPTY_CONTEXT
  const { record, pendingFor, causalContext } = before
  if (pendingFor === undefined) return `${versionOf(record)}@${record.origin}`
  if (causalContext === undefined) return undefined
  const versions = parseContext(causalContext)
  raise(versions, record.origin, versionOf(record))
  return versions.size > MAX_ORIGINS ? undefined : encodeContext(versions)
}

/**
 * Whether one who has seen this has seen `record`, also under a stamp that it had before, or a later write
 * of the node that made it.
 */
export function contextCovers(causalContext: string, record: StoredRecord): boolean {
  const versions = parseContext(causalContext)
  const covers = (origin: string, version: bigint): boolean => {
    const latest = versions.get(origin)
    return latest !== undefined && version <= latest
  }
  if (covers(record.origin, versionOf(record))) return true
  return [...parseContext(wasOf(record) ?? EMPTY_CONTEXT)].some(([origin, version]) =>
    covers(origin, version),
  )
}

/** Whether an unacknowledged change was put, as it is, in its own place: it has a later one than it was made at. */
export function contextCoversItself(
  causalContext: string | undefined,
  record: StoredRecord,
): boolean {
  if (causalContext === undefined) return false
  const latest = parseContext(causalContext).get(record.origin)
  return latest !== undefined && versionOf(record) <= latest
}

/** Versions by origin. */
export function parseContext(causalContext: string): Map<string, bigint> {
  const versions = new Map<string, bigint>()
  if (causalContext === EMPTY_CONTEXT) return versions
  for (const part of causalContext.split(',')) {
    const at = part.indexOf('@')
    raise(versions, part.slice(at + 1), BigInt(part.slice(0, at)))
  }
  return versions
}

function encodeContext(versions: ReadonlyMap<string, bigint>): string {
  return [...versions].map(([origin, version]) => `${version}@${origin}`).join(',')
}

function raise(versions: Map<string, bigint>, origin: string, version: bigint): void {
  const known = versions.get(origin)
  if (known === undefined || known < version) versions.set(origin, version)
}
