/**
 * The life of a WebSocket handshake: a plugin's path, the clock at `/`, or a key.
 *
 * Order for a key: valid key, static mode, origin, then the pool's state is read, the
 * upgrade is answered, and the snapshot is sent and the connection joins the pool in one step.
 */
import { type IncomingMessage, ServerResponse } from 'node:http'
import { errorText, isStateError } from '../core/errors.ts'
import { assertKey } from '../core/key.ts'
import type { Hub } from '../fanout/hub.ts'
import type { ClockSocket } from './clock-socket.ts'
import { isSocketOriginAllowed } from './cors.ts'
import { assertReadable } from './data-routes.ts'
import { type HttpContext, handleRequest } from './http.ts'
import type { SocketRoute } from './plugin.ts'
import { keyOfPath, parseTarget, type RequestTarget } from './request-url.ts'
import { assertHandshake, type PendingSocket, refuse, type Sockets } from './sockets.ts'
import { MAX_SUBSCRIBER_MESSAGE_BYTES, serveSubscription } from './websocket.ts'
import { adaptSocket, listen } from './ws-socket.ts'

export interface UpgradeContext extends HttpContext {
  readonly hub: Hub
  readonly sockets: Sockets
  readonly clock: ClockSocket
}

/** Answers one upgrade request. Never rejects. */
export async function handleUpgrade(
  context: UpgradeContext,
  request: IncomingMessage,
  socket: PendingSocket,
  head: Buffer,
): Promise<void> {
  // A peer that goes away mid-handshake is no fault of this side.
  socket.on('error', () => socket.destroy())
  context.sockets.hold(socket)
  try {
    if (request.headers.upgrade?.toLowerCase() !== 'websocket') {
      await answerPlainly(context, request, socket)
      return
    }
    if (!context.isServing()) {
      refuse(socket, { status: 503, text: 'ooo: server is closing' })
      return
    }
    const target = parseTarget(request.url)
    const route = target === undefined ? undefined : context.plugins.sockets.get(target.path)
    if (route !== undefined) openPluginSocket(context, request, socket, head, route)
    else if (target?.path === '/') openClock(context, request, socket, head)
    else await openSubscription(context, request, socket, head, target)
  } catch (error) {
    refuseWith(context, socket, error)
  }
}

function openPluginSocket(
  context: UpgradeContext,
  request: IncomingMessage,
  socket: PendingSocket,
  head: Buffer,
  route: SocketRoute,
): void {
  if (!checkOpening(context, request, socket)) return
  route.authorize?.(request)
  const webSocket = context.sockets.accept(request, socket, head, route.maxMessageBytes)
  if (webSocket === undefined) return
  try {
    listen(webSocket, route.connected(adaptSocket(webSocket), request))
  } catch (error) {
    context.logger.error('a plugin refused an open socket', { error: errorText(error) })
    webSocket.terminate()
  }
}

function openClock(
  context: UpgradeContext,
  request: IncomingMessage,
  socket: PendingSocket,
  head: Buffer,
): void {
  if (!checkOpening(context, request, socket)) return
  const webSocket = context.sockets.accept(request, socket, head, MAX_SUBSCRIBER_MESSAGE_BYTES)
  if (webSocket !== undefined) context.clock.add(webSocket)
}

async function openSubscription(
  context: UpgradeContext,
  request: IncomingMessage,
  socket: PendingSocket,
  head: Buffer,
  target: RequestTarget | undefined,
): Promise<void> {
  const key = target === undefined ? undefined : keyOfPath(target.path)
  if (target === undefined || key === undefined) {
    refuse(socket, { status: 404, text: '404 page not found\n' })
    return
  }
  assertKey(key)
  if (!isReadable(context, key)) {
    refuse(socket, { status: 400, text: '' })
    return
  }
  if (!checkOpening(context, request, socket)) return
  const subscription = await context.hub.subscribe(key)
  const webSocket = context.sockets.accept(request, socket, head, MAX_SUBSCRIBER_MESSAGE_BYTES)
  if (webSocket === undefined) {
    subscription.close()
    return
  }
  const heldVersion = new URLSearchParams(target.query).get('v') ?? undefined
  serveSubscription(webSocket, subscription, heldVersion)
}

function isReadable(context: UpgradeContext, key: string): boolean {
  try {
    assertReadable(context.filters, key)
    return true
  } catch {
    return false
  }
}

/** True when the handshake is well formed and its origin allowed; otherwise it has been refused. */
function checkOpening(
  context: UpgradeContext,
  request: IncomingMessage,
  socket: PendingSocket,
): boolean {
  assertHandshake(request)
  if (isSocketOriginAllowed(request, context.allowedOrigins)) return true
  refuse(socket, {
    status: 403,
    text: 'Forbidden\n',
    headers: { 'Sec-Websocket-Version': '13' },
  })
  return false
}

function refuseWith(context: UpgradeContext, socket: PendingSocket, error: unknown): void {
  if (isStateError(error)) {
    refuse(socket, { status: error.meaning.status, text: error.message })
    return
  }
  context.logger.error('a handshake failed unexpectedly', { error: errorText(error) })
  refuse(socket, { status: 500, text: 'ooo: internal server error' })
}

/**
 * Answers a request that offers some other protocol (such as `h2c`) over plain HTTP, as the
 * offer may be ignored (RFC 9110 section 7.8). Its body, if any, is out of reach by now.
 */
async function answerPlainly(
  context: UpgradeContext,
  request: IncomingMessage,
  socket: PendingSocket,
): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    refuse(socket, { status: 400, text: 'Bad Request\n' })
    return
  }
  const response = new ServerResponse(request)
  response.shouldKeepAlive = false
  response.assignSocket(socket)
  response.on('finish', () => socket.end())
  await handleRequest(context, request, response)
}
