/**
 * What a leader remembers of the pushes it has merged: per follower, the greatest version of each node's
 * writes among them. A follower pushes its writes in the order in which they were made (see `withLost` in
 * `lost-rows.ts`), so a write at or below the mark has been merged before: it comes a second time, because
 * its answer was lost. Deletes of one operation have one version; they are made, and pushed, by key.
 *
 * Kept in a fixed number of meta rows. Two followers that fall into one row share it: what is known of
 * the one that was there becomes a floor, below which nothing is called new. So a write may pass for a
 * repetition, and never the other way round.
 *
 * A row's value: `<follower> <floor> <origin>=<version>,… <key>,…`, with a key for each origin: the greatest
 * of the deletes with that version; an empty one for a write, or where it is not known.
 */
import { hashText } from '../core/digest.ts'
import type { StoredRecord } from '../core/entry.ts'
import { versionOf } from '../core/entry.ts'
import type { ChangeName } from '../core/marks.ts'

const ROWS = 1024
/** Origins kept apart in one row. */
const MAX_ORIGINS = 64

/** The meta row in which a follower's marks are. */
export function marksRow(follower: string): string {
  return `pushed-${hashText(follower).low % ROWS}`
}

/**
 * Of each node whose writes followers pushed, the latest that is not before `version`: whatever it wrote up
 * to there has been merged here, and is older than what a key holds now.
 */
export function pushedSince(
  meta: (name: string) => string | undefined,
  version: bigint,
): ChangeName[] {
  const found: ChangeName[] = []
  for (let i = 0; i < ROWS; i++) {
    const list = meta(`pushed-${i}`)?.split(' ')[2] ?? ''
    for (const part of list === '' ? [] : list.split(',')) {
      const [origin = '', latest = '0'] = part.split('=')
      if (BigInt(latest) >= version) found.push({ origin, version: BigInt(latest) })
    }
  }
  return found
}

interface Mark {
  readonly version: bigint
  /** The greatest key of the deletes with this version; empty: there is nothing more with this version. */
  readonly key: string
}

/** The marks of one follower, as a row has them; change in place. */
export class PushedMarks {
  readonly #follower: string
  #floor = 0n
  readonly #marks = new Map<string, Mark>()

  /**
   * @param row what `encode` gave; undefined for none
   * @param since stamp before which nothing is called new
   */
  constructor(follower: string, row: string | undefined, since: bigint) {
    this.#follower = follower
    this.#floor = since
    if (row === undefined) return
    const [owner, floor = '0', list = '', names = ''] = row.split(' ')
    this.#raiseFloor(BigInt(floor))
    const keys = names.split(',')
    for (const [i, part] of (list === '' ? [] : list.split(',')).entries()) {
      const [origin = '', text = '0'] = part.split('=')
      const version = BigInt(text)
      if (owner === follower) this.#marks.set(origin, { version, key: keys[i] ?? '' })
      else this.#raiseFloor(version)
    }
  }

  /** Whether this write was merged before, as far as can be told. */
  covers(record: StoredRecord): boolean {
    const version = versionOf(record)
    if (version <= this.#floor) return true
    const mark = this.#marks.get(record.origin)
    return mark !== undefined && isUpTo(record, mark)
  }

  raise(record: StoredRecord): void {
    if (this.covers(record)) return
    const { origin, kind, key } = record
    this.#marks.delete(origin)
    this.#marks.set(origin, { version: versionOf(record), key: kind === 'tombstone' ? key : '' })
    for (const [oldest, { version }] of this.#marks) {
      if (this.#marks.size <= MAX_ORIGINS) break
      this.#marks.delete(oldest)
      this.#raiseFloor(version)
    }
  }

  encode(): string {
    const marks = [...this.#marks]
    const list = marks.map(([origin, { version }]) => `${origin}=${version}`)
    const keys = marks.map(([, { key }]) => key)
    return `${this.#follower} ${this.#floor} ${list.join(',')} ${keys.join(',')}`
  }

  #raiseFloor(version: bigint): void {
    if (version > this.#floor) this.#floor = version
  }
}

function isUpTo(record: StoredRecord, mark: Mark): boolean {
  const version = versionOf(record)
  if (version !== mark.version) return version < mark.version
  return mark.key === '' || record.key <= mark.key
}
