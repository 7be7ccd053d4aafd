/** The server under test as one case sees it: requests, sockets, and a key space of its own. */
import type { ClientOptions } from 'ws'
import type { Server, ServerOptions } from '../../../src/server/server.ts'
import { WireFailure } from './assert.ts'
import {
  exchangeRaw,
  type HttpAnswer,
  type HttpRequest,
  handshake,
  type RawAnswer,
  send,
} from './exchange.ts'
import { Probe } from './probe.ts'

/** What a case may ask of a server that the suite starts for it: any option but the port, and what it registers. */
export interface OwnServerOptions extends Partial<Omit<ServerOptions, 'port' | 'host'>> {
  /** Registers filters, endpoints, proxies and hooks before the server opens; may keep the server. */
  readonly prepare?: (server: Server) => void
}

export interface OwnServer {
  readonly url: string
  close(): Promise<void>
}

/** Starts a server for a case; absent where the target is foreign. */
export type StartServer = (options: OwnServerOptions) => Promise<OwnServer>

export class Target {
  readonly base: URL
  /** Every key of the case is this or lies below it. */
  readonly prefix: string
  readonly #start: StartServer | undefined
  readonly #closers: (() => unknown)[] = []

  constructor(url: string, prefix: string, start: StartServer | undefined) {
    this.base = new URL(url)
    this.prefix = prefix
    this.#start = start
  }

  /** The path of a key of this case, as `/prefix/name`. */
  at(name: string): string {
    return `/${this.prefix}/${name}`
  }

  request(method: string, path: string, options: HttpRequest = {}): Promise<HttpAnswer> {
    return send(this.base, method, path, options)
  }

  get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<HttpAnswer> {
    return this.request('GET', path, { headers })
  }

  post(path: string, body: string): Promise<HttpAnswer> {
    return this.request('POST', path, { body })
  }

  patch(path: string, body: string): Promise<HttpAnswer> {
    return this.request('PATCH', path, { body })
  }

  /** Writes and insists on success; gives the index. */
  async store(path: string, json: string): Promise<string> {
    const { status, body } = await this.post(path, json)
    if (status !== 200) throw new WireFailure(`POST ${path} answered ${status}: ${body}`)
    return (JSON.parse(body) as { index: string }).index
  }

  /** JSON text of the data stored at a path. */
  async data(path: string): Promise<string> {
    const { body } = await this.get(path)
    return /"data":(.*)\}$/s.exec(body)?.[1] ?? `no data: ${body}`
  }

  raw(text: string): Promise<RawAnswer> {
    return exchangeRaw(this.base, text)
  }

  handshake(
    path: string,
    headers: Readonly<Record<string, string | undefined>> = {},
  ): Promise<RawAnswer> {
    return this.raw(handshake(this.base.host, path, headers))
  }

  /** An open WebSocket; closed after the case. */
  async socket(
    path: string,
    protocols: string[] = [],
    options: ClientOptions = {},
  ): Promise<Probe> {
    const url = `${this.base.origin.replace(/^http/, 'ws')}${path}`
    const probe = await Probe.open(url, protocols, options)
    this.#closers.push(() => probe.close())
    return probe
  }

  /** A socket with its first frame in hand. */
  async subscribe(path: string): Promise<Probe> {
    const probe = await this.socket(path)
    await probe.frame(0)
    return probe
  }

  /** A server of the suite's own with these options, empty; closed after the case. */
  async own(options: OwnServerOptions = {}): Promise<Target & { shutDown(): Promise<void> }> {
    if (this.#start === undefined) throw new WireFailure('the case needs a server of its own')
    const server = await this.#start(options)
    this.#closers.push(() => server.close())
    const target = new Target(server.url, this.prefix, undefined)
    this.#closers.push(() => target.release())
    return Object.assign(target, { shutDown: () => server.close() })
  }

  /** Closes what the case opened. */
  async release(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close()
  }

  /** Deletes what the case wrote, four levels deep. */
  async cleanUp(): Promise<void> {
    const below = ['*', '*/*', '*/*/*', '*/*/*/*'].map((glob) => this.at(glob))
    for (const path of [`/${this.prefix}`, ...below]) await this.request('DELETE', path)
  }
}
