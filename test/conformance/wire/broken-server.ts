/** A server with one fault at a time, to show that the suite can fail: a sound one behind a front that spoils it. */
import { once } from 'node:events'
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocket, WebSocketServer } from 'ws'
import { createServer } from '../../../src/server/server.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { type HttpAnswer, send } from './exchange.ts'
import type { OwnServer, OwnServerOptions } from './target.ts'

export type FaultName =
  | 'text frames'
  | 'lists oldest first'
  | 'another empty object'
  | 'arrays are joined by PATCH'
  | '200 for a delete'
  | 'meta fields in another order'
  | 'envelope fields in another order'
  | 'numbers pass through doubles'
  | 'an error text ends in a newline'
  | 'v is ignored'
  | 'no CORS headers'
  | 'a push answers 201'
  | 'an error text lacks its key'
  | 'pings carry a payload'
  | 'a deadline is a 500'
  | 'Vary is left out'
  | 'a filter shows its type first'
  | 'a closed proxy is a 404'

export interface Fault {
  readonly name: FaultName
  /** Names of cases that must fail with it, and pass without it. */
  readonly caughtBy: readonly string[]
}

export const FAULTS: readonly Fault[] = [
  { name: 'text frames', caughtBy: ['every frame is binary'] },
  { name: 'lists oldest first', caughtBy: ['lists are newest first by created'] },
  { name: 'another empty object', caughtBy: ['the empty object is exact'] },
  { name: 'arrays are joined by PATCH', caughtBy: ['nested array, array: replaced'] },
  { name: '200 for a delete', caughtBy: ['success is 204 without a body'] },
  {
    name: 'meta fields in another order',
    caughtBy: ['fields come in the order created, updated, index, path, data'],
  },
  {
    name: 'envelope fields in another order',
    caughtBy: ['an envelope is snapshot, version, data in this order'],
  },
  {
    name: 'numbers pass through doubles',
    caughtBy: ['data keeps member order and number spelling; white space goes'],
  },
  {
    name: 'an error text ends in a newline',
    caughtBy: ['two globs are refused before the body is read'],
  },
  { name: 'v is ignored', caughtBy: ['a current v gets no first frame, and patches from there'] },
  {
    name: 'no CORS headers',
    caughtBy: [
      'an actual request allows any origin, and varies by it',
      'a preflight for POST is allowed',
    ],
  },
  {
    name: 'a push answers 201',
    caughtBy: ['a push makes an index of lower-case hex a little below created'],
  },
  {
    name: 'an error text lacks its key',
    caughtBy: ['a list in static mode with only an object filter is refused by key'],
  },
  { name: 'pings carry a payload', caughtBy: ['pings are empty and come again'] },
  { name: 'a deadline is a 500', caughtBy: ['a write beyond the deadline is 503'] },
  { name: 'Vary is left out', caughtBy: ['every answer varies by origin and encoding'] },
  {
    name: 'a filter shows its type first',
    caughtBy: ['a filter shows its fields in order, and none that is empty'],
  },
  {
    name: 'a closed proxy is a 404',
    caughtBy: ['what a proxy does not let through is 403, before it resolves'],
  },
]

/** @param fault undefined for a front that spoils nothing */
export async function startBrokenServer(
  fault: FaultName | undefined,
  { prepare, ...options }: OwnServerOptions = {},
): Promise<OwnServer> {
  const inner = createServer({
    storage: new MemoryStorage(),
    allowedOrigins: ['*'],
    ...options,
    port: 0,
  })
  prepare?.(inner)
  await inner.open()
  const base = new URL(inner.address?.url ?? '')
  const front = createHttpServer((request, response) => {
    answer(base, fault, request, response).catch(() => response.destroy())
  })
  const sockets = new WebSocketServer({ server: front })
  sockets.on('connection', (socket, request) => relay(base, fault, socket, request.url ?? '/'))
  front.listen(0, '127.0.0.1')
  await once(front, 'listening')
  return {
    url: `http://127.0.0.1:${(front.address() as AddressInfo).port}`,
    close: async () => {
      for (const socket of sockets.clients) socket.terminate()
      sockets.close()
      front.closeAllConnections()
      front.close()
      await inner.close()
    },
  }
}

