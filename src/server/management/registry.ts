/** What a server's owner has registered. It outlives `close` and `open`, and may grow while serving. */
import { Filters } from '../../store/filters/filters.ts'
import { Hooks } from '../connections/hooks.ts'
import type { ServerIo } from '../data/io.ts'
import { MiddlewareChain } from '../exchange/middleware.ts'
import { type BodyLimits, RequestBodies } from '../exchange/request-bodies.ts'
import { Proxies } from '../reverse-proxy/proxy.ts'
import { Endpoints } from '../routing/endpoints.ts'
import { Router } from '../routing/router.ts'

export interface Registry {
  readonly filters: Filters
  readonly hooks: Hooks
  readonly middleware: MiddlewareChain
  /** Endpoints and proxies, in order of registration. */
  readonly router: Router
  readonly endpoints: Endpoints
  readonly proxies: Proxies
  /** The bodies of requests under way. */
  readonly bodies: RequestBodies
}

export function createRegistry({
  io,
  ...limits
}: { readonly io: ServerIo } & BodyLimits): Registry {
  const bodies = new RequestBodies(limits)
  const router = new Router()
  return {
    filters: new Filters(),
    hooks: new Hooks(),
    middleware: new MiddlewareChain(),
    router,
    endpoints: new Endpoints(router, { io, bodies }),
    proxies: new Proxies(router),
    bodies,
  }
}
