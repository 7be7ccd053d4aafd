/** The HTTP or HTTPS listener: its limits, its address, its certificate and its end. */

import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http'
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https'
import { type AddressInfo, Server as NetServer, type Socket } from 'node:net'
import { StateError } from '../core/errors.ts'
import type { ResolvedServerOptions } from './contract/options.ts'
import type { ServerAddress } from './contract/plugin.ts'
import { CertificateReloader, loadTls } from './contract/tls.ts'
import { KeptConnections } from './kept-connections.ts'
import { PipelinedAnswers } from './pipelined-answers.ts'

/** What the listener hands on. */
export interface ListenerHandlers {
  /** A TCP connection, before anything is known of what it is for. */
  connected(socket: Socket): void
  request(request: IncomingMessage, response: ServerResponse): void
  upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void
  /** False once the server closes: connections then end with their answer. */
  isServing(): boolean
}

export interface Listener {
  readonly address: ServerAddress
  /**
   * Takes no new connections, and waits until those that were used within this time have ended: from now on
   * each answer ends its own. `noticeMs` at most; with 0 nothing is done.
   */
  giveNotice(noticeMs: number): Promise<void>
  /**
   * Takes no new connections, then waits for `closeSockets` and for requests under way; what is still
   * connected after `deadlineMs` is cut.
   */
  close(closeSockets: () => Promise<void>): Promise<void>
  /** Reads the certificate files again. Nothing happens without TLS. @throws as `loadTls`. */
  reloadCertificate(): Promise<void>
}

/** Looks at connections that are late this often, at most, milliseconds. */
const MAX_CHECK_INTERVAL_MS = 5000
const MIN_CHECK_INTERVAL_MS = 50

/** @throws StateError `in_use` or `invalid_option`, for the address or the certificate. */
export async function openListener(
  options: ResolvedServerOptions,
  handlers: ListenerHandlers,
): Promise<Listener> {
  const { tls, time, logger } = options
  const limits = limitsOf(options)
  const material = tls === undefined ? undefined : await loadTls(tls)
  const https = material === undefined ? undefined : createHttpsServer({ ...limits, ...material })
  const http = https ?? createHttpServer(limits)
  const kept = new KeptConnections(time)
  const connections = connect(http, options, handlers, kept)
  await bind(http, options)
  const reloader =
    tls === undefined || material === undefined || https === undefined
      ? undefined
      : new CertificateReloader({
          tls,
          current: material,
          apply: (pair) => https.setSecureContext(pair),
          time,
          logger,
        })
  return {
    address: addressOf(http, options.host, tls === undefined ? 'http' : 'https'),
    giveNotice: (noticeMs) => {
      if (noticeMs === 0) return Promise.resolve()
      // `http.close` would end idle connections as well, without a word.
      NetServer.prototype.close.call(http)
      return kept.whenUsedHaveEnded(noticeMs)
    },
    close: (closeSockets) => {
      reloader?.close()
      return drain(http, connections, closeSockets, options)
    },
    reloadCertificate: () => reloader?.reload() ?? Promise.resolve(),
  }
}

function limitsOf(options: ResolvedServerOptions): object {
  const { readTimeoutMs, headersTimeoutMs } = options
  // Node refuses a limit for the head that is above the one for the whole.
  const headersTimeout =
    readTimeoutMs > 0
      ? Math.min(headersTimeoutMs || readTimeoutMs, readTimeoutMs)
      : headersTimeoutMs
  const shortest = headersTimeout || readTimeoutMs || MAX_CHECK_INTERVAL_MS
  return {
    headersTimeout,
    requestTimeout: readTimeoutMs,
    keepAliveTimeout: options.idleTimeoutMs,
    connectionsCheckingInterval: Math.max(
      MIN_CHECK_INTERVAL_MS,
      Math.min(shortest / 4, MAX_CHECK_INTERVAL_MS),
    ),
    ...(headersTimeout > 0 ? { handshakeTimeout: headersTimeout } : {}),
  }
}

/** Every TCP connection, also one whose TLS handshake never ends, which Node's own list leaves out. */
function connect(
  http: HttpServer | HttpsServer,
  options: ResolvedServerOptions,
  handlers: ListenerHandlers,
  kept: KeptConnections,
): ReadonlySet<Socket> {
  const connections = new Set<Socket>()
  const answers = new PipelinedAnswers()
  http.setTimeout(options.writeTimeoutMs)
  http.on('connection', (socket: Socket) => {
    connections.add(socket)
    socket.on('close', () => connections.delete(socket))
    handlers.connected(socket)
  })
  http.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request
    kept.used(socket)
    answers.begin(socket, response)
    // While closing, a connection that has just become idle is not kept for another request.
    response.on('close', () => {
      kept.used(socket)
      if (!handlers.isServing()) http.closeIdleConnections()
    })
    handlers.request(request, response)
  })
  http.on('upgrade', (request, socket, head) => {
    kept.ended(request.socket)
    handlers.upgrade(request, socket as Socket, head)
  })
  return connections
}

function bind(http: HttpServer | HttpsServer, options: ResolvedServerOptions): Promise<void> {
  const { host, port, backlog, logger } = options
  return new Promise((resolve, reject) => {
    http.once('error', (cause) => reject(listenError(cause, host, port)))
    http.listen({ host, port, backlog }, () => {
      http.removeAllListeners('error')
      http.on('error', (error) => logger.error('the listener failed', { error: error.message }))
      resolve()
    })
  })
}

function listenError(cause: NodeJS.ErrnoException, host: string, port: number): StateError {
  const place = `${bracketed(host)}:${port}`
  return cause.code === 'EADDRINUSE'
    ? new StateError('in_use', `ooo: ${place} is in use`, { cause })
    : new StateError('invalid_option', `ooo: cannot listen on ${place}: ${cause.message}`, {
        cause,
      })
}

async function drain(
  http: HttpServer | HttpsServer,
  connections: ReadonlySet<Socket>,
  closeSockets: () => Promise<void>,
  options: ResolvedServerOptions,
): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    http.close(() => resolve())
  })
  const cancel = options.time.after(options.deadlineMs, () => {
    for (const connection of connections) connection.destroy()
  })
  await closeSockets()
  http.closeIdleConnections()
  await closed
  cancel()
}

function addressOf(
  http: HttpServer | HttpsServer,
  host: string,
  scheme: 'http' | 'https',
): ServerAddress {
  const { port } = http.address() as AddressInfo
  return { host, port, url: `${scheme}://${bracketed(host)}:${port}` }
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}
