/** A route: one row of the table that every way into a node is looked up in. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Who } from '../doors/who.ts'
import type { Reply } from '../exchange/reply.ts'

export type { Who } from '../doors/who.ts'
export type { Reply } from '../exchange/reply.ts'

/** What a request asks for. */
export interface RouteTarget {
  /** Percent-decoded, starting with `/`. */
  readonly path: string
  /** The query as sent, without its `?`. */
  readonly query: string
  /** What the variables of the route's path stand for. */
  readonly variables: Readonly<Record<string, string>>
}

/**
 * Answers a request: gives the reply, or writes it to `response` itself. A thrown StateError becomes its status and
 * text.
 */
export type RouteHandler = (
  request: IncomingMessage,
  response: ServerResponse,
  target: RouteTarget,
  // biome-ignore lint/suspicious/noConfusingVoidType: a handler that writes the answer itself returns nothing
) => Reply | undefined | void | Promise<Reply | undefined | void>

/** Takes a WebSocket handshake, and the socket with it. */
export type UpgradeHandler = (
  request: IncomingMessage,
  socket: Socket,
  head: Buffer,
  target: RouteTarget,
) => void | Promise<void>

/** What is told of a route. */
export interface RouteInfo {
  /** A path template: literal text, `{name}` for one segment, `{name:regex}`. */
  readonly path: string
  /** Methods it answers; GET answers HEAD too. `*` is every method. */
  readonly methods: readonly string[]
  readonly who: Who
  /** What it does, in a few words. */
  readonly description: string
}

export interface Route extends RouteInfo {
  /** Asks for the credential that `who` names, where it names one; throws a StateError to refuse. */
  readonly authorize?: ((request: IncomingMessage) => void) | undefined
  readonly http?: RouteHandler
  readonly upgrade?: UpgradeHandler | undefined
  /** It has no place on the connections that are kept for other nodes and management. */
  readonly isOfClients?: boolean | undefined
}
