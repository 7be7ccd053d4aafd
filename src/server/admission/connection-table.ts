/** The open connections of a node: what each is, and how many there are of each kind and from each client. */
import type { Socket } from 'node:net'
import type { CancelTimer } from '../../core/ports/time.ts'
import type { RefusalReason } from './refusals.ts'

const NO_TIMER: CancelTimer = () => undefined

/**
 * A client's connection that is no WebSocket, a client's WebSocket, another node's WebSocket, and a
 * connection there is no room for.
 */
export type ConnectionKind = 'plain' | 'subscriber' | 'peer' | 'overLimit'

/** Changed only by `ConnectionTable`, but for its timer. */
export interface TrackedConnection {
  kind: ConnectionKind
  /** Why there is no room for it; undefined when there is. */
  readonly because: RefusalReason | undefined
  /** The client it counts for; undefined for none. */
  address: string | undefined
  /** Stops what would close it. */
  stopTimer: CancelTimer
}

export class ConnectionTable {
  /** By the ends of the connection: with TLS, requests do not come on the socket that was accepted. */
  readonly #byEnds = new Map<string, TrackedConnection>()
  readonly #counts: Record<ConnectionKind, number> = {
    plain: 0,
    subscriber: 0,
    peer: 0,
    overLimit: 0,
  }
  readonly #perAddress = new Map<string, number>()

  count(kind: ConnectionKind): number {
    return this.#counts[kind]
  }

  /** Connections that count for this client. */
  countOf(address: string): number {
    return this.#perAddress.get(address) ?? 0
  }

  /** Whose connection the socket of a request is; undefined once that has ended. */
  find(socket: Socket): TrackedConnection | undefined {
    return this.#byEnds.get(endsOf(socket))
  }

  /**
   * Counts a connection until it ends.
   * @param because why there is no room for it: it is `overLimit` then, else `plain`
   */
  enter(
    socket: Socket,
    because: TrackedConnection['because'],
    address: string | undefined,
  ): TrackedConnection {
    const kind = because === undefined ? 'plain' : 'overLimit'
    const connection: TrackedConnection = { kind, because, address: undefined, stopTimer: NO_TIMER }
    const ends = endsOf(socket)
    this.#counts[kind]++
    this.#byEnds.set(ends, connection)
    if (because === undefined) this.countFor(connection, address)
    socket.on('close', () => {
      connection.stopTimer()
      this.#counts[connection.kind]--
      this.countFor(connection, undefined)
      // The same ends may have met again before the end of the old connection was noticed.
      if (this.#byEnds.get(ends) === connection) this.#byEnds.delete(ends)
    })
    return connection
  }

  become(connection: TrackedConnection, kind: ConnectionKind): void {
    this.#counts[connection.kind]--
    this.#counts[kind]++
    connection.kind = kind
  }

  /** Counts the connection for this client, and no longer for another. */
  countFor(connection: TrackedConnection, address: string | undefined): void {
    this.#add(connection.address, -1)
    this.#add(address, 1)
    connection.address = address
  }

  #add(address: string | undefined, change: number): void {
    if (address === undefined) return
    const count = this.countOf(address) + change
    if (count > 0) this.#perAddress.set(address, count)
    else this.#perAddress.delete(address)
  }
}

function endsOf({ remoteAddress, remotePort, localAddress }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress}`
}
