/**
 * The life of a WebSocket handshake: its route is looked up, then the page guard, admission and middleware are
 * asked, then the door of the route, and the route takes the connection.
 *
 * Order for a key: valid key, static mode, `beforeRead` hooks, the pool's state is read,
 * `subscribe` hooks, the upgrade is answered, and the snapshot is sent and the connection joins the
 * pool in one step. `unsubscribe` hooks run once the connection ends, or when the upgrade fails.
 */
import { type IncomingMessage, ServerResponse } from 'node:http'
import { errorText, isStateError } from '../../core/errors.ts'
import { assertKey } from '../../core/keys/key.ts'
import type { Hub, Subscription } from '../../fanout/hub.ts'
import type { ClockSocket } from '../connections/clock-socket.ts'
import { announce, type Hooks, runRefusing } from '../connections/hooks.ts'
import {
  assertHandshake,
  type PendingSocket,
  refuse,
  type Sockets,
} from '../connections/sockets.ts'
import type { PluginRoute, SocketRoute } from '../contract/plugin.ts'
import type { Route, RouteTarget } from '../contract/route.ts'
import { assertReadable } from '../data/permit.ts'
import { serveWriteStatus, statusQuestion } from '../data/write-route.ts'
import { runMiddleware } from '../exchange/middleware.ts'
import type { RoutedRequest } from '../routing/route-table.ts'
import { MAX_SUBSCRIBER_MESSAGE_BYTES, openingOf } from '../websocket/handshake.ts'
import { serveSubscription } from '../websocket/websocket.ts'
import { adaptSocket, listen } from '../websocket/ws-socket.ts'
import { type HttpContext, handleRequest } from './http.ts'

/** What hooks are told in place of a key when a client subscribes to the clock. */
const CLOCK_KEY = ''
const WEBSOCKET_VERSION: Readonly<Record<string, string>> = { 'Sec-Websocket-Version': '13' }

export interface UpgradeContext extends HttpContext {
  readonly hub: Hub
  readonly sockets: Sockets
  readonly clock: ClockSocket
  readonly hooks: Hooks
  /** Runs what is to run before a read; undefined when there is nothing to wait for. */
  readonly beforeRead: (keyOrGlob: string) => Promise<void> | undefined
  /** Whether the version of a key's or glob's pool proves its state: not when some changes stay unsent. */
  readonly isResumable: (keyOrGlob: string) => boolean
}

/** Answers one upgrade request. Never rejects. */
export async function handleUpgrade(
  context: UpgradeContext,
  request: IncomingMessage,
  socket: PendingSocket,
  head: Buffer,
): Promise<void> {
  // A peer that goes away mid-handshake is no fault of this side.
  socket.on('error', destroyFailed)
  try {
    if (request.headers.upgrade?.toLowerCase() !== 'websocket') {
      await answerPlainly(context, request, socket)
      return
    }
    context.sockets.hold(socket)
    if (!context.isServing()) {
      refuse(socket, { status: 503, text: 'ooo: server is closing' })
      return
    }
    // A pool that is in memory would go on being shown, and never change.
    const lost = context.lost()
    if (lost !== undefined) throw lost
    const { url } = request
    const routed = context.routes.routeOf(request, true)
    const { route } = routed
    const verdict = context.pages.judge(request, 'socket', route)
    if (verdict.kind === 'refused') {
      refuse(socket, { ...verdict, headers: WEBSOCKET_VERSION })
      return
    }
    const refusal = context.admission.judgeUpgrade(request, route.who === 'peer')
    if (refusal !== undefined) {
      refuse(socket, refusal)
      return
    }
    const { middleware } = context.registry
    const outcome = await runMiddleware(middleware, request, undefined, () =>
      open(
        request,
        socket,
        head,
        request.url === url ? routed : context.routes.routeOf(request, true),
      ),
    )
    if (outcome === 'stopped') refuse(socket, { status: 403, text: 'Forbidden\n' })
  } catch (error) {
    refuseWith(context, socket, error)
  }
}

/** Holds on to nothing: it stays with the connection when the request is long forgotten. */
function destroyFailed(this: PendingSocket): void {
  this.destroy()
}

function open(
  request: IncomingMessage,
  socket: PendingSocket,
  head: Buffer,
  { route, target }: RoutedRequest,
): void | Promise<void> {
  route.authorize?.(request)
  if (route.upgrade !== undefined) return route.upgrade(request, socket, head, target)
  refuse(socket, { status: 404, text: '404 page not found\n' })
}

/** A plugin's route as one of the table. */
export function pluginRoute(context: UpgradeContext, { socket, ...route }: PluginRoute): Route {
  if (socket === undefined) return route
  return {
    ...route,
    upgrade: (request, connection, head) =>
      openPluginSocket(context, request, connection, head, socket),
  }
}

