/** A real HTTP and WebSocket server whose every answer the test decides. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'

export interface ReceivedRequest {
  readonly method: string
  /** Path and query as sent. */
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export interface ScriptedAnswer {
  readonly status: number
  readonly body?: string
}

export interface ScriptedServer {
  readonly url: string
  readonly requests: ReceivedRequest[]
  /** Sockets accepted, oldest first, each with the request that opened it. */
  readonly sockets: { readonly socket: WebSocket; readonly request: IncomingMessage }[]
  /** What the next requests get; `hang` never answers, `cut` drops the connection. */
  answer: (request: ReceivedRequest) => ScriptedAnswer | 'hang' | 'cut'
  close(): Promise<void>
}

export async function startScriptedServer(): Promise<ScriptedServer> {
  const http = createServer()
  const upgrades = new WebSocketServer({ server: http })
  const server: ScriptedServer = {
    url: '',
    requests: [],
    sockets: [],
    answer: () => ({ status: 200, body: '{"index":"x"}' }),
    async close() {
      for (const { socket } of server.sockets) socket.terminate()
      upgrades.close()
      http.close()
      http.closeAllConnections()
      await once(http, 'close')
    },
  }
  http.on('request', (request: IncomingMessage, response: ServerResponse) => {
    void reply(server, request, response)
  })
  upgrades.on('connection', (socket, request) => server.sockets.push({ socket, request }))
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  const { port } = http.address() as AddressInfo
  return Object.assign(server, { url: `http://127.0.0.1:${port}` })
}

async function reply(
  server: ScriptedServer,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const received: ReceivedRequest = {
    method: request.method ?? '',
    path: request.url ?? '',
    headers: request.headers,
    body: Buffer.concat(chunks).toString('utf8'),
  }
  server.requests.push(received)
  const answer = server.answer(received)
  if (answer === 'hang') return
  if (answer === 'cut') {
    request.socket.destroy()
    return
  }
  response.writeHead(answer.status).end(answer.body ?? '')
}
