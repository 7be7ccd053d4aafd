/** What a node tells its leader of itself in a hello, beside its id and name: where it is, and what it is. */
import { isHost, isPort } from './host-port.ts'

export interface MemberNode {
  /** Where others reach it: a host name or an IP address. */
  readonly host: string
  readonly port: number
  readonly isSecure: boolean
  readonly version: string
  /** Whether it finds its data again when it starts anew; one that does not comes back as another node. */
  readonly keepsData: boolean
}

/** The reason with which a node ends its streams that stops and does not keep its data: it will not return. */
export const LEAVING = 'the node leaves'

const MAX_VERSION = 40

/** Reads it from a message; undefined when there is none, or it names no address that can be dialled. */
export function readMemberNode(value: unknown): MemberNode | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { host, port, isSecure, version, keepsData } = value as Readonly<Record<string, unknown>>
  if (typeof host !== 'string' || !isHost(host) || !isPort(port)) return undefined
  return {
    ...{ host, port },
    isSecure: isSecure === true,
    version: typeof version === 'string' ? version.slice(0, MAX_VERSION) : '',
    keepsData: keepsData !== false,
  }
}