function openPluginSocket(
  context: UpgradeContext,
  request: IncomingMessage,
  socket: PendingSocket,
  head: Buffer,
  route: SocketRoute,
): void {
  assertHandshake(request)
  const webSocket = context.sockets.accept(request, socket, head, route.maxMessageBytes)
  if (webSocket === undefined) return
  context.admission.welcomePeer(request)
  try {
    listen(
      webSocket,
      route.connected(
        adaptSocket(webSocket, () => request.socket),
        request,
      ),
    )
  } catch (error) {
    context.logger.error('a plugin refused an open socket', { error: errorText(error) })
    webSocket.terminate()
  }
}

/** Nobody subscribes to a key here, so no `subscribe` hook is asked. */
export function openWriteStatus(
  context: UpgradeContext,
  request: IncomingMessage,
  socket: PendingSocket,
  head: Buffer,
): void {
  assertHandshake(request)
  const question = statusQuestion(context, request)
  const leave = context.writeStatuses.enter(context.admission.clientOf(request))
  const webSocket = context.sockets.accept(request, socket, head, MAX_SUBSCRIBER_MESSAGE_BYTES)
  if (webSocket === undefined) leave()
  else void serveWriteStatus(context, question, webSocket, leave)
}

export async function openClock(
  context: UpgradeContext,
  request: IncomingMessage,
  socket: PendingSocket,
  head: Buffer,
): Promise<void> {
  assertHandshake(request)
  const leave = await admit(context, CLOCK_KEY, request, socket)
  if (leave === undefined) return
  const webSocket = context.sockets.accept(request, socket, head, MAX_SUBSCRIBER_MESSAGE_BYTES)
  if (webSocket === undefined) leave()
  else {
    webSocket.on('close', leave)
    context.clock.add(webSocket)
  }
}

export async function openSubscription(
  context: UpgradeContext,
  request: IncomingMessage,
  socket: PendingSocket,
  head: Buffer,
  { query, variables: { key = '' } }: RouteTarget,
): Promise<void> {
  assertKey(key)
  if (!isReadable(context, key)) {
    refuse(socket, { status: 400, text: '' })
    return
  }
  assertHandshake(request)
  const opening = openingOf(request)
  const subscription = await subscribe(context, key, socket)
  if (subscription === undefined) return
  const leave = await admit(context, key, request, socket)
  if (leave === undefined) {
    subscription.close()
    return
  }
  const version = new URLSearchParams(query).get('v') ?? undefined
  const heldVersion = context.isResumable(key) ? version : undefined
  const { sockets } = context
  if (sockets.delegate({ pattern: key, subscription, socket, head, opening, heldVersion }, leave)) {
    return
  }
  const accepted = sockets.acceptSubscriber(socket, head, opening)
  if (accepted === undefined) {
    leave()
    subscription.close()
    return
  }
  accepted.onGone(leave)
  serveSubscription(accepted, subscription, heldVersion)
}

/** A place in the pool of `key`; undefined when it may not be read, which has been answered. */
async function subscribe(
  context: UpgradeContext,
  key: string,
  socket: PendingSocket,
): Promise<Subscription | undefined> {
  await context.beforeRead(key)
  try {
    return await context.hub.subscribe(key)
  } catch (error) {
    if (!isStateError(error) || error.meaning.status !== 400) throw error
    refuse(socket, { status: 400, text: '' })
    return undefined
  }
}

/**
 * Asks the `subscribe` hooks.
 * @returns what tells the `unsubscribe` hooks; undefined when it was refused or the connection is gone
 */
async function admit(
  context: UpgradeContext,
  key: string,
  request: IncomingMessage,
  socket: PendingSocket,
): Promise<(() => void) | undefined> {
  if (socket.destroyed) return undefined
  const { hooks, logger } = context
  try {
    await runRefusing(hooks, 'subscribe', key, request)
  } catch (error) {
    logger.debug('a hook refused a subscription', { key, error: errorText(error) })
    refuse(socket, { status: 400, text: '' })
    return undefined
  }
  return () => announce(hooks, 'unsubscribe', logger, key)
}

function isReadable(context: UpgradeContext, key: string): boolean {
  try {
    assertReadable(context.filters, key)
    return true
  } catch {
    return false
  }
}

function refuseWith(context: UpgradeContext, socket: PendingSocket, error: unknown): void {
  if (isStateError(error)) {
    // A peer of another protocol version is told which one is spoken (RFC 6455 section 4.4).
    const headers = isStateError(error, 'invalid_message') ? WEBSOCKET_VERSION : {}
    refuse(socket, { status: error.meaning.status, text: error.clientText, headers })
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
