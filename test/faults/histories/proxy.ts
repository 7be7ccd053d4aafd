/**
 * A TCP proxy before one address, whose way can be made bad while connections run over it:
 *
 * - `open`: bytes pass.
 * - `cut`: connections are reset, new ones too.
 * - `stalled`: connections stay and are accepted; no byte passes until the way is open again.
 * - `half-open`: who dialled keeps connections that lead nowhere, the other side's are gone. When the way is open
 *   again, the next byte on such a connection is answered by a reset.
 * - `one-way`: bytes towards the address pass, its answers wait.
 * - `slow`: every piece of at most 2 KiB waits 40 ms.
 */
import { once } from 'node:events'
import * as net from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

export type Way = 'open' | 'cut' | 'stalled' | 'half-open' | 'one-way' | 'slow'

const SLOW_MS = 40
const SLOW_BYTES = 2048

export class LinkProxy {
  readonly #server = net.createServer((socket) => this.#take(socket))
  readonly #target: number
  readonly #pairs = new Set<Pair>()
  #way: Way = 'open'
  #changed: Signal = newSignal()

  private constructor(target: number) {
    this.#target = target
  }

  /** Listens on a port of 127.0.0.1 and passes on to another. */
  static async listen(port: number, target: number): Promise<LinkProxy> {
    const proxy = new LinkProxy(target)
    proxy.#server.listen(port, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get port(): number {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the proxy is closed')
    return address.port
  }

  get way(): Way {
    return this.#way
  }

  set(way: Way): void {
    this.#way = way
    for (const pair of this.#pairs) {
      if (way === 'cut') pair.end()
      if (way === 'half-open') reset(pair.outgoing)
    }
    this.#changed.fire()
    this.#changed = newSignal()
  }

  async close(): Promise<void> {
    this.set('cut')
    this.#server.close()
    await once(this.#server, 'close')
  }

  #take(incoming: net.Socket): void {
    if (this.#way === 'cut') {
      incoming.on('error', () => undefined)
      reset(incoming)
      return
    }
    const outgoing =
      this.#way === 'half-open' ? new net.Socket() : net.connect(this.#target, '127.0.0.1')
    const pair = new Pair(incoming, outgoing)
    this.#pairs.add(pair)
    incoming.once('close', () => {
      this.#pairs.delete(pair)
      outgoing.destroy()
    })
    outgoing.once('close', () => {
      if (this.#way !== 'half-open') incoming.destroy()
    })
    void this.#pump(incoming, outgoing, 'forth')
    void this.#pump(outgoing, incoming, 'back')
  }

  /** Passes bytes one way, as slowly as the reader and the way allow. */
  async #pump(from: net.Socket, to: net.Socket, direction: 'forth' | 'back'): Promise<void> {
    try {
      for await (const chunk of from) {
        for (const piece of this.#pieces(chunk as Buffer)) {
          await this.#passable(direction)
          if (to.destroyed) reset(from)
          if (!to.write(piece)) await once(to, 'drain')
        }
      }
      to.end()
    } catch {
      // One of the two is gone, and takes the other with it.
      if (this.#way !== 'half-open') to.destroy()
    }
  }

  *#pieces(chunk: Buffer): Generator<Buffer> {
    const size = this.#way === 'slow' ? SLOW_BYTES : chunk.length
    for (let at = 0; at < chunk.length; at += size) yield chunk.subarray(at, at + size)
  }

  async #passable(direction: 'forth' | 'back'): Promise<void> {
    while (
      this.#way === 'stalled' ||
      this.#way === 'half-open' ||
      (this.#way === 'one-way' && direction === 'back')
    ) {
      await this.#changed.fired
    }
    if (this.#way === 'slow') await delay(SLOW_MS)
  }
}

class Pair {
  readonly incoming: net.Socket
  readonly outgoing: net.Socket

  constructor(incoming: net.Socket, outgoing: net.Socket) {
    this.incoming = incoming
    this.outgoing = outgoing
    for (const socket of [incoming, outgoing]) socket.on('error', () => undefined).setNoDelay(true)
  }

  end(): void {
    reset(this.incoming)
    this.outgoing.destroy()
  }
}

/**
 * Ends a connection by a reset. One that is ending already can not be reset: libuv refuses it
 * (`uv_tcp_close_reset`, EINVAL), and Node then never closes the handle, and never exits.
 */
function reset(socket: net.Socket): void {
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}

interface Signal {
  readonly fired: Promise<void>
  fire(): void
}

function newSignal(): Signal {
  let fire = (): void => undefined
  const fired = new Promise<void>((resolve) => {
    fire = resolve
  })
  return { fired, fire: () => fire() }
}
