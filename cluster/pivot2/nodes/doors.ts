/**
 * Who may use the routes of protocol 2.0 for a path. Requests show no credential, so what counts is the place
 * that they come from: one of a listed node. An address is as good as the network says it is.
 */
import type { Logger } from '../../../src/core/ports/logger.ts'
import { NS_PER_SECOND, type TimeSource } from '../../../src/core/ports/time.ts'
import type { Pivot2Listing } from '../../members/listed-nodes.ts'
import { NodePlace, placeOf } from './place.ts'

/** Refusals are logged this often at most. */
const TELL_NS = 60n * NS_PER_SECOND
/** Names are looked up again for one who is not found, this often at most. */
const LOOK_UP_NS = 5n * NS_PER_SECOND

export class Doors {
  readonly #time: Pick<TimeSource, 'monotonicNs'>
  readonly #logger: Logger
  #places: readonly { readonly listing: Pivot2Listing; readonly place: NodePlace }[] = []
  #lookedUpNs = 0n
  #loggedNs: bigint | undefined

  constructor(time: Pick<TimeSource, 'monotonicNs'>, logger: Logger) {
    this.#time = time
    this.#logger = logger
  }

  list(listings: readonly Pivot2Listing[]): void {
    this.#places = listings.map((listing) => ({ listing, place: new NodePlace(listing.address) }))
    this.#lookedUpNs = 0n
  }

  /** Whether a listed node is at this remote address, as far as its name has been looked up. */
  isListed(remote: string): boolean {
    const isThere = (): boolean => this.#places.some(({ place }) => place.isAt(placeOf(remote)))
    if (isThere()) return true
    void this.#isFoundNow(this.#time.monotonicNs(), isThere)
    return false
  }

  /** Whether a listed node at this remote address takes part in the path; `writes`: and may write. */
  async admits(remote: string, path: string, { writes }: { writes: boolean }): Promise<boolean> {
    const isAdmitted = (): boolean =>
      this.#places.some(
        ({ listing, place }) =>
          place.isAt(placeOf(remote)) &&
          (listing.paths?.includes(path) ?? true) &&
          (listing.mayWrite || !writes),
      )
    if (isAdmitted()) return true
    const nowNs = this.#time.monotonicNs()
    if (await this.#isFoundNow(nowNs, isAdmitted)) return true
    if (this.#loggedNs === undefined || nowNs - this.#loggedNs > TELL_NS) {
      this.#loggedNs = nowNs
      const why = 'no node is listed there that may do this; --pivot2 lists one'
      this.#logger.warn('a request of protocol 2.0 was refused', {
        from: remote,
        path,
        writes,
        why,
      })
    }
    return false
  }

  async #isFoundNow(nowNs: bigint, isAdmitted: () => boolean): Promise<boolean> {
    if (this.#lookedUpNs !== 0n && nowNs - this.#lookedUpNs < LOOK_UP_NS) return false
    this.#lookedUpNs = nowNs
    await Promise.all(this.#places.map(({ place }) => place.resolve()))
    return isAdmitted()
  }
}
