/** Names of hosts as requests carry them, and which of them a stranger could own. */
import { isIP } from 'node:net'
import { isLoopback } from '../../core/loopback.ts'

/** Domains that nobody can register; names below them lead into a machine, a site or a container network. */
const PRIVATE_DOMAINS: readonly string[] = [
  'localhost',
  'local',
  'internal',
  'svc',
  'cluster.local',
  'home.arpa',
]

/**
 * The name in `host`, `host:port` or `[address]:port`: lower case, without port, brackets and the dot at the
 * end. undefined when it is none.
 */
export function hostNameOf(authority: string): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{0,5})?$/.exec(authority.toLowerCase())
  const name = match?.[1] ?? match?.[2]?.replace(/\.$/, '')
  return name === '' ? undefined : name
}

/** The host's name in an `Origin` header, whatever scheme and port; undefined for `null` and what is no origin. */
export function hostNameOfOrigin(origin: string): string | undefined {
  const authority = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]+)$/.exec(origin.toLowerCase())?.[1]
  return authority === undefined ? undefined : hostNameOf(authority)
}

/** Whether the name leads to the machine that asks: localhost and below, 127/8 and ::1. */
export function isLoopbackName(name: string): boolean {
  return name.endsWith('.localhost') || isLoopback(name)
}

/**
 * Whether no stranger can make the name lead here by an entry of their own in the DNS: an address, a name
 * without a dot, or one below a domain that nobody can register.
 */
export function isUnregistrable(name: string): boolean {
  if (isIP(name) !== 0 || !name.includes('.')) return true
  return PRIVATE_DOMAINS.some((domain) => name.endsWith(`.${domain}`))
}

/** Whether a text can be listed among the origins that are served. */
export function isOriginPattern(text: string): boolean {
  if (text === '*' || text === 'null') return true
  const [head = '', tail, ...others] = text.split('*')
  // A wildcard stands for a part of the name.
  return (
    others.length === 0 &&
    hostNameOfOrigin(tail === undefined ? head : `${head}x${tail}`) !== undefined
  )
}

/** Whether a text is the name of a host, without a port. */
export function isHostName(text: string): boolean {
  return text !== '' && hostNameOf(text) === text.toLowerCase().replace(/\.$/, '')
}
