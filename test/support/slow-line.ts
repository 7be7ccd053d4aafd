/** A line between two nodes that carries few bytes a second and may be cut at intervals. TCP, loopback only. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

export interface SlowLineOptions {
  /** Where it leads, as `http://host:port`. */
  readonly to: string
  /** Bytes a second in each direction. */
  readonly bytesPerSecond: number
  /** All connections are cut this often, milliseconds. Default: never. */
  readonly cutEveryMs?: number
}

/** Bytes carried so far, by direction as its caller sees it. */
export interface Carried {
  readonly up: number
  readonly down: number
}

/** Bytes that pass at once. */
const CHUNK = 4 * 1024

export class SlowLine {
  readonly #options: SlowLineOptions
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #carried = { up: 0, down: 0 }
  #timer: NodeJS.Timeout | undefined
  #cuts = 0

  private constructor(options: SlowLineOptions) {
    this.#options = options
    this.#server = createServer({ highWaterMark: CHUNK }, (socket) => this.#join(socket))
  }

  static async open(options: SlowLineOptions): Promise<SlowLine> {
    const line = new SlowLine(options)
    line.#server.listen(0, '127.0.0.1')
    await once(line.#server, 'listening')
    if (options.cutEveryMs !== undefined) {
      line.#timer = setInterval(() => line.cut(), options.cutEveryMs)
    }
    return line
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  get carried(): Carried {
    return { ...this.#carried }
  }

  /** Connections that were cut so far. */
  get cuts(): number {
    return this.#cuts
  }

  /** Cuts what is connected now. */
  cut(): void {
    for (const socket of this.#sockets) {
      this.#cuts++
      socket.destroy()
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await once(this.#server, 'close')
  }

  #join(near: Socket): void {
    const { hostname, port } = new URL(this.#options.to)
    const far = connect({ host: hostname, port: Number(port) })
    this.#carry(near, far, 'up')
    this.#carry(far, near, 'down')
  }

  #carry(from: Socket, to: Socket, direction: keyof Carried): void {
    this.#sockets.add(from)
    from.setNoDelay(true)
    from.on('error', () => undefined)
    from.on('close', () => {
      this.#sockets.delete(from)
      to.destroy()
    })
    from.on('data', (chunk: Buffer) => {
      from.pause()
      this.#drip(chunk, 0, performance.now(), to, direction, () => from.resume())
    })
  }

  /** Passes a little at a time, each after the time it takes on the line. */
  #drip(
    chunk: Buffer,
    at: number,
    sinceMs: number,
    to: Socket,
    direction: keyof Carried,
    done: () => void,
  ): void {
    if (at >= chunk.length || to.destroyed) {
      done()
      return
    }
    const part = chunk.subarray(at, at + CHUNK)
    const dueMs = sinceMs + (part.length * 1000) / this.#options.bytesPerSecond
    setTimeout(() => {
      this.#carried[direction] += part.length
      to.write(part)
      this.#drip(chunk, at + part.length, dueMs, to, direction, done)
    }, dueMs - performance.now())
  }
}
