/**
 * A virtual network. Messages of a connection arrive in order after random delays; a cut path
 * swallows messages and lets both ends find out only when they time out or the path heals.
 */
import type { TimeSource } from '../../src/core/ports/time.ts'
import type {
  DialRequest,
  MessageSocket,
  SocketHandlers,
  Transport,
} from '../../src/core/ports/transport.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { hostOf } from './topology.ts'

/** Takes a connection that reached a node; undefined refuses it. */
export type Accept = (socket: MessageSocket, from: string) => SocketHandlers | undefined

export class VirtualNetwork {
  readonly #time: TimeSource
  readonly #seed: number
  /** Per directed path, so that what happens on one leaves the delays of the others alone. */
  readonly #randoms = new Map<string, SeededRandom>()
  readonly #hosts = new Map<string, Accept>()
  /** Directed paths that are cut, as `from>to`. */
  readonly #cuts = new Set<string>()
  /** Milliseconds that messages of a directed path may take longer. */
  readonly #slow = new Map<string, number>()
  /** Counts the times that everything was healed, which ends flapping. */
  #heals = 0
  readonly #pipes = new Set<Pipe>()
  /** Messages and characters carried so far. */
  readonly carried = { messages: 0, characters: 0 }
  /** Hears of every message when it is sent, and over which connection. */
  tap: (from: string, to: string, text: string, connection: object) => void = () => undefined
  /** Hears of every message when it arrives. */
  arrived: (from: string, to: string, text: string, connection: object) => void = () => undefined
  /** Hears of every process that is gone. */
  gone: (host: string) => void = () => undefined
  /** Hears of every message that is lost. */
  lost: () => void = () => undefined

  constructor(time: TimeSource, random: SeededRandom) {
    this.#time = time
    this.#seed = random.below(2 ** 31)
  }

  listen(host: string, accept: Accept): void {
    this.#hosts.set(host, accept)
  }

  /** The host's process is gone: its connections break at once, as a kernel resets them. */
  unlisten(host: string): void {
    this.#hosts.delete(host)
    this.gone(host)
    for (const pipe of this.#pipes) if (pipe.touches(host)) pipe.reset()
  }

  /** Cuts the path from one host to another, in that direction only. */
  cut(from: string, to: string): void {
    this.#cuts.add(`${from}>${to}`)
  }

  /** The path fails and heals in turn, `times` times, each for `ms` milliseconds. */
  flap(from: string, to: string, times: number, ms: number): void {
    if (times === 0) return
    const heals = this.#heals
    this.cut(from, to)
    this.#time.after(ms, () => {
      if (heals !== this.#heals) return
      this.#cuts.delete(`${from}>${to}`)
      for (const pipe of this.#pipes) if (pipe.stalled && pipe.joins(from, to)) pipe.reset()
      this.#time.after(ms, () => {
        if (heals === this.#heals) this.flap(from, to, times - 1, ms)
      })
    })
  }

  /** Messages on this path take up to `ms` milliseconds longer. */
  slow(from: string, to: string, ms: number): void {
    this.#slow.set(`${from}>${to}`, ms)
  }

  /** The connections between two hosts break; what is on its way is lost. */
  reset(one: string, other: string): void {
    for (const pipe of this.#pipes) if (pipe.joins(one, other)) pipe.reset()
  }

  healAll(): void {
    this.#heals++
    this.#cuts.clear()
    this.#slow.clear()
    // TCP gives connections up that lost data for too long; those that stalled are reset.
    for (const pipe of this.#pipes) if (pipe.stalled) pipe.reset()
  }

  isCut(from: string, to: string): boolean {
    return this.#cuts.has(`${from}>${to}`)
  }

  delayMs(from: string, to: string): number {
    const path = `${from}>${to}`
    let random = this.#randoms.get(path)
    if (random === undefined) {
      random = SeededRandom.named(this.#seed, path)
      this.#randoms.set(path, random)
    }
    const slow = this.#slow.get(path) ?? 0
    const delay = random.chance(0.1) ? random.below(400) : 1 + random.below(10)
    return slow === 0 ? delay : delay + random.below(slow)
  }

  /** The transport of one host. */
  transportOf(from: string): Transport {
    return {
      dial: (request: DialRequest, opened, handlers) => {
        const to = hostOf(new URL(request.url).host)
        const pipe = new Pipe(this, this.#time, from, to, handlers, (gone) =>
          this.#pipes.delete(gone),
        )
        this.#pipes.add(pipe)
        this.#time.after(this.delayMs(from, to), () => {
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

  joins(one: string, other: string): boolean {
    return this.touches(one) && this.touches(other) && one !== other
  }

  opened(remote: SocketHandlers, opened: () => void): void {
    if (!this.#open) return
    this.#handlers.server = remote
    opened()
  }

  /** Both ends learn at once that the connection is gone, and why if it was closed. */
  reset(code = 1006, reason = 'reset'): void {
    if (!this.#open) return
    this.#open = false
    this.#gone(this)
    for (const side of ['client', 'server'] as const) {
      this.#handlers[side]?.close({ code, reason })
    }
  }

  #socket(side: Side, other: Side): MessageSocket {
    return {
      bufferedBytes: 0,
      send: (text) => this.#deliver(side, other, () => this.#handlers[other]?.message(text), text),
      close: (code, reason) => this.#deliver(side, other, () => this.reset(code, reason), ''),
      terminate: () => this.reset(),
    }
  }

  #deliver(from: Side, to: Side, arrive: () => void, text: string): void {
    if (!this.#open) return
    this.#network.carried.messages++
    this.#network.carried.characters += text.length
    this.#network.tap(this.#ends[from], this.#ends[to], text, this)
    if (this.stalled || this.#network.isCut(this.#ends[from], this.#ends[to])) {
      this.stalled = true
      this.#network.lost()
      return
    }
    const nowMs = Number(this.#time.monotonicNs()) / 1e6
    const at = Math.max(
      this.#arrival[to],
      nowMs + this.#network.delayMs(this.#ends[from], this.#ends[to]),
    )
    this.#arrival[to] = at
    this.#time.after(at - nowMs, () => {
      if (this.#open) {
        this.#network.arrived(this.#ends[from], this.#ends[to], text, this)
        arrive()
      } else this.#network.lost()
    })
  }
}
