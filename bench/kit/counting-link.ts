/** A program between two nodes that passes bytes on, counts them, and can be shut. */
import { once } from 'node:events'
import {
  type AddressInfo,
  createConnection,
  createServer,
  type Server,
  type Socket,
} from 'node:net'
import { monotonicUs } from './monotonic.ts'

/** Bytes in both directions, HTTP and WebSocket overhead included. */
export interface Passed {
  /** From the node that was dialled. */
  readonly down: number
  /** To it. */
  readonly up: number
}

export class CountingLink {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #down = 0
  #up = 0
  #isOpen = true
  #openedUs: number | undefined

  private constructor(server: Server) {
    this.#server = server
  }

  /** Listens on a free port for what is meant for that one. */
  static async start(port: number): Promise<CountingLink> {
    const server = createServer()
    const link = new CountingLink(server)
    server.on('connection', (socket) => link.#pass(socket, port))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return link
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  get passed(): Passed {
    return { down: this.#down, up: this.#up }
  }

  /** When the first connection came since the link was opened, on the shared clock. */
  get openedUs(): number | undefined {
    return this.#openedUs
  }

  /** Cuts all connections; new ones are refused until `open`. */
  shut(): void {
    this.#isOpen = false
    this.#openedUs = undefined
    for (const socket of this.#sockets) socket.destroy()
  }

  open(): void {
    this.#isOpen = true
  }

  async end(): Promise<void> {
    this.shut()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #pass(near: Socket, port: number): void {
    if (!this.#isOpen) {
      near.destroy()
      return
    }
    this.#openedUs ??= monotonicUs()
    const far = createConnection({ host: '127.0.0.1', port })
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => {
        this.#sockets.delete(socket)
        other.destroy()
      })
      socket.pipe(other)
    }
    near.on('data', (chunk: Buffer) => {
      this.#up += chunk.length
    })
    far.on('data', (chunk: Buffer) => {
      this.#down += chunk.length
    })
  }
}
