/** What a node tells its leader of itself in a hello, beside its id and name: where it is, and what it is. */
import { isHost, isPort } from '../host-port.ts'
import { type Fields, identifier, list, string } from './fields.ts'

export interface MemberNode {
  /** Where others reach it: a host name or an IP address. */
  readonly host: string
  readonly port: number
  readonly isSecure: boolean
  readonly version: string
  /** Whether it finds its data again when it starts again; one that does not comes back as another node. */
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

/** What a hello tells of the node itself. */
export interface NodeIdentity {
  /** Where it is; absent from earlier releases. */
  readonly node?: MemberNode
  /** Its incarnation and those before, newest first (`store/recovery/incarnations.ts`). Default: it does not tell. */
  readonly incarnations?: readonly string[]
  /** Where it says that others reach it, as a URL; for people. Default: it does not tell. */
  readonly url?: string
}

/** Longest URL of a node, UTF-16 units. */
const MAX_URL = 300
/** Most incarnations in a hello; our followers tell fewer. */
const MAX_INCARNATIONS = 64

/** @throws StateError `invalid_message`. */
export function readNodeIdentity(fields: Fields): NodeIdentity {
  const { incarnations, url } = fields
  const node = readMemberNode(fields.node)
  return {
    ...(node === undefined ? {} : { node }),
    ...(incarnations === undefined
      ? {}
      : {
          incarnations: list(fields, 'incarnations', MAX_INCARNATIONS).map((id) =>
            identifier(id, 'incarnations'),
          ),
        }),
    ...(url === undefined ? {} : { url: string(fields, 'url', MAX_URL) }),
  }
}
