/**
 * What a leader remembers of the pushes it has merged: per follower, the greatest version of each node's
 * writes among them. A follower pushes its writes in the order in which they were made (see `withLost` in
 * `superseded-writes.ts`), so a write at or below the mark has been merged before: it comes a second time, because
 * its answer was lost, unless the follower told that it would come out of turn. Deletes of one operation have one version; they are made, and pushed, by key.
 *
 * Kept in a fixed number of meta rows. Two followers that fall into one row share it: what is known of
 * the one that was there becomes a floor, below which nothing is called new. So a write may pass for a
 * repetition, and never the other way round.
 *
 * A row's value: `<follower> <floor> <origin>=<version>,… <key>,… <overtaken>,…`, with a key for each origin: the
 * greatest of the deletes with that version; an empty one for a write, or where it is not known. `<overtaken>` names
 * what is below a mark and has not come yet (see `core/data/overtaken.ts`).
 */
import { hashText } from '../../core/data/digest.ts'
import type { StoredRecord } from '../../core/data/entry.ts'
import { versionOf } from '../../core/data/entry.ts'
import type { ChangeName } from '../../core/data/marks.ts'
import { MAX_OVERTAKEN, overtakenName, parseOvertaken } from '../../core/data/overtaken.ts'

const ROWS = Array.from({ length: 1024 }, (_, i) => `pushed-${i}`)
/** Origins kept apart in one row. */
const MAX_ORIGINS = 64

/** The meta row in which a follower's marks are. */
export function mergedVersionsRow(follower: string): string {
  return ROWS[hashText(follower).low % ROWS.length] as string
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
  for (const row of ROWS) {
    const list = meta(row)?.split(' ')[2] ?? ''
    for (const part of list === '' ? [] : list.split(',')) {
      const [origin = '', latest = '0'] = part.split('=')
      if (BigInt(latest) >= version) found.push({ origin, version: BigInt(latest) })
    }
  }
  return found
}

/** Names of what followers have told they will push after later changes, and have not yet. */
export function overtakenByFollowers(meta: (name: string) => string | undefined): string[] {
  return ROWS.flatMap((row) => {
    const names = meta(row)?.split(' ')[4] ?? ''
    return names === '' ? [] : names.split(',')
  })
}

interface Mark {
  readonly version: bigint
  /** The greatest key of the deletes with this version; empty: there is nothing more with this version. */
  readonly key: string
}

/** The marks of one follower, as a row has them; change in place. */
export class MergedVersions {
  readonly #follower: string
  #floor = 0n
  readonly #marks = new Map<string, Mark>()
  readonly #overtaken = new Set<string>()

  /**
   * @param row what `encode` gave; undefined for none
   * @param since stamp before which nothing is called new
   */
  constructor(follower: string, row: string | undefined, since: bigint) {
    this.#follower = follower
    this.#floor = since
    if (row === undefined) return
    const [owner, floor = '0', list = '', names = '', overtaken = ''] = row.split(' ')
    this.#raiseFloor(BigInt(floor))
    const keys = names.split(',')
    for (const [i, part] of (list === '' ? [] : list.split(',')).entries()) {
      const [origin = '', text = '0'] = part.split('=')
      const version = BigInt(text)
      if (owner === follower) this.#marks.set(origin, { version, key: keys[i] ?? '' })
      else this.#raiseFloor(version)
    }
    if (owner !== follower || overtaken === '') return
    for (const name of overtaken.split(',')) this.#overtaken.add(name)
  }

  /** Takes the names of what comes later, though it was made before. Names of what came before change nothing. */
  overtake(names: readonly string[]): void {
    for (const name of names) {
      if (!this.#isPassed(parseOvertaken(name))) this.#overtaken.add(name)
    }
    for (const oldest of this.#overtaken) {
      if (this.#overtaken.size <= MAX_OVERTAKEN) return
      this.#overtaken.delete(oldest)
    }
  }

  /** Whether this write was merged before, as far as can be told. */
  covers(record: StoredRecord): boolean {
    if (this.#overtaken.has(overtakenName(record))) return false
    const { origin, kind, key } = record
    return this.#isPassed({
      ...{ origin, version: versionOf(record) },
      key: kind === 'tombstone' ? key : '',
    })
  }

  #isPassed({ origin, version, key }: Mark & { readonly origin: string }): boolean {
    if (version <= this.#floor) return true
    const mark = this.#marks.get(origin)
    if (mark === undefined) return false
    if (version !== mark.version) return version < mark.version
    return mark.key === '' || key <= mark.key
  }

  raise(record: StoredRecord): void {
    this.#overtaken.delete(overtakenName(record))
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
    const overtaken = [...this.#overtaken].join(',')
    return `${this.#follower} ${this.#floor} ${list.join(',')} ${keys.join(',')} ${overtaken}`
  }

  #raiseFloor(version: bigint): void {
    if (version > this.#floor) this.#floor = version
  }
}
