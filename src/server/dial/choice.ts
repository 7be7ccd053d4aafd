/**
 * Which HTTP proxy, if any, leads to a server: what was configured, else what the environment says in the
 * way other programs read it (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, small letters first).
 */
import { BlockList, isIP } from 'node:net'
import { StateError } from '../../core/errors.ts'

export interface ProxyRules {
  /**
   * `http://` or `https://` URL of the proxy for every server, or `none`. Default: what the environment
   * says, which never sends anybody through a proxy to this machine itself.
   */
  readonly proxy?: string | undefined
  /** Environment variables, of which only those of proxies are read. Default: none. */
  readonly env?: Readonly<Record<string, string | undefined>>
}

/** The URL of the proxy for a server; undefined when it is reached directly. */
export type ProxyChoice = (url: string) => string | undefined

/**
 * Reads the rules once; undefined when no server is reached through a proxy. `NO_PROXY` holds for a configured proxy too; its entries are hosts, which cover
 * what is below them (`.example.org`, `*.example.org` and `example.org` do), with or without a port,
 * addresses, ranges of addresses (`10.0.0.0/8`), or `*`.
 * @throws StateError `invalid_option` for a proxy that is not an http or https URL.
 */
export function proxyChoice({ proxy, env = {} }: ProxyRules): ProxyChoice | undefined {
  if (proxy === 'none') return undefined
  const isConfigured = proxy !== undefined
  const all = variable(env, 'all_proxy')
  const secure = checkedProxy('HTTPS_PROXY', proxy ?? variable(env, 'https_proxy') ?? all)
  const plain = checkedProxy('HTTP_PROXY', proxy ?? variable(env, 'http_proxy') ?? all)
  if (secure === undefined && plain === undefined) return undefined
  const direct = (variable(env, 'no_proxy') ?? '').split(/[\s,]+/).filter((entry) => entry !== '')
  return (url) => {
    const { protocol, hostname, port } = new URL(url)
    const isSecure = protocol === 'https:' || protocol === 'wss:'
    const host = hostname.replace(/^\[|\]$/g, '').toLowerCase()
    if (!isConfigured && isThisMachine(host)) return undefined
    const target = { host, port: port === '' ? (isSecure ? '443' : '80') : port }
    if (direct.some((entry) => covers(entry.toLowerCase(), target))) return undefined
    return isSecure ? secure : plain
  }
}

/** Whether a text is the URL of a proxy that can be used. */
export function isProxyUrl(text: string): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, hostname } = new URL(text)
  return (protocol === 'http:' || protocol === 'https:') && hostname !== ''
}

function checkedProxy(name: string, given: string | undefined): string | undefined {
  if (given === undefined) return undefined
  const text = given.includes('://') ? given : `http://${given}`
  if (isProxyUrl(text)) return text
  throw new StateError(
    'invalid_option',
    // A proxy's URL may hold a password, so it is not shown.
    `${name}: this value is not allowed; give the http:// or https:// URL of a proxy`,
  )
}

function variable(env: NonNullable<ProxyRules['env']>, name: string): string | undefined {
  return [env[name], env[name.toUpperCase()]].find((value) => value !== undefined && value !== '')
}

interface Target {
  readonly host: string
  readonly port: string
}

/** Whether an entry of `NO_PROXY` covers the server. */
function covers(entry: string, { host, port }: Target): boolean {
  if (entry === '*') return true
  const [, bare = entry, onlyPort] = /^([^:]+|\[.*\]):(\d+)$/.exec(entry) ?? []
  if (onlyPort !== undefined && onlyPort !== port) return false
  const name = bare.replace(/^\[|\]$/g, '')
  if (name === host) return true
  const [address = '', bits] = name.split('/')
  if (bits !== undefined) return isInRange(host, address, Number(bits))
  const domain = name.replace(/^\*?\./, '')
  return host === domain || host.endsWith(`.${domain}`)
}

function isInRange(host: string, address: string, bits: number): boolean {
  const family = isIP(address)
  const most = family === 4 ? 32 : 128
  if (family === 0 || isIP(host) !== family) return false
  if (!Number.isInteger(bits) || bits < 0 || bits > most) return false
  const range = new BlockList()
  range.addSubnet(address, bits, family === 4 ? 'ipv4' : 'ipv6')
  return range.check(host, family === 4 ? 'ipv4' : 'ipv6')
}

function isThisMachine(host: string): boolean {
  return (
    host === 'localhost' || host.endsWith('.localhost') || host === '::1' || /^127\./.test(host)
  )
}
