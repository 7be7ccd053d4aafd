/**
 * Whose connection it is: the address of the peer, or what a trusted reverse proxy says of it. Clients are
 * told apart by IPv4 address or by /64 of IPv6, which one customer commonly has to itself.
 */
import { BlockList, isIP } from 'node:net'
import { StateError } from '../../core/errors.ts'

/** Says whether an address is that of a trusted proxy. */
export type ProxyTrust = (address: string) => boolean

/** Of these addresses and CIDR blocks. @throws StateError `invalid_option` naming what is neither. */
export function trustProxies(entries: readonly string[]): ProxyTrust {
  if (entries.length === 0) return () => false
  const list = new BlockList()
  for (const entry of entries) addEntry(list, entry)
  return (address) => {
    const plain = plainAddress(address)
    const version = isIP(plain)
    return version !== 0 && list.check(plain, version === 6 ? 'ipv6' : 'ipv4')
  }
}

/**
 * The address of the client behind `peer`. `X-Forwarded-For` is believed from the right for as long as the
 * one who speaks is trusted; the first address that is not a proxy's is the client's.
 * @returns undefined when only proxies are known: these stand for any number of clients
 */
export function clientAddress(
  peer: string,
  forwardedFor: string | undefined,
  isTrusted: ProxyTrust,
): string | undefined {
  if (!isTrusted(peer)) return plainAddress(peer)
  for (const entry of (forwardedFor ?? '').split(',').reverse()) {
    const address = withoutPort(entry.trim())
    if (isIP(address) === 0) return undefined
    if (!isTrusted(address)) return plainAddress(address)
  }
  return undefined
}

/** What counts as one client: `10.0.0.1`, or `2001:db8:0:1::/64` for every address of that network. */
export function addressGroup(address: string): string {
  const plain = plainAddress(address)
  return isIP(plain) === 6 ? `${networkOf(plain)}::/64` : plain
}

/** Without zone; IPv4 where it is written as IPv6. */
function plainAddress(address: string): string {
  const [bare = ''] = address.split('%')
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare)?.[1] ?? bare
}

function withoutPort(text: string): string {
  const [, bracketed, host] = /^(?:\[([^\]]*)\](?::\d+)?|([^:]*):\d+)$/.exec(text) ?? []
  return bracketed ?? host ?? text
}

/** The first four groups of an IPv6 address. */
function networkOf(address: string): string {
  const [head = '', tail] = address.split('::')
  const groups = head === '' ? [] : head.split(':')
  if (tail !== undefined) {
    // An IPv4 address at the end stands for two groups, and is never within the first four.
    const after = tail === '' ? [] : tail.replace(/\d+\.\d+\.\d+\.\d+$/, '0:0').split(':')
    while (groups.length + after.length < 8) groups.push('0')
    groups.push(...after)
  }
  return groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, '').toLowerCase())
    .join(':')
}

function addEntry(list: BlockList, entry: string): void {
  const [address = '', bits] = entry.split('/')
  const version = isIP(address)
  const width = version === 6 ? 128 : 32
  const prefix = bits === undefined ? width : /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN
  if (version === 0 || entry.split('/').length > 2 || !(prefix >= 0 && prefix <= width)) {
    throw new StateError(
      'invalid_option',
      `ooo: trusted proxy ${JSON.stringify(entry)} must be an address or a block such as 10.0.0.0/8`,
    )
  }
  list.addSubnet(address, prefix, version === 6 ? 'ipv6' : 'ipv4')
}
