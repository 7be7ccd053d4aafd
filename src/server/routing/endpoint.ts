/** What a custom endpoint is: a path template, the methods it answers, and its handler. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Schema } from '../../core/json/schema.ts'
import type { ServerIo } from '../data/io.ts'
import type { PathVariables } from './path-template.ts'

/** What one method of an endpoint takes and gives. */
export interface EndpointMethod {
  /**
   * Schema of the request's JSON body. The body is then read before the handler runs, at most
   * `maxBodyBytes` of it; one that does not fit is refused with 400, naming the place.
   */
  readonly request?: Schema
  /**
   * Schema of the JSON body of a 2xx answer. The answer is then held until it is whole, at most
   * `maxBodyBytes` of it; one that does not fit is logged, and the client gets 500.
   */
  readonly response?: Schema
  /** Query parameters: name to description. Shown to tools. */
  readonly params?: Readonly<Record<string, string>>
}

/** What a handler is given beside the request. */
export interface EndpointContext {
  readonly variables: PathVariables
  readonly url: URL
  /** Reads and writes data: filters run, static mode is not asked. */
  readonly io: ServerIo
  /** The request's document as its schema gives it back; undefined without a request schema. */
  readonly body: unknown
  /** Aborts when the client has gone, or the server closes and its deadline has passed. */
  readonly signal: AbortSignal
}

interface EndpointBase {
  /** Literal text, `{name}` for one segment, `{name:regex}`. Starts with `/`. */
  readonly path: string
  /** By method name, such as `GET`. What is not listed goes to the data routes; GET answers HEAD too. */
  readonly methods: Readonly<Record<string, EndpointMethod>>
  readonly description?: string
  /** Path variables: name to description. Default: read from the template. */
  readonly vars?: Readonly<Record<string, string>>
  /**
   * Takes WebSocket handshakes (and whatever else is upgraded to) on the path; GET must be among the
   * methods. The page it comes from has been judged. It owns the socket: the handshake is its to check, and a
   * close of the server cuts it. Without it a handshake is a subscription.
   */
  readonly upgrade?: (
    request: IncomingMessage,
    socket: Socket,
    head: Buffer,
    context: EndpointContext,
  ) => void | Promise<void>
}

/** Answers on Node's response. It is done when the response is ended, whenever that is. */
export interface NodeEndpoint extends EndpointBase {
  readonly handler: (
    request: IncomingMessage,
    response: ServerResponse,
    context: EndpointContext,
  ) => void | Promise<void>
  readonly fetch?: never
}

/** Answers with a `Response`, whose body may be a stream. */
export interface WebEndpoint extends EndpointBase {
  readonly fetch: (request: Request, context: EndpointContext) => Response | Promise<Response>
  readonly handler?: never
}

/** An endpoint has exactly one of `handler` and `fetch`. */
export type Endpoint = NodeEndpoint | WebEndpoint
