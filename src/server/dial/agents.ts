/**
 * Agents that reach servers through HTTP proxies, by a tunnel (`CONNECT`, RFC 9110 section 9.3.6). The
 * tunnel is used for plain HTTP too, since a WebSocket gets through a proxy in no other way.
 */
import type { Agent, ClientRequest } from 'node:http'
import type { Socket } from 'node:net'
import { HttpsProxyAgent } from 'https-proxy-agent'
import type { ProxyChoice } from './choice.ts'

export interface ProxyAgentsOptions {
  /** Milliseconds until a proxy has opened a tunnel. Default 5000. */
  readonly tunnelTimeoutMs?: number
  /** Authorities trusted for `https://` proxies, PEM. Default: the usual ones. */
  readonly ca?: readonly string[] | undefined
}

/** The agent for requests to a server; undefined when it is reached directly. */
export type AgentFor = (url: string) => Agent | undefined

/** Connections to one server through a proxy at once; more requests wait, and their time runs. */
const MAX_SOCKETS = 256
/** An unused connection is closed after so long: before a server closes it, milliseconds. */
const IDLE_MS = 4000

/** One agent per proxy, kept with their connections until `close`. */
export class ProxyAgents {
  readonly #choice: ProxyChoice
  readonly #options: ProxyAgentsOptions
  readonly #agents = new Map<string, TunnelAgent>()

  constructor(choice: ProxyChoice, options: ProxyAgentsOptions = {}) {
    this.#choice = choice
    this.#options = options
  }

  /** As `AgentFor`. */
  agentFor(url: string): Agent | undefined {
    const proxy = this.#choice(url)
    if (proxy === undefined) return undefined
    const known = this.#agents.get(proxy)
    if (known !== undefined) return known
    const { tunnelTimeoutMs = 5000, ca } = this.#options
    const made = new TunnelAgent(proxy, tunnelTimeoutMs, ca)
    this.#agents.set(proxy, made)
    return made
  }

  /** Ends all connections. Idempotent. */
  close(): void {
    for (const agent of this.#agents.values()) agent.destroy()
  }
}

/** Bounds the time in which the proxy has to answer: the agent it extends would wait for ever. */
class TunnelAgent extends HttpsProxyAgent<string> {
  readonly #timeoutMs: number
  readonly #ca: readonly string[] | undefined

  constructor(proxy: string, timeoutMs: number, ca: readonly string[] | undefined) {
    super(proxy, { keepAlive: true, maxSockets: MAX_SOCKETS, maxFreeSockets: 8, timeout: IDLE_MS })
    this.#timeoutMs = timeoutMs
    this.#ca = ca
  }

  override async connect(
    request: ClientRequest,
    options: Parameters<HttpsProxyAgent<string>['connect']>[1],
  ): Promise<Socket> {
    const late = new AbortController()
    const ca = this.#ca === undefined ? {} : { ca: [...this.#ca] }
    const once = new HttpsProxyAgent(this.proxy, { ...ca, signal: late.signal })
    const message = `the proxy opened no tunnel within ${this.#timeoutMs} ms`
    const timer = setTimeout(() => late.abort(), this.#timeoutMs)
    try {
      return await once.connect(request, options)
    } catch (cause) {
      throw late.signal.aborted ? new Error(message, { cause }) : cause
    } finally {
      clearTimeout(timer)
    }
  }
}
