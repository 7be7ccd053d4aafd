/**
 * Routes that the owner of a server registered: endpoints and proxies. They are asked in the order of
 * their registration, ahead of the data routes; the first that matches answers.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { PendingSocket } from '../connections/sockets.ts'
import type { PathVariables } from './path-template.ts'

/** One registered route. */
export interface RoutedHandler {
  /**
   * The path's variables when this route answers `method` on `path` (percent-decoded), else undefined.
   * WebSocket handshakes ask for `GET`.
   */
  matches(method: string, path: string): PathVariables | undefined
  /** Answers. A thrown StateError becomes its status and text. */
  handle(
    request: IncomingMessage,
    response: ServerResponse,
    url: URL,
    variables: PathVariables,
  ): void | Promise<void>
  /** Takes a WebSocket handshake; a route without it leaves handshakes to the data routes. */
  upgrade?(
    request: IncomingMessage,
    socket: PendingSocket,
    head: Buffer,
    variables: PathVariables,
  ): void | Promise<void>
  /** Methods it answers on `path`, empty when the path is not its own. Absent: not told. */
  methods?(path: string): readonly string[]
}

/** A route that matched, with what its path captured. */
export interface RouteMatch {
  readonly route: RoutedHandler
  readonly variables: PathVariables
}

export class Router {
  #routes: readonly RoutedHandler[] = []

  /** Adds a route after those already there, also while serving. Returns what takes it out again. */
  add(route: RoutedHandler): () => void {
    this.#routes = [...this.#routes, route]
    return () => {
      this.#routes = this.#routes.filter((other) => other !== route)
    }
  }

  /** The first route that answers `method` on `path`. */
  find(method: string, path: string): RouteMatch | undefined {
    return this.#first(method, path, () => true)
  }

  /** The first route that takes WebSocket handshakes on `path`. */
  findUpgrade(path: string): RouteMatch | undefined {
    return this.#first('GET', path, (route) => route.upgrade !== undefined)
  }

  /** Methods that routes answer on `path`, each once, in order of registration. */
  methodsOf(path: string): string[] {
    return [...new Set(this.#routes.flatMap((route) => route.methods?.(path) ?? []))]
  }

  #first(
    method: string,
    path: string,
    accepts: (route: RoutedHandler) => boolean,
  ): RouteMatch | undefined {
    for (const route of this.#routes) {
      if (!accepts(route)) continue
      const variables = route.matches(method, path)
      if (variables !== undefined) return { route, variables }
    }
    return undefined
  }
}
