/** A server over memory on a free port, and bare sockets to it; all are closed after each test. */
import { once } from 'node:events'
import * as net from 'node:net'
import { afterEach } from 'vitest'
import { type ClientOptions, WebSocket } from 'ws'
import type { ServerOptions } from '../../src/server/server.ts'
import { createServer, type Server } from '../../src/server/server.ts'
import { MemoryStorage } from '../../storage-adapters/memory/memory.ts'
import { applyExactly, canonicalText } from '../quick/core/exact-apply.ts'
import { type Envelope, parseEnvelope } from '../quick/fanout/fake-source.ts'
import { type Answer, type RequestOptions, request } from '../support/http.ts'
import { waitFor } from '../support/wait.ts'

const closers: (() => unknown)[] = []

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** Runs `close` after the test, before what was started earlier is closed. */
export function afterTest(close: () => unknown): void {
  closers.push(close)
}

export class TestServer {
  readonly server: Server

  constructor(server: Server) {
    this.server = server
  }

  get url(): string {
    return this.server.address?.url ?? ''
  }

  get port(): number {
    return this.server.address?.port ?? 0
  }

  request(method: string, path: string, body?: string, options?: RequestOptions): Promise<Answer> {
    return request(method, `${this.url}${path}`, {
      ...options,
      ...(body === undefined ? {} : { body }),
    })
  }

  get(path: string, headers: Record<string, string> = {}): Promise<Answer> {
    return this.request('GET', path, undefined, { headers })
  }

  post(path: string, body: string): Promise<Answer> {
    return this.request('POST', path, body)
  }

  /** A subscription with its first frame in hand, unless `expectFrame` is false. */
  async subscribe(path: string, options: SubscribeOptions = {}): Promise<SocketClient> {
    const client = new SocketClient(
      `${this.url.replace('http', 'ws')}${path}`,
      options.protocols,
      options,
    )
    await client.opened
    if (options.expectFrame !== false) await client.frame(0)
    return client
  }
}

export interface SubscribeOptions extends ClientOptions {
  readonly protocols?: string[]
  readonly expectFrame?: boolean
}

export async function serve(options: Partial<ServerOptions> = {}): Promise<TestServer> {
  const server = createServer({ storage: new MemoryStorage(), port: 0, ...options })
  afterTest(() => server.close())
  await server.open()
  return new TestServer(server)
}

/** A WebSocket that remembers its frames and applies them exactly. */
export class SocketClient {
  readonly socket: WebSocket
  readonly texts: string[] = []
  /** Canonical text of the state that the envelopes give. */
  state: string | undefined
  version: string | undefined
  closed: { code: number; reason: string } | undefined
  pings = 0
  readonly opened: Promise<unknown>

  constructor(url: string, protocols: string[] = [], options: ClientOptions = {}) {
    this.socket = new WebSocket(url, protocols, { perMessageDeflate: false, ...options })
    this.opened = once(this.socket, 'open')
    // Not every test waits for it; one that does still sees the failure.
    this.opened.catch(() => undefined)
    this.socket.on('error', () => undefined)
    this.socket.on('ping', () => this.pings++)
    this.socket.on('close', (code, reason) => {
      this.closed = { code, reason: String(reason) }
    })
    this.socket.on('message', (data, isBinary) => {
      this.texts.push(isBinary ? String(data) : `text frame: ${String(data)}`)
      if (this.texts.at(-1)?.startsWith('{') === true) this.#apply(parseEnvelope(String(data)))
    })
    afterTest(() => this.socket.terminate())
  }

  #apply(envelope: Envelope): void {
    this.version = envelope.version
    this.state = envelope.snapshot
      ? canonicalText(envelope.data)
      : applyExactly(this.state ?? '', envelope.data)
  }

  /** The frame of that number, as soon as it is there. */
  async frame(index: number): Promise<Envelope> {
    return parseEnvelope(await this.text(index))
  }

  text(index: number): Promise<string> {
    return waitFor(() => this.texts[index], { what: `frame ${index}` })
  }

  waitClosed(): Promise<{ code: number; reason: string }> {
    return waitFor(() => this.closed, { what: 'the close' })
  }
}

export interface Refusal {
  readonly status: number
  readonly head: string
  readonly body: string
}

/** Sends raw bytes and gives the whole answer once the server ends the connection. */
export async function exchange(port: number, text: string | Uint8Array): Promise<Refusal> {
  const socket = net.connect(port, '127.0.0.1')
  afterTest(() => socket.destroy())
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  socket.write(text)
  await once(socket, 'close')
  const answer = Buffer.concat(chunks).toString()
  const [head = '', ...body] = answer.split('\r\n\r\n')
  return { status: Number(head.split(' ')[1]), head, body: body.join('\r\n\r\n') }
}

/** A WebSocket handshake request as text. */
export function handshake(path: string, headers: Record<string, string | undefined> = {}): string {
  const all: Record<string, string | undefined> = {
    Host: '127.0.0.1',
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    ...headers,
  }
  const lines = Object.entries(all).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${value}`],
  )
  return `GET ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`
}
