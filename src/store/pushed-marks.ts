/**
 * What a leader remembers of the pushes it has merged: per follower, the greatest version of each node's
 * writes among them. A follower pushes its writes in the order in which they were made, so a write
 * at or below the mark has been merged before: it comes a second time, because its answer was lost.
 *
 * Kept in a fixed number of meta rows. Two followers that fall into one row share it: what is known of
 * the one that was there becomes a floor, below which nothing is called new. So a write may pass for a
 * repetition, and never the other way round.
 *
 * A row's value: `<follower> <floor> <origin>=<version>,…`.
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

/** The marks of one follower, as a row has them; change in place. */
export class PushedMarks {
  readonly #follower: string
  #floor = 0n
  readonly #marks = new Map<string, bigint>()

  /**
   * @param row what `encode` gave; undefined for none
   * @param since stamp before which nothing is called new
   */
  constructor(follower: string, row: string | undefined, since: bigint) {
    this.#follower = follower
    this.#floor = since
    if (row === undefined) return
    const [owner, floor = '0', list = ''] = row.split(' ')
    this.#raiseFloor(BigInt(floor))
    for (const part of list === '' ? [] : list.split(',')) {
      const [origin = '', version = '0'] = part.split('=')
      if (owner === follower) this.#marks.set(origin, BigInt(version))
      else this.#raiseFloor(BigInt(version))
    }
  }

  /** Whether this write was merged before, as far as can be told. */
  covers(record: StoredRecord): boolean {
    const mark = this.#marks.get(record.origin) ?? 0n
    return versionOf(record) <= (mark > this.#floor ? mark : this.#floor)
  }

  raise(origin: string, version: bigint): void {
    if (version <= this.#floor || version <= (this.#marks.get(origin) ?? 0n)) return
    this.#marks.delete(origin)
    this.#marks.set(origin, version)
    for (const [oldest, mark] of this.#marks) {
      if (this.#marks.size <= MAX_ORIGINS) break
      this.#marks.delete(oldest)
      this.#raiseFloor(mark)
    }
  }

  encode(): string {
    const list = [...this.#marks].map(([origin, version]) => `${origin}=${version}`)
    return `${this.#follower} ${this.#floor} ${list.join(',')}`
  }

  #raiseFloor(version: bigint): void {
    if (version > this.#floor) this.#floor = version
  }
}