async function answer(
  base: URL,
  fault: FaultName | undefined,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const { method = 'GET', url = '/' } = request
  let body = Buffer.concat(chunks).toString()
  if (fault === 'arrays are joined by PATCH' && method === 'PATCH') {
    const { body: stored } = await send(base, 'GET', url, {})
    body = joinArrays((JSON.parse(stored) as { data: unknown }).data, body)
  }
  const headers = { ...request.headers } as Record<string, string>
  delete headers['content-length']
  const given = await send(base, method, url, body === '' ? { headers } : { headers, body })
  const spoilt = spoil(given, fault, method, url)
  for (const [name, value] of Object.entries(given.headers)) {
    if (name === 'content-length' || name === 'transfer-encoding') continue
    if (fault === 'Vary is left out' && name === 'vary') continue
    if (fault === 'no CORS headers' && name.startsWith('access-control-')) continue
    if (value !== undefined) response.setHeader(name, value)
  }
  response.writeHead(spoilt.status)
  response.end(spoilt.body)
}

/** Faults that answer one status in place of another. */
const OTHER_STATUS: Partial<Record<FaultName, readonly [right: number, wrong: number]>> = {
  'a deadline is a 500': [503, 500],
  'a closed proxy is a 404': [403, 404],
}

function spoil(
  { status, bytes, body }: HttpAnswer,
  fault: FaultName | undefined,
  method: string,
  url: string,
): { readonly status: number; readonly body: string | Buffer } {
  const isData = method === 'GET' && status === 200 && !url.startsWith('/?')
  if (fault === 'lists oldest first' && isData && body.startsWith('[')) {
    return { status, body: JSON.stringify((JSON.parse(body) as unknown[]).reverse()) }
  }
  if (fault === 'meta fields in another order' && isData) {
    return { status, body: body.replace(/("created":\d+),("updated":\d+)/g, '$2,$1') }
  }
  if (fault === 'numbers pass through doubles' && isData) {
    return { status, body: JSON.stringify(JSON.parse(body)) }
  }
  if (fault === 'an error text lacks its key' && status === 400) {
    return { status, body: body.replace(/, key:.*/, '') }
  }
  if (fault === 'a filter shows its type first' && url === '/?api=filters') {
    return { status, body: body.replace(/("path":"[^"]*"),("type":"[^"]*")/g, '$2,$1') }
  }
  const another = fault === undefined ? undefined : OTHER_STATUS[fault]
  if (another?.[0] === status) return { status: another[1], body }
  if (fault === '200 for a delete' && status === 204) return { status: 200, body: '' }
  if (fault === 'a push answers 201' && method === 'POST' && status === 200) {
    return { status: 201, body }
  }
  if (fault === 'an error text ends in a newline' && status >= 400) {
    return { status, body: `${body}\n` }
  }
  return { status, body: bytes }
}

function joinArrays(stored: unknown, patch: string): string {
  const merged = JSON.parse(patch) as Record<string, unknown>
  for (const [name, value] of Object.entries(merged)) {
    const old = (stored as Record<string, unknown>)[name]
    if (Array.isArray(value) && Array.isArray(old)) merged[name] = [...old, ...value]
  }
  return JSON.stringify(merged)
}

function relay(base: URL, fault: FaultName | undefined, socket: WebSocket, path: string): void {
  const wanted = fault === 'v is ignored' ? path.replace(/\?.*/, '') : path
  const upstream = new WebSocket(`ws://${base.host}${wanted}`, { perMessageDeflate: false })
  upstream.on('error', () => socket.terminate())
  upstream.on('close', () => socket.close())
  socket.on('error', () => upstream.terminate())
  socket.on('close', () => upstream.terminate())
  upstream.on('ping', () => socket.ping(fault === 'pings carry a payload' ? 'payload' : ''))
  upstream.on('message', (data) => {
    let text = String(data)
    if (fault === 'another empty object') text = text.replace('"index":"","data"', '"data"')
    if (fault === 'envelope fields in another order') {
      text = text.replace(/^\{("snapshot":\w+),("version":"\w+")/, '{$2,$1')
    }
    socket.send(Buffer.from(text), { binary: fault !== 'text frames' })
  })
}
