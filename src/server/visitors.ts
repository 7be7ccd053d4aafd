/** The open connections of a node: what each is, and how many there are of each kind and from each client. */
import type { Socket } from 'node:net'
import type { CancelTimer } from '../core/time.ts'
import type { RefusalReason } from './admission-refusals.ts'

const NO_TIMER: CancelTimer = () => undefined

/**
 * A client's connection that is no WebSocket, a client's WebSocket, another node's WebSocket, and a
 * connection there is no room for.
 */
export type VisitorKind = 'plain' | 'subscriber' | 'peer' | 'surplus'

/** Changed only by `Visitors`, but for its timer. */
export interface Visitor {
  kind: VisitorKind
  /** Why there is no room for it; undefined when there is. */
  readonly because: RefusalReason | undefined
  /** The client it counts for; undefined for none. */
  address: string | undefined
  /** Stops what would close it. */
  stopTimer: CancelTimer
}

export class Visitors {
  /** By the ends of the connection: with TLS, requests do not come on the socket that was accepted. */
  readonly #byEnds = new Map<string, Visitor>()
  readonly #counts: Record<VisitorKind, number> = { plain: 0, subscriber: 0, peer: 0, surplus: 0 }
  readonly #perAddress = new Map<string, number>()

  count(kind: VisitorKind): number {
    return this.#counts[kind]
  }

  /** Connections that count for this client. */
  countOf(address: string): number {
    return this.#perAddress.get(address) ?? 0
  }

  /** Whose connection the socket of a request is; undefined once that has ended. */
  find(socket: Socket): Visitor | undefined {
    return this.#byEnds.get(endsOf(socket))
  }

  /**
   * Counts a connection until it ends.
   * @param because why there is no room for it: it is `surplus` then, else `plain`
   */
  enter(socket: Socket, because: Visitor['because'], address: string | undefined): Visitor {
    const kind = because === undefined ? 'plain' : 'surplus'
    const visitor: Visitor = { kind, because, address: undefined, stopTimer: NO_TIMER }
    const ends = endsOf(socket)
    this.#counts[kind]++
    this.#byEnds.set(ends, visitor)
    if (because === undefined) this.countFor(visitor, address)
    socket.on('close', () => {
      visitor.stopTimer()
      this.#counts[visitor.kind]--
      this.countFor(visitor, undefined)
      // The same ends may have met anew before the end of the old connection was noticed.
      if (this.#byEnds.get(ends) === visitor) this.#byEnds.delete(ends)
    })
    return visitor
  }

  become(visitor: Visitor, kind: VisitorKind): void {
    this.#counts[visitor.kind]--
    this.#counts[kind]++
    visitor.kind = kind
  }

  /** Counts the connection for this client, and no longer for another. */
  countFor(visitor: Visitor, address: string | undefined): void {
    this.#add(visitor.address, -1)
    this.#add(address, 1)
    visitor.address = address
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
