/** What a server's owner has registered. It outlives `close` and `open`, and may grow while serving. */
import { Filters } from '../store/filters.ts'
import { Endpoints } from './endpoints.ts'
import { Hooks } from './hooks.ts'
import type { ServerIo } from './io.ts'
import { MiddlewareChain } from './middleware.ts'
import { Proxies } from './proxy.ts'
import { type BodyLimits, RequestBodies } from './request-bodies.ts'
import { Router } from './router.ts'

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
