/**
 * The one table of everything that a node answers. Requests and WebSocket handshakes are looked up in it, and
 * from it come `Allow`, `/?api=routes`, the table in docs/routes.md and the test of who may do what.
 *
 * 1. Routes of the node and of its plugins below `/-/` and `/_`: exact paths, then templates. Nothing else has a
 *    path below `/-/`, nor one that a plugin has.
 * 2. What the owner of the server registered, in that order.
 * 3. The rest: `/`, files of the web page, and keys.
 */
import type { IncomingMessage } from 'node:http'
import { StateError } from '../../core/errors.ts'
import type { Route, RouteTarget } from '../contract/route.ts'
import { methodNotAllowedReply, notFoundReply, textReply } from '../exchange/reply.ts'
import { parseTarget } from '../exchange/request-url.ts'
import { compileTemplate, type PathTemplate } from './path-template.ts'
import { ANY_METHOD, type Asked, type RouteMatch, Router } from './router.ts'

/** Paths of the server's own, which nobody can register. */
const OWN_PREFIX = '/-/'
/** Paths of routes that are asked first. */
const NODE_PATH = /^\/(?:_|-\/)/

/** A request and the route that answers it. */
export interface RoutedRequest {
  readonly route: Route
  readonly target: RouteTarget
}

export class RouteTable {
  readonly #exact = new Map<string, Router>()
  readonly #templates = new Router()
  readonly #registered: Router
  readonly #rest = new Router()

  constructor(registered: Router) {
    this.#registered = registered
  }

  /** @throws StateError `invalid_option` for a path whose method has a route already. */
  add(route: Route, template: PathTemplate = compileTemplate(route.path)): void {
    const router = this.#routerOf(route.path, template)
    const taken = router.list().filter(({ path }) => path === route.path)
    const method = taken.flatMap(({ methods }) => methods).find((m) => route.methods.includes(m))
    const upgrades = taken.some(({ upgrade }) => upgrade !== undefined)
    if (method !== undefined || (upgrades && route.upgrade !== undefined)) {
      throw new StateError(
        'invalid_option',
        `ooo: the path "${route.path}" is taken for ${method ?? 'WebSockets'}`,
      )
    }
    router.add(route, template)
  }

  /** Every route, first asked first. */
  list(): Route[] {
    const exact = [...this.#exact.values()]
    const routers = [...exact, this.#templates, this.#registered, this.#rest]
    return routers.flatMap((router) => router.list())
  }

  /** The route of a request, or of a handshake; there is always one, if only to refuse it. */
  routeOf({ url, method = '' }: IncomingMessage, isHandshake: boolean): RoutedRequest {
    const target = parseTarget(url)
    if (target === undefined) return { route: BAD_REQUEST, target: NOWHERE }
    const { path, query } = target
    const asked = isHandshake ? undefined : method
    const { route, variables } =
      (NODE_PATH.test(path) ? this.#findOwn(asked, path) : undefined) ??
      this.#registered.find(asked, path) ??
      this.#rest.find(asked, path) ??
      refusal(this.#openTo(path), asked)
    return { route, target: { path, query, variables } }
  }

  /** undefined for a path that no route of the node or of a plugin has, and others may. */
  #findOwn(asked: Asked, path: string): RouteMatch | undefined {
    const own = this.#exact.get(path) ?? this.#templates
    const found = own.find(asked, path)
    if (found !== undefined) return found
    const others = own.at(path)
    return others.length > 0 || path.startsWith(OWN_PREFIX) ? refusal(others, asked) : undefined
  }

  /** What `Allow` says of a path outside of the node's own. */
  allow(path: string): string {
    return allowed(this.#openTo(path))
  }

  #openTo(path: string): Route[] {
    return [...this.#registered.at(path), ...this.#rest.at(path)]
  }

  #routerOf(path: string, { variables }: PathTemplate): Router {
    if (!NODE_PATH.test(path)) return this.#rest
    if (variables.size > 0) return this.#templates
    const router = this.#exact.get(path) ?? new Router()
    this.#exact.set(path, router)
    return router
  }
}

const NOWHERE: RouteTarget = { path: '', query: '', variables: {} }
const BAD_REQUEST: Route = {
  path: '',
  methods: [],
  who: 'client',
  description: '',
  http: () => textReply(400, 'Bad Request\n'),
}

/**
 * Stands in where no route takes what is asked, behind the door of the path's first: `OPTIONS` is told what may be
 * asked, other methods are 405, and a path without routes is 404.
 */
function refusal(others: readonly Route[], asked: Asked): RouteMatch {
  const [first = BAD_REQUEST] = others
  const methods = methodsOf(others)
  const reply =
    asked === 'OPTIONS'
      ? { status: 204, headers: { Allow: allowed(others) } }
      : methodNotAllowedReply(methods.join(', '))
  const route = {
    ...{ path: first.path, methods: [], who: first.who, description: '' },
    ...{ authorize: first.authorize, isOfClients: first.isOfClients },
    http: () => (methods.length === 0 ? notFoundReply() : reply),
  }
  return { route, variables: {} }
}

function allowed(routes: readonly Route[]): string {
  const methods = methodsOf(routes)
  const head = methods.includes('GET') ? ['HEAD'] : []
  return [...new Set([...methods, ...head, 'OPTIONS'])].join(', ')
}

function methodsOf(routes: readonly Route[]): string[] {
  const methods = new Set(routes.flatMap((route) => route.methods))
  return [...methods].filter((method) => method !== ANY_METHOD)
}
