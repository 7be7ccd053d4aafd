/**
 * The 2.0 nodes that may join, as configured: `10.0.0.7:8800=items/*,rw`. Protocol 2.0 has no
 * credentials, so a node is known by being listed, and by nothing that anybody writes.
 */
import { StateError } from '../../src/core/errors.ts'
import { parseHostPort } from '../../src/core/host-port.ts'
import { isValidKey } from '../../src/core/keys/key.ts'
import { hostAndPort } from './membership.ts'

/** A 2.0 node that may join. */
export interface Pivot2Listing {
  /** `host:port`, an IPv6 host in brackets. */
  readonly address: string
  /** Replicated paths it takes part in, beside those of node records; undefined: all of them. */
  readonly paths: readonly string[] | undefined
  /** Whether what it writes is taken. False: it is told of changes, and no more. */
  readonly mayWrite: boolean
}

export const PIVOT2_RULE =
  'an address, the paths of a 2.0 node, and rw or ro, such as 10.0.0.7:8800=items/*,rw'

/**
 * Reads `host:port`, `host:port=path,path,rw` or `host:port=ro`. Without paths the node takes part in all,
 * and `rw` is the default. undefined for anything else.
 */
export function parsePivot2(text: string): Pivot2Listing | undefined {
  const at = text.indexOf('=')
  const where = parseHostPort(at === -1 ? text : text.slice(0, at))
  if (where === undefined) return undefined
  const words = at === -1 ? [] : text.slice(at + 1).split(',')
  const last = words.at(-1)
  const mode = last === 'rw' || last === 'ro' ? words.pop() : undefined
  if (at !== -1 && mode === undefined && words.length === 0) return undefined
  if (!words.every(isValidKey)) return undefined
  return {
    address: hostAndPort(where.host.toLowerCase(), where.port),
    paths: words.length === 0 ? undefined : words,
    mayWrite: mode !== 'ro',
  }
}

/** The 2.0 nodes that may join at present. */
export class ListedNodes {
  readonly #hasToken: boolean
  #listings: readonly Pivot2Listing[] = []
  /** Hears of each change. */
  changed: (listings: readonly Pivot2Listing[]) => void = () => undefined

  /** @throws StateError `invalid_option` naming the one that is wrong. */
  constructor(texts: readonly string[], token: string | undefined) {
    this.#hasToken = token !== undefined
    this.replace(texts)
  }

  get all(): readonly Pivot2Listing[] {
    return this.#listings
  }

  /** Whether a node is listed under this `host:port`. */
  has(address: string): boolean {
    return this.#listings.some((listing) => listing.address === address.toLowerCase())
  }

  /** Lists these and no others from now on. @throws StateError `invalid_option`. */
  replace(texts: readonly string[]): void {
    if (texts.length > 0 && this.#hasToken) {
      throw new StateError(
        'invalid_option',
        'cluster: nodes of protocol 2.0 (pivot2) can show no token, and a cluster token is set; give one of both',
      )
    }
    this.#listings = texts.map((text) => {
      const listing = parsePivot2(text)
      if (listing !== undefined) return listing
      throw new StateError('invalid_option', `cluster: pivot2 "${text}" is not ${PIVOT2_RULE}`)
    })
    this.changed(this.#listings)
  }
}
