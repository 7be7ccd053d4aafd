/** Targets of proxies whose every byte the test decides; they end with the test. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import * as net from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'
import { waitFor } from '../../support/wait.ts'
import { afterTest, type TestServer } from '../serve.ts'

export interface HttpTarget {
  readonly address: string
  /** Requests begun, oldest first. */
  readonly requests: IncomingMessage[]
  readonly server: Server
  /** TCP connections accepted so far. */
  connections: number
}

/** An HTTP server that answers as told. */
export async function httpTarget(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<HttpTarget> {
  const server = createServer()
  const target = { address: '', requests: [] as IncomingMessage[], server, connections: 0 }
  server.on('connection', () => target.connections++)
  server.on('request', (request, response) => {
    request.on('error', () => undefined)
    target.requests.push(request)
    answer(request, response)
  })
  afterTest(() => {
    server.close()
    server.closeAllConnections()
  })
  return Object.assign(target, { address: await listening(server) })
}

export interface SocketTarget {
  readonly address: string
  /** Sockets accepted, oldest first. */
  readonly sockets: WebSocket[]
  readonly requests: IncomingMessage[]
  /** How the next handshakes are answered; 101 takes them. */
  status: number
  stop(): void
  /** The socket of that number, as soon as it is there. */
  socket(index: number): Promise<WebSocket>
}

/** A WebSocket server that sends nothing by itself. */
export async function socketTarget(
  options: { readonly autoPong?: boolean; readonly onSocket?: (socket: WebSocket) => void } = {},
): Promise<SocketTarget> {
  const server = createServer()
  const handshakes = new WebSocketServer({ noServer: true, autoPong: options.autoPong ?? true })
  const target = {
    address: '',
    sockets: [] as WebSocket[],
    requests: [] as IncomingMessage[],
    status: 101,
    stop: () => {
      for (const socket of target.sockets) socket.terminate()
      server.close()
      server.closeAllConnections()
    },
    socket: (index: number) => waitFor(() => target.sockets[index], { what: `socket ${index}` }),
  }
  server.on('upgrade', (request, socket, head) => {
    target.requests.push(request)
    socket.on('error', () => undefined)
    if (target.status !== 101) {
      socket.end(`HTTP/1.1 ${target.status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`)
      return
    }
    handshakes.handleUpgrade(request, socket, head, (webSocket) => {
      webSocket.on('error', () => undefined)
      target.sockets.push(webSocket)
      options.onSocket?.(webSocket)
    })
  })
  afterTest(target.stop)
  return Object.assign(target, { address: await listening(server) })
}

/** An envelope as a server sends it. */
export function envelope(snapshot: boolean, version: string, data: string): Buffer {
  return Buffer.from(`{"snapshot":${snapshot},"version":"${version}","data":${data}}`)
}

/** `host:port` of one of our servers. */
export function addressOf(server: TestServer): string {
  return `127.0.0.1:${server.port}`
}

/** An address where nobody listens. */
export async function deadAddress(): Promise<string> {
  const server = createServer()
  const address = await listening(server)
  server.close()
  await once(server, 'close')
  return address
}

async function listening(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `127.0.0.1:${(server.address() as net.AddressInfo).port}`
}

export interface Relay {
  readonly address: string
  /** Drops every connection through it. */
  cut(): void
}

/** A TCP connection to `address`, byte for byte, that the test can cut. */
export async function relayTo(address: string): Promise<Relay> {
  const [host, port] = address.split(':')
  const sockets = new Set<net.Socket>()
  const cut = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  const server = net.createServer((near) => {
    const far = net.connect(Number(port), host)
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      from.on('error', () => undefined)
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
      from.pipe(to)
    }
  })
  afterTest(() => {
    server.close()
    cut()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { address: `127.0.0.1:${(server.address() as net.AddressInfo).port}`, cut }
}
