/** What a server's owner has registered. It outlives `close` and `open`, and may grow while serving. */
import { Filters } from '../store/filters.ts'
import { type EndpointServices, Endpoints } from './endpoints.ts'
import { Hooks } from './hooks.ts'
import { MiddlewareChain } from './middleware.ts'
import { Proxies } from './proxy.ts'
import type { RequestBodies } from './request-body.ts'
import { Router } from './router.ts'

export interface Registry {
  readonly filters: Filters
  readonly hooks: Hooks
  readonly middleware: MiddlewareChain
  /** Endpoints and proxies, in order of registration. */
  readonly router: Router
  readonly endpoints: Endpoints
  readonly proxies: Proxies
  readonly bodies: RequestBodies
}

export function createRegistry(services: EndpointServices): Registry {
  const router = new Router()
  return {
    filters: new Filters(),
    hooks: new Hooks(),
    middleware: new MiddlewareChain(),
    router,
    endpoints: new Endpoints(router, services),
    proxies: new Proxies(router),
    bodies: services.bodies,
  }
}
