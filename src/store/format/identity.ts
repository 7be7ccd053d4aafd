/**
 * Under which name a node writes (see `core/data/origin.ts`). Two rules, kept here for every local write:
 *
 * 1. Stamps of one origin never go down. They do when a clock that was wrong is taken back, or after a
 *    write that had to exceed a record of a wrong clock: then the node goes on under the next origin.
 * 2. No write is covered by the marks of its key: another node may have given lesser stamps to what this
 *    one wrote. Then, too, the node goes on under the next origin.
 *
 * Once the clock was taken back, until stamps are beyond those of before (the **reach**), each write leaves a
 * mark on its key that covers what the node wrote there before, or its followers pushed; that has a
 * greater stamp, and would come back otherwise.
 *
 * The row is written in the batch of the first write that depends on it.
 */
import { addLaterMarks, isCovered } from '../../core/data/marks.ts'
import { nextOrigin, previousOrigin } from '../../core/data/origin.ts'
import { pushedSince } from './merged-versions.ts'

/** Meta row: `<origin> <reach> <high>`, see the fields; without one the node writes under its id. */
export const ORIGIN_ROW = 'origin'

export class WritingIdentity {
  readonly #id: string
  #origin: string
  /** Greatest stamp given out before the clock was taken back; 0n for none. */
  #reach: bigint
  /** Greatest stamp given out under this origin. */
  #high: bigint

  /**
   * @param id of the node, under which it begins.
   * @param clock greatest stamp that the node had given out or seen when it last wrote.
   */
  constructor(id: string, row: string | undefined, clock: bigint) {
    const [origin = id, reach = '0', high = '0'] = row?.split(' ') ?? []
    this.#id = id
    this.#origin = origin
    this.#reach = BigInt(reach)
    this.#high = BigInt(high) > clock ? BigInt(high) : clock
  }

  get origin(): string {
    return this.#origin
  }

  /** Under which origin to write this version of a key that has these marks. */
  originFor(version: bigint, marks: string | undefined): string {
    if (version < this.#high) this.#next()
    while (isCovered(marks, { origin: this.#origin, version })) this.#next()
    if (version > this.#high) this.#high = version
    return this.#origin
  }

  /**
   * What a local write of this version leaves on its key.
   * @param meta reads meta rows.
   */
  marksFor(version: bigint, meta: (name: string) => string | undefined): string | undefined {
    if (version > this.#reach) return undefined
    const before = previousOrigin(this.#origin)
    if (before === this.#origin) return undefined
    const own = { origin: before, version: this.#reach }
    return addLaterMarks(undefined, [own, ...pushedSince(meta, version)])
  }

  /** Stamps up to `reach` were given out, and later ones will be lesser. */
  maxStampLowered(reach: bigint): void {
    if (reach > this.#reach) this.#reach = reach
    if (reach > this.#high) this.#high = reach
  }

  /** The next origin, under which records that had stamps up to `reach` are given lesser ones. */
  restamp(reach: bigint): string {
    this.maxStampLowered(reach)
    this.#next()
    return this.#origin
  }

  /**
   * The row to be written with a batch; undefined when the one on disk says the same.
   * @param clock what the batch says of the clock, which need not be said twice.
   * @param saved the row on disk.
   */
  unsavedRow(clock: bigint, saved: string | undefined): string | undefined {
    const row = `${this.#origin} ${this.#reach} ${this.#high > clock ? this.#high : 0}`
    return row === (saved ?? beginningRow(this.#id)) ? undefined : row
  }

  #next(): void {
    this.#origin = nextOrigin(this.#origin)
    this.#high = 0n
  }
}

/** The row of a node that begins under this origin. */
export function beginningRow(origin: string): string {
  return `${origin} 0 0`
}
