/** Addresses of other nodes as people and records give them: hosts are hosts, and nothing of a path. */

export interface HostPort {
  /** A host name or an IP address, IPv6 without brackets. */
  readonly host: string
  /** 1 to 65535. */
  readonly port: number
}

const MAX_NAME = 253
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/i

/** Whether a text is a host name (RFC 1123, with `_`) or an IP address, an IPv6 one without brackets. */
export function isHost(text: string): boolean {
  if (text.includes(':')) {
    // An address with a zone is of one machine only.
    return /^[0-9a-f:.]+$/i.test(text) && URL.canParse(`http://[${text}]/`)
  }
  if (text.length > MAX_NAME || !text.split('.').every((label) => LABEL.test(label))) return false
  // What ends in a number is an IPv4 address (WHATWG URL), also in its odd spellings, which are none here.
  const isNumeric = /(?:^|\.)(?:\d+|0x[0-9a-f]*)$/i.test(text)
  return !isNumeric || /^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$/.test(text)
}

/** Whether a value is a port that can be dialled. */
export function isPort(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) > 0 && (value as number) < 65_536
}

/** Reads `host:port`, an IPv6 host in brackets; undefined for anything else. */
export function parseHostPort(text: string): HostPort | undefined {
  const [, inBrackets, plain, digits] = /^(?:\[([^[\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? []
  const host = inBrackets ?? plain
  const port = Number(digits)
  if (host === undefined || !isHost(host) || !isPort(port)) return undefined
  return host.includes(':') === (inBrackets !== undefined) ? { host, port } : undefined
}
