/**
 * A virtual network. Messages of a connection arrive in order after random delays; a cut path
 * swallows messages and lets both ends find out only when they time out or the path heals.
 */
import type { TimeSource } from '../../src/core/time.ts'
import type {
  DialRequest,
  MessageSocket,
  SocketHandlers,
  Transport,
} from '../../src/core/transport.ts'
import type { SeededRandom } from '../support/seeded-random.ts'

/** Takes a connection that reached a node; undefined refuses it. */
export type Accept = (socket: MessageSocket, from: string) => SocketHandlers | undefined

export class VirtualNetwork {
  readonly #time: TimeSource
  readonly #random: SeededRandom
  readonly #hosts = new Map<string, Accept>()
  /** Directed paths that are cut, as `from>to`. */
  readonly #cuts = new Set<string>()
  readonly #pipes = new Set<Pipe>()
  /** Messages and characters carried so far. */
  readonly carried = { messages: 0, characters: 0 }

  constructor(time: TimeSource, random: SeededRandom) {
    this.#time = time
    this.#random = random
  }

  listen(host: string, accept: Accept): void {
    this.#hosts.set(host, accept)
  }

  /** The host's process is gone: its connections break at once, as a kernel resets them. */
  unlisten(host: string): void {
    this.#hosts.delete(host)
    for (const pipe of this.#pipes) if (pipe.touches(host)) pipe.reset()
  }

  /** Cuts the path from one host to another, in that direction only. */
  cut(from: string, to: string): void {
    this.#cuts.add(`${from}>${to}`)
  }

  healAll(): void {
    this.#cuts.clear()
    // TCP gives connections up that lost data for too long; those that stalled are reset.
    for (const pipe of this.#pipes) if (pipe.stalled) pipe.reset()
  }

  isCut(from: string, to: string): boolean {
    return this.#cuts.has(`${from}>${to}`)
  }

  delayMs(): number {
    return this.#random.chance(0.1) ? this.#random.below(400) : 1 + this.#random.below(10)
  }

  /** The transport of one host. */
  transportOf(from: string): Transport {
    return {
      dial: (request: DialRequest, opened, handlers) => {
        const to = new URL(request.url).host
        const pipe = new Pipe(this, this.#time, from, to, handlers, (gone) =>
          this.#pipes.delete(gone),
        )
        this.#pipes.add(pipe)
        this.#time.after(this.delayMs(), () => {
          if (this.isCut(from, to) || this.isCut(to, from)) return
          const remote = this.#hosts.get(to)?.(pipe.server, from)
          if (remote === undefined) pipe.reset()
          else pipe.opened(remote, opened)
        })
        return pipe.client
      },
    }
  }
}

type Side = 'client' | 'server'

class Pipe {
  readonly client: MessageSocket
  readonly server: MessageSocket
  /** A message was swallowed: this connection can never be right again. */
  stalled = false
  readonly #network: VirtualNetwork
  readonly #time: TimeSource
  readonly #ends: Readonly<Record<Side, string>>
  readonly #handlers: Partial<Record<Side, SocketHandlers>>
  readonly #gone: (pipe: Pipe) => void
  /** When the newest message of each direction arrives; later ones do not overtake it. */
  readonly #arrival: Record<Side, number> = { client: 0, server: 0 }
  #open = true

  constructor(
    network: VirtualNetwork,
    time: TimeSource,
    from: string,
    to: string,
    handlers: SocketHandlers,
    gone: (pipe: Pipe) => void,
  ) {
    this.#network = network
    this.#time = time
    this.#ends = { client: from, server: to }
    this.#handlers = { client: handlers }
    this.#gone = gone
    this.client = this.#socket('client', 'server')
    this.server = this.#socket('server', 'client')
  }

  touches(host: string): boolean {
    return this.#ends.client === host || this.#ends.server === host
  }

  opened(remote: SocketHandlers, opened: () => void): void {
    if (!this.#open) return
    this.#handlers.server = remote
    opened()
  }

  /** Both ends learn at once that the connection is gone. */
  reset(): void {
    if (!this.#open) return
    this.#open = false
    this.#gone(this)
    for (const side of ['client', 'server'] as const) {
      this.#handlers[side]?.close({ code: 1006, reason: 'reset' })
    }
  }

  #socket(side: Side, other: Side): MessageSocket {
    return {
      bufferedBytes: 0,
      send: (text) => this.#deliver(side, other, () => this.#handlers[other]?.message(text), text),
      close: () => this.#deliver(side, other, () => this.reset(), ''),
      terminate: () => this.reset(),
    }
  }

  #deliver(from: Side, to: Side, arrive: () => void, text: string): void {
    if (!this.#open) return
    this.#network.carried.messages++
    this.#network.carried.characters += text.length
    if (this.stalled || this.#network.isCut(this.#ends[from], this.#ends[to])) {
      this.stalled = true
      return
    }
    const nowMs = Number(this.#time.monotonicNs()) / 1e6
    const at = Math.max(this.#arrival[to], nowMs + this.#network.delayMs())
    this.#arrival[to] = at
    this.#time.after(at - nowMs, () => {
      if (this.#open) arrive()
    })
  }
}
