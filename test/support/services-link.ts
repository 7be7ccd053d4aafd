/** A TCP link to a server that a test can cut, or make lose the server's answers. */
import { once } from 'node:events'
import * as net from 'node:net'

/** Listens on a port of its own and passes everything on, until told otherwise. */
export class ServiceLink {
  readonly #server: net.Server
  readonly #target: URL
  readonly #sockets = new Set<net.Socket>()
  #mode: 'pass' | 'swallow' | 'refuse' = 'pass'

  /** A link to the host and port of a URL. */
  static async to(url: string): Promise<ServiceLink> {
    const link = new ServiceLink(new URL(url))
    link.#server.listen(0, '127.0.0.1')
    await once(link.#server, 'listening')
    return link
  }

  private constructor(target: URL) {
    this.#target = target
    this.#server = net.createServer((socket) => this.#connect(socket))
  }

  /** The URL, through the link. */
  get url(): string {
    const address = this.#server.address()
    const url = new URL(this.#target)
    url.hostname = '127.0.0.1'
    url.port = String(typeof address === 'object' ? address?.port : '')
    return url.href
  }

  /** Breaks all connections; new ones are made as before. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Breaks all connections and refuses new ones until `heal`. */
  refuse(): void {
    this.#mode = 'refuse'
    this.cut()
  }

  /** Requests still reach the server, its answers get lost. Until `heal`; existing connections stay deaf. */
  swallow(): void {
    this.#mode = 'swallow'
  }

  heal(): void {
    this.#mode = 'pass'
  }

  async close(): Promise<void> {
    this.refuse()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #connect(near: net.Socket): void {
    if (this.#mode === 'refuse') {
      near.destroy()
      return
    }
    const far = net.connect(Number(this.#target.port), this.#target.hostname)
    const pair = [near, far]
    for (const socket of pair) {
      this.#sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        this.#sockets.delete(socket)
        for (const other of pair) other.destroy()
      })
    }
    let deaf = false
    near.on('data', (data) => far.write(data))
    far.on('data', (data) => {
      deaf ||= this.#mode === 'swallow'
      if (!deaf) near.write(data)
    })
  }
}
