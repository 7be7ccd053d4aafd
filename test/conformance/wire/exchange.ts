/** HTTP with nothing in between: paths are sent as they are, bytes come back as they are. */
import * as http from 'node:http'
import * as https from 'node:https'
import * as net from 'node:net'
import * as tls from 'node:tls'
import { WireFailure } from './assert.ts'

export interface HttpAnswer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly bytes: Buffer
  /** The bytes as UTF-8. */
  readonly body: string
}

export interface HttpRequest {
  readonly body?: string | Uint8Array
  readonly headers?: Readonly<Record<string, string>>
}

const DEADLINE_MS = 60_000

/** One request on a connection of its own. Rejects when no whole answer comes. */
export function send(
  base: URL,
  method: string,
  path: string,
  { body, headers }: HttpRequest,
): Promise<HttpAnswer> {
  const { request } = base.protocol === 'https:' ? https : http
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: base.hostname.replace(/^\[|\]$/g, ''),
        port: base.port,
        method,
        path,
        agent: false,
        headers: { ...length, ...headers },
        signal: AbortSignal.timeout(DEADLINE_MS),
      },
      (incoming) => {
        const chunks: Buffer[] = []
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.on('error', reject)
        incoming.on('end', () => {
          const bytes = Buffer.concat(chunks)
          const status = incoming.statusCode ?? 0
          resolve({ status, headers: incoming.headers, bytes, body: bytes.toString('utf8') })
        })
      },
    )
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

export interface RawAnswer {
  readonly status: number
  /** Status line and headers, as sent. */
  readonly head: string
  readonly body: string
}

/** Sends bytes and reads one answer: to its length, its end, or the head alone for 101. */
export async function exchangeRaw(base: URL, text: string): Promise<RawAnswer> {
  const host = base.hostname.replace(/^\[|\]$/g, '')
  const port = Number(base.port)
  const socket =
    base.protocol === 'https:' ? tls.connect({ host, port }) : net.connect({ host, port })
  socket.setTimeout(DEADLINE_MS, () => socket.destroy(new WireFailure('no whole answer in time')))
  socket.write(text)
  let seen = ''
  try {
    for await (const chunk of socket) {
      seen += (chunk as Buffer).toString('latin1')
      if (isWhole(seen)) break
    }
  } finally {
    socket.destroy()
  }
  const end = seen.indexOf('\r\n\r\n')
  const head = end === -1 ? seen : seen.slice(0, end)
  return {
    status: Number(head.split(' ')[1]),
    head,
    body: end === -1 ? '' : seen.slice(end + 4),
  }
}

function isWhole(text: string): boolean {
  const end = text.indexOf('\r\n\r\n')
  if (end === -1) return false
  const head = text.slice(0, end)
  if (/^HTTP\/1\.1 (?:101|204)/.test(head)) return true
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
  return length !== undefined && text.length >= end + 4 + Number(length)
}

/** A WebSocket handshake as text; `undefined` leaves a header out. */
export function handshake(
  host: string,
  path: string,
  headers: Readonly<Record<string, string | undefined>> = {},
): string {
  const all: Record<string, string | undefined> = {
    Host: host,
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
