/**
 * What stands between an edge node and its leader, as real sockets: a TCP relay whose address stays the
 * same while what is behind it changes (a leader, a captive portal, nothing), and HTTP proxies.
 */
import { once } from 'node:events'
import { createServer as createHttpServer, type IncomingMessage, type Server } from 'node:http'
import {
  type AddressInfo,
  connect,
  createServer,
  type Server as NetServer,
  type Socket,
} from 'node:net'
import { afterEach } from 'vitest'

const closers: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** A relay: every connection goes to `port` as it was when the connection was made. */
export class Relay {
  /** Port of this machine behind the relay; undefined refuses connections. */
  port: number | undefined
  readonly #server: NetServer
  readonly #sockets = new Set<Socket>()

  constructor(server: NetServer) {
    this.#server = server
  }

  get url(): string {
    return `http://127.0.0.1:${portOf(this.#server)}`
  }

  /** Ends what goes through it; later connections go to `port`. */
  switchTo(port: number | undefined): void {
    this.port = port
    for (const socket of this.#sockets) socket.destroy()
  }

  relay(socket: Socket): void {
    this.#track(socket)
    if (this.port === undefined) {
      socket.destroy()
      return
    }
    const behind = connect(this.port, '127.0.0.1')
    this.#track(behind)
    socket.pipe(behind).pipe(socket)
    socket.on('close', () => behind.destroy())
    behind.on('close', () => socket.destroy())
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => this.#sockets.delete(socket))
  }
}

export async function startRelay(url: string): Promise<Relay> {
  const server = createServer((socket) => relay.relay(socket))
  const relay = new Relay(server)
  await listen(server)
  relay.port = Number(new URL(url).port)
  closers.push(async () => {
    relay.switchTo(undefined)
    server.close()
    await once(server, 'close')
  })
  return relay
}

/** A portal that answers whatever it is asked with status 200 and its login page. */
export interface Portal {
  readonly url: string
  readonly port: number
  /** Method and path of every request, WebSocket handshakes included. */
  readonly asked: string[]
}

const LOGIN_PAGE = '<!doctype html><title>Welcome</title><p>Accept our terms to go online.'

export async function startPortal(): Promise<Portal> {
  const asked: string[] = []
  const server = createHttpServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    request.resume()
    response.writeHead(200, { 'content-type': 'text/html', connection: 'close' }).end(LOGIN_PAGE)
  })
  server.on('upgrade', (request: IncomingMessage, socket: Socket) => {
    asked.push(`UPGRADE ${request.url}`)
    socket.on('error', () => undefined)
    const head = `HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: ${LOGIN_PAGE.length}`
    socket.end(`${head}\r\nconnection: close\r\n\r\n${LOGIN_PAGE}`)
  })
  await listen(server)
  closers.push(() => closeHttp(server))
  return { url: `http://127.0.0.1:${portOf(server)}`, port: portOf(server), asked }
}

export interface TestProxy {
  readonly url: string
  readonly port: number
  /** `host:port` of every tunnel that was asked for. */
  readonly tunnels: string[]
  /** What else was asked of it: nothing should be. */
  readonly others: string[]
  /** `Proxy-Authorization` of the latest request. */
  authorization: string | undefined
  /** What it does with the next tunnels. */
  mood: 'open' | 'refuse' | 'silent'
  /** Open tunnels. */
  readonly open: Set<Socket>
}

/** A proxy that opens tunnels (CONNECT) and nothing else, to where `resolve` says. */
export async function startProxy(resolve: (target: string) => number): Promise<TestProxy> {
  const server = createHttpServer((request, response) => {
    proxy.others.push(`${request.method} ${request.url}`)
    response.writeHead(405).end()
  })
  await listen(server)
  const port = portOf(server)
  const proxy: TestProxy = {
    url: `http://127.0.0.1:${port}`,
    port,
    tunnels: [],
    others: [],
    authorization: undefined,
    mood: 'open',
    open: new Set(),
  }
  server.on('connect', (request: IncomingMessage, socket: Socket) => {
    const target = request.url ?? ''
    proxy.tunnels.push(target)
    proxy.authorization = request.headers['proxy-authorization']
    proxy.open.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => proxy.open.delete(socket))
    if (proxy.mood === 'silent') {
      // Read, so that its end is heard.
      socket.resume().on('end', () => socket.destroy())
      return
    }
    if (proxy.mood === 'refuse') {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n')
      return
    }
    const behind = connect(resolve(target), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      socket.pipe(behind).pipe(socket)
    })
    behind.on('error', () => socket.destroy())
    behind.on('close', () => socket.destroy())
    socket.on('close', () => behind.destroy())
  })
  closers.push(async () => {
    for (const socket of proxy.open) socket.destroy()
    await closeHttp(server)
  })
  return proxy
}

async function listen(server: NetServer): Promise<void> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
}

function portOf(server: NetServer): number {
  return (server.address() as AddressInfo).port
}

async function closeHttp(server: Server): Promise<void> {
  server.close()
  server.closeAllConnections()
  await once(server, 'close')
}
