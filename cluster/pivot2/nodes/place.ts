/** Where the requests of a 2.0 node come from, told by the address in its record. */
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'

/** All addresses of this machine are one. */
const THIS_MACHINE = 'this machine'

export class NodePlace {
  readonly #host: string
  #places: ReadonlySet<string>

  /** @param address `host:port`, an IPv6 host in brackets */
  constructor(address: string) {
    this.#host = address.slice(0, address.lastIndexOf(':')).replace(/^\[|\]$/g, '')
    this.#places = isIP(this.#host) === 0 ? new Set() : new Set([placeOf(this.#host)])
  }

  /** Asks again for the addresses of a name. Never rejects: without an answer those of before stay. */
  async resolve(): Promise<void> {
    if (isIP(this.#host) !== 0) return
    try {
      const found = await lookup(this.#host, { all: true })
      this.#places = new Set(found.map(({ address }) => placeOf(address)))
    } catch {
      // It can not be dialled either, which its health shows.
    }
  }

  /** Whether requests of the node come from there. @param place as `placeOf` gives it */
  isAt(place: string): boolean {
    return this.#places.has(place)
  }

  /** Whether requests of the other node may come from where those of this one do. */
  overlaps(other: NodePlace): boolean {
    return [...other.#places].some((place) => this.#places.has(place))
  }
}

/** What stands for an address when places are compared. @param address as a socket tells it */
export function placeOf(address: string): string {
  const ip = address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '')
  if (ip === '::1' || ip.startsWith('127.')) return THIS_MACHINE
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  return own.some((found) => found.address === ip) ? THIS_MACHINE : ip
}
