/** HTTP requests to leaders: what the stream does not carry, such as writes that only they may decide. */
import * as http from 'node:http'
import * as https from 'node:https'
import { errorText, StateError } from '../../src/core/errors.ts'
import { TOKEN_HEADER } from '../../src/core/wire/protocol.ts'
import type { LeaderAnswer, LeaderRequest } from '../../src/server/contract/plugin.ts'

export interface LeaderCallsOptions {
  readonly token: string | undefined
  /** Certificate authorities, PEM. Default: the usual ones. */
  readonly ca: readonly string[] | undefined
  /** Agent for a leader behind a proxy; undefined: this file's own. */
  readonly agentFor: ((url: string) => http.Agent | undefined) | undefined
}

/** Largest answer taken, bytes. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024
/** Requests to one leader at once; more of them wait, and their time runs. */
const MAX_SOCKETS = 256

/** Connections to leaders, kept for later requests. */
export class LeaderCalls {
  readonly #options: LeaderCallsOptions
  readonly #http: http.Agent
  readonly #https: https.Agent

  constructor(options: LeaderCallsOptions) {
    this.#options = options
    // Unused connections are closed before a server closes them, so that none is met half closed.
    const pool = { keepAlive: true, maxSockets: MAX_SOCKETS, maxFreeSockets: 8, timeout: 4000 }
    this.#http = new http.Agent(pool)
    const ca = options.ca === undefined ? {} : { ca: [...options.ca] }
    this.#https = new https.Agent({ ...pool, ...ca })
  }

  /** @throws StateError `unreachable` when no whole answer comes, saying whether the request went out. */
  call(leader: string, request: LeaderRequest): Promise<LeaderAnswer> {
    return this.#call(leader, request, this.#options.token)
  }

  /** As `call`, of a node that has not proved itself: it is not shown the token. */
  callStranger(url: string, request: LeaderRequest): Promise<LeaderAnswer> {
    return this.#call(url, request, undefined)
  }

  #call(leader: string, request: LeaderRequest, token: string | undefined): Promise<LeaderAnswer> {
    const isSecure = leader.startsWith('https:')
    const { agentFor, ca } = this.#options
    const own = isSecure ? this.#https : this.#http
    const { method, target, body, timeoutMs } = request
    const headers: http.OutgoingHttpHeaders = { ...(request.headers as http.OutgoingHttpHeaders) }
    delete headers[TOKEN_HEADER]
    if (token !== undefined) headers[TOKEN_HEADER] = token
    if (body !== undefined) headers['content-length'] = Buffer.byteLength(body)
    return new Promise((resolve, reject) => {
      const timeout = AbortSignal.timeout(Math.max(1, Math.ceil(timeoutMs)))
      const signal = request.signal === undefined ? timeout : anyOf(timeout, request.signal)
      const { hostname, port } = new URL(leader)
      const outgoing = (isSecure ? https : http).request({
        agent: agentFor?.(leader) ?? own,
        ...(ca === undefined ? {} : { ca: [...ca] }),
        host: hostname.replace(/^\[|\]$/g, ''),
        port: port === '' ? (isSecure ? 443 : 80) : port,
        method,
        // The target as it came: a URL parser would fold dot segments, which keys may have.
        path: target,
        headers,
        signal,
      })
      let wasSent = false
      const fail = (error: unknown): void => {
        const reason = timeout.aborted ? `no answer within ${timeoutMs} ms` : errorText(error)
        reject(unreachable(leader, reason, wasSent && method !== 'GET', error))
      }
      // Through a proxy: what else than a tunnel it answers is no answer of the leader.
      outgoing.on('proxyConnect', ({ statusCode }: { statusCode: number }) => {
        if (statusCode === 200) return
        reject(unreachable(leader, `the proxy answered ${statusCode}`, false, undefined))
        outgoing.destroy()
      })
      outgoing.on('socket', (socket) => {
        const sent = (): void => {
          wasSent = true
        }
        if (socket.connecting) socket.once(isSecure ? 'secureConnect' : 'connect', sent)
        else sent()
      })
      outgoing.on('error', fail)
      outgoing.on('response', (incoming) => {
        collect(incoming).then((bytes) => {
          resolve({ status: incoming.statusCode ?? 502, headers: incoming.headers, body: bytes })
        }, fail)
      })
      outgoing.end(body)
    })
  }

  close(): void {
    this.#http.destroy()
    this.#https.destroy()
  }
}

async function collect(incoming: http.IncomingMessage): Promise<Uint8Array> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > MAX_ANSWER_BYTES) throw new Error(`an answer of more than ${MAX_ANSWER_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function anyOf(timeout: AbortSignal, signal: AbortSignal): AbortSignal {
  return AbortSignal.any([timeout, signal])
}

function unreachable(leader: string, reason: string, wasSent: boolean, cause: unknown): StateError {
  const outcome = wasSent ? 'it may have done what it was asked' : 'it was not asked'
  return new StateError(
    'unreachable',
    `cluster: no answer from ${leader} (${reason}); ${outcome}`,
    {
      cause,
    },
  )
}
