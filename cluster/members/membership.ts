/**
 * Registration of a follower under the nodes scope, where leaders and tools look for nodes, and the
 * understanding of the records found there, whoever wrote them.
 */
import { networkInterfaces } from 'node:os'
import { type Commit, type Entry, indexOfKey } from '../../src/core/data/entry.ts'
import { errorText } from '../../src/core/errors.ts'
import { type HostPort, isHost, isPort } from '../../src/core/host-port.ts'
import { parseExact } from '../../src/core/json/json.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import { type CancelTimer, NS_PER_MS, type TimeSource } from '../../src/core/ports/time.ts'
import { VERSION } from '../../src/core/version.ts'
import type { ServerAddress } from '../../src/server/contract/plugin.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'

/** The record of a node, as stored under `nodes/<id>`. */
export interface NodeRecord {
  readonly id: string
  readonly name: string
  readonly ip: string
  readonly port: number
  readonly url: string
  readonly role: string
  readonly version: string
  /** RFC 3339. */
  readonly startedAt: string
}

export interface RegistrarOptions {
  readonly store: ReplicationStore
  readonly time: TimeSource
  readonly logger: Logger
  /** The glob under which nodes register. */
  readonly nodesKey: string
  readonly name: string
  readonly role: string
  /** Where others reach this node; undefined: at the address it listens on. */
  readonly advertise: { readonly host: string; readonly port: number } | undefined
  readonly address: ServerAddress
  /** The first address of this machine that others can dial. Default: asked of the system. */
  readonly outwardAddress?: () => string | undefined
}

/** How often a node looks whether its record still says where it is, milliseconds. */
const CHECK_INTERVAL_MS = 60_000
/** Between the loss of its record and writing it again: one who deletes it in a loop gains nothing. */
const REPAIR_DELAY_MS = 1_000

/**
 * Keeps this node's record while it is alive: writes it at the start, again when its address has
 * changed or somebody deleted it. The record replicates like any other change.
 */
export class Registrar {
  readonly #options: RegistrarOptions
  readonly #key: string
  readonly #startedAt: string
  #stopTimer: CancelTimer | undefined
  #stopListening: (() => void) | undefined
  #isStopped = false
  /** Writes of this node's own record, one after the other. */
  #work: Promise<void> = Promise.resolve()

  constructor(options: RegistrarOptions) {
    this.#options = options
    this.#key = options.nodesKey.replace('*', options.store.id)
    this.#startedAt = new Date(Number(options.time.wallNs() / NS_PER_MS)).toISOString()
  }

  /** Resolves when the record is durable. @throws StateError of the store. */
  async start(): Promise<void> {
    await this.#write()
    this.#stopListening = this.#options.store.onCommit((commit) => this.#committed(commit))
    this.#checkIn(CHECK_INTERVAL_MS)
  }

  /** Leaves the record: a node that is away is still known. Idempotent. */
  async stop(): Promise<void> {
    this.#isStopped = true
    this.#stopListening?.()
    this.#stopTimer?.()
    await this.#work
  }

  #committed({ changes }: Commit): void {
    const change = changes.findLast(({ key }) => key === this.#key)
    if (change?.after.kind === 'tombstone') this.#checkIn(REPAIR_DELAY_MS)
  }

  #checkIn(delayMs: number): void {
    this.#stopTimer?.()
    if (this.#isStopped) return
    this.#stopTimer = this.#options.time.after(delayMs, () => {
      this.#work = this.#work.then(() => this.#check())
      this.#checkIn(CHECK_INTERVAL_MS)
    })
  }

  async #check(): Promise<void> {
    const { store, logger } = this.#options
    if (this.#isStopped) return
    try {
      const entry = await store.get(this.#key)
      if (entry !== undefined && this.#isCurrent(entry)) return
      logger.info('registering again', { because: entry === undefined ? 'deleted' : 'changed' })
      await this.#write()
    } catch (error) {
      logger.warn('this node could not register', { error: errorText(error) })
    }
  }

  #isCurrent(entry: Entry): boolean {
    const { ip, port, url } = this.#record()
    const found = nodeAddress(entry)
    return found?.host === ip && found.port === port && fieldsOf(entry)?.url === url
  }

  async #write(): Promise<void> {
    await this.#options.store.set(this.#key, JSON.stringify(this.#record()))
  }

  #record(): NodeRecord {
    const { store, name, role } = this.#options
    const startedAt = this.#startedAt
    return {
      id: store.id,
      name,
      ...advertisedAddress(this.#options),
      role,
      version: VERSION,
      startedAt,
    }
  }
}

/** Where others reach this node. */
export function advertisedAddress({
  advertise,
  address,
  outwardAddress = systemAddress,
}: Pick<RegistrarOptions, 'advertise' | 'address' | 'outwardAddress'>): Pick<
  NodeRecord,
  'ip' | 'port' | 'url'
> {
  const isWildcard = address.host === '0.0.0.0' || address.host === '::'
  const own = isWildcard ? (outwardAddress() ?? '127.0.0.1') : address.host
  const ip = advertise?.host ?? own
  const port = advertise?.port ?? address.port
  return { ip, port, url: `${new URL(address.url).protocol}//${hostAndPort(ip, port)}` }
}

/** Where a registered node says it is. */
export interface NodeAddress extends HostPort {
  /** Id under which it registered: the last segment of its key. */
  readonly id: string
}

/**
 * Reads the record of a node, also one that another program wrote: `ip` or `IP`, `port` or `Port`, the
 * port as number or text. undefined for a record that names no address: ordinary data.
 */
export function nodeAddress(record: Entry): NodeAddress | undefined {
  const found = recordAddress(parseExact(record.data))
  return found && { id: indexOfKey(record.key), ...found }
}

/** The address in a record's data; a host that is none, such as one with a path, makes it ordinary data. */
export function recordAddress(data: unknown): HostPort | undefined {
  if (typeof data !== 'object' || data === null) return undefined
  const fields = data as Readonly<Record<string, unknown>>
  const host = fields.ip ?? fields.IP
  const port = portNumber(fields.port ?? fields.Port)
  return typeof host === 'string' && isHost(host) && port !== undefined ? { host, port } : undefined
}

/** Where the node of a record says it serves; undefined when it names no such address. */
export function recordUrl(record: Entry): string | undefined {
  const found = nodeAddress(record)
  if (found === undefined) return undefined
  const isSecure = String(fieldsOf(record)?.url).startsWith('https:')
  return memberUrl({ ...found, isSecure })
}

export function memberUrl(node: HostPort & { readonly isSecure: boolean }): string {
  return `${node.isSecure ? 'https' : 'http'}://${hostAndPort(node.host, node.port)}`
}

/** `host:port`, an IPv6 host in brackets. */
export function hostAndPort(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

function portNumber(value: unknown): number | undefined {
  const port = typeof value === 'string' && /^\d{1,5}$/.test(value) ? Number(value) : value
  return isPort(port) ? port : undefined
}

function fieldsOf(record: Entry): Readonly<Record<string, unknown>> | undefined {
  const fields = parseExact(record.data)
  return typeof fields === 'object' && fields !== null
    ? (fields as Readonly<Record<string, unknown>>)
    : undefined
}

function systemAddress(): string | undefined {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  return addresses.find((address) => !address.internal && address.family === 'IPv4')?.address
}
