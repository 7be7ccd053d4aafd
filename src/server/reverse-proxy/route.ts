/** One registered proxy: its rules on methods and sizes, and what it holds open towards its targets. */
import type { Agent, IncomingMessage, ServerResponse } from 'node:http'
import { isStateError, StateError } from '../../core/errors.ts'
import {
  assertHandshake,
  type PendingSocket,
  refuse,
  type Sockets,
} from '../connections/sockets.ts'
import type { Route } from '../contract/route.ts'
import { sendReply } from '../exchange/reply.ts'
import { parseTarget } from '../exchange/request-url.ts'
import type { PathVariables } from '../routing/path-template.ts'
import { ANY_METHOD } from '../routing/router.ts'
import { openingOf } from '../websocket/handshake.ts'
import { serveSubscription } from '../websocket/websocket.ts'
import type { ResolvedProxyRoute } from './config.ts'
import { forward } from './http.ts'
import { createAgent } from './outgoing.ts'
import { type ResolvedTarget, resolveTarget } from './target.ts'
import { Upstream, type UpstreamContext } from './upstream.ts'

/** What proxies use of the open server. */
export interface ProxyRuntime extends UpstreamContext {
  readonly sockets: Sockets
  readonly maxBodyBytes: number
}

const CAPABILITY_OF = {
  GET: 'read',
  POST: 'write',
  PATCH: 'write',
  DELETE: 'delete',
} as const

export class RegisteredProxy {
  readonly route: ResolvedProxyRoute
  /** The open server; undefined while it is not. */
  readonly #runtime: () => ProxyRuntime | undefined
  readonly #upstreams = new Map<string, Upstream>()
  #agent: Agent | undefined
  /** Agents of an earlier `open`, until the requests under way are over. */
  readonly #retired: Agent[] = []
  #requests = 0

  constructor(route: ResolvedProxyRoute, runtime: () => ProxyRuntime | undefined) {
    this.route = route
    this.#runtime = runtime
  }

  /** Requests under way. */
  get requestCount(): number {
    return this.#requests
  }

  /** Sockets to targets that are open or being opened. */
  get upstreamCount(): number {
    return this.#upstreams.size
  }

  /** Local sockets served from those. */
  get subscriberCount(): number {
    let count = 0
    for (const upstream of this.#upstreams.values()) count += upstream.subscriberCount
    return count
  }

  /** Its row for one of its paths. */
  row(path: string): Route {
    const { description } = this.route
    return {
      ...{ path, description, who: 'client', methods: [ANY_METHOD], isOfClients: true },
      http: (request, response, { variables }) => this.#handle(request, response, variables),
      upgrade: (request, socket, head, { variables }) =>
        this.#upgrade(request, socket, head, variables),
    }
  }

  /** Ends what is open towards targets, and the local sockets that depend on it. */
  release(code: number, reason: string): void {
    for (const upstream of [...this.#upstreams.values()]) upstream.close(code, reason)
    if (this.#agent !== undefined) this.#retired.push(this.#agent)
    this.#agent = undefined
    this.#endRetired()
  }

  /** Destroying an agent cuts its exchanges, so that waits for the last one. */
  #endRetired(): void {
    if (this.#requests > 0) return
    for (const agent of this.#retired.splice(0)) agent.destroy()
  }

  async #handle(
    request: IncomingMessage,
    response: ServerResponse,
    variables: PathVariables,
  ): Promise<void> {
    const runtime = this.#open()
    const refusal = this.#refusal(request.method ?? '')
    if (refusal !== undefined) return answer(request, response, refusal.status, refusal.text)
    const limit = this.route.maxConcurrentRequests
    if (this.#requests >= limit) {
      throw new StateError('overloaded', `proxy: ${limit} requests are under way; the limit`)
    }
    this.#requests++
    try {
      const target = await this.#resolve(request, variables, runtime)
      if (response.destroyed) return
      this.#open()
      this.#agent ??= createAgent(this.route)
      const { time, maxBodyBytes } = runtime
      const context = { time, maxBodyBytes, agent: this.#agent }
      const failure = await forward(request, response, this.route, target, context)
      if (failure !== undefined) await answer(request, response, failure.status, failure.text)
    } catch (error) {
      if (!isStateError(error)) throw error
      await answer(request, response, error.meaning.status, `${error.clientText}\n`)
    } finally {
      this.#requests--
      this.#endRetired()
    }
  }

  async #upgrade(
    request: IncomingMessage,
    socket: PendingSocket,
    head: Buffer,
    variables: PathVariables,
  ): Promise<void> {
    const runtime = this.#open()
    assertHandshake(request)
    const opening = openingOf(request)
    const refusal = this.#refusal('GET')
    if (refusal !== undefined) return refuse(socket, refusal)
    let target: ResolvedTarget
    try {
      target = await this.#resolve(request, variables, runtime)
      this.#open()
    } catch (error) {
      if (!isStateError(error)) throw error
      return refuse(socket, { status: error.meaning.status, text: `${error.clientText}\n` })
    }
    const { sockets } = runtime
    const accepted = sockets.acceptSubscriber(socket, head, opening)
    if (accepted === undefined) return
    const upstream = this.#upstream(target, request, runtime)
    serveSubscription(accepted, upstream.subscribe(), undefined)
  }

  #resolve(
    request: IncomingMessage,
    variables: PathVariables,
    runtime: ProxyRuntime,
  ): Promise<ResolvedTarget> {
    const localPath = (parseTarget(request.url)?.path ?? '/').slice(1)
    return resolveTarget(this.route, localPath, { request, variables }, runtime.time)
  }

  /**
   * Shared by those who would be sent the same: the same target, asked for with the same credentials. One
   * client's token must not show another its view.
   */
  #upstream(target: ResolvedTarget, request: IncomingMessage, runtime: ProxyRuntime): Upstream {
    const offered = request.headers['sec-websocket-protocol'] ?? ''
    const { authorization = '' } = request.headers
    const id = JSON.stringify([target.socketUrl, offered, authorization])
    const known = this.#upstreams.get(id)
    if (known !== undefined) return known
    const protocols = [...new Set(offered.split(',').map((offer) => offer.trim()))]
    const link = {
      url: target.socketUrl,
      protocols: protocols.filter((offer) => offer !== ''),
      route: this.route,
    }
    const upstream = new Upstream(link, runtime, () => {
      if (this.#upstreams.get(id) === upstream) this.#upstreams.delete(id)
    })
    this.#upstreams.set(id, upstream)
    return upstream
  }

  #refusal(method: string): { readonly status: number; readonly text: string } | undefined {
    if (!isForwarded(method)) return { status: 405, text: 'method not allowed\n' }
    return this.route.capabilities[CAPABILITY_OF[method]]
      ? undefined
      : { status: 403, text: 'Forbidden\n' }
  }

  #open(): ProxyRuntime {
    const runtime = this.#runtime()
    if (runtime === undefined) throw new StateError('closing', 'ooo: server is closing')
    return runtime
  }
}

function isForwarded(method: string): method is keyof typeof CAPABILITY_OF {
  return Object.hasOwn(CAPABILITY_OF, method)
}

function answer(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  body: string,
): Promise<void> {
  const headers = {
    'Content-Type': 'text/plain; charset=utf-8',
    'X-Content-Type-Options': 'nosniff',
  }
  return sendReply(request, response, { status, headers, body })
}
