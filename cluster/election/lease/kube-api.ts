/**
 * Requests to the Kubernetes API: JSON over HTTP, with the access of this very moment. The few calls
 * that a lease needs do not warrant a client library of some hundred thousand lines.
 */
import * as http from 'node:http'
import * as https from 'node:https'
import type { KubeAccess, KubeConfig } from './kube-config.ts'

export interface KubeAnswer {
  readonly status: number
  /** Parsed JSON; undefined for anything else. */
  readonly body: unknown
}

export interface KubeRequest {
  /** `PATCH` sends a merge patch (RFC 7396). */
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH'
  /** From the root of the API. */
  readonly path: string
  readonly body?: unknown
}

/** Largest answer taken, bytes. */
const MAX_ANSWER_BYTES = 1024 * 1024

export class KubeApi {
  readonly #config: KubeConfig
  readonly #timeoutMs: number
  #agent: { readonly for: string; readonly agent: http.Agent } | undefined

  /** @param timeoutMs until a request without an answer fails. */
  constructor(config: KubeConfig, timeoutMs: number) {
    this.#config = config
    this.#timeoutMs = timeoutMs
  }

  /** @throws Error when no whole answer comes in time; the server may have done what it was asked. */
  async request({ method, path, body }: KubeRequest): Promise<KubeAnswer> {
    const access = this.#config.access()
    const { server, token } = access
    const url = new URL(`${server}${path}`)
    const isSecure = url.protocol === 'https:'
    const text = body === undefined ? undefined : JSON.stringify(body)
    const headers: http.OutgoingHttpHeaders = { accept: 'application/json' }
    if (token !== undefined) headers.authorization = `Bearer ${token}`
    if (text !== undefined) {
      headers['content-type'] =
        method === 'PATCH' ? 'application/merge-patch+json' : 'application/json'
      headers['content-length'] = Buffer.byteLength(text)
    }
    const signal = AbortSignal.timeout(Math.max(1, Math.ceil(this.#timeoutMs)))
    const agent = this.#agentFor(access, isSecure)
    return new Promise((resolve, reject) => {
      const outgoing = (isSecure ? https : http).request(
        url,
        { agent, method, headers, signal },
        (incoming) => {
          collect(incoming).then(
            (answer) => resolve({ status: incoming.statusCode ?? 0, body: parsed(answer) }),
            reject,
          )
        },
      )
      outgoing.on('error', (error) =>
        reject(signal.aborted ? new Error(`no answer within ${this.#timeoutMs} ms`) : error),
      )
      outgoing.end(text)
    })
  }

  /** Ends connections. */
  close(): void {
    this.#agent?.agent.destroy()
    this.#agent = undefined
  }

  /** Connections are kept for as long as they are made with the same authority and certificate. */
  #agentFor({ ca, cert, key, verifies }: KubeAccess, isSecure: boolean): http.Agent {
    const name = JSON.stringify([isSecure, ca, cert, key, verifies])
    if (this.#agent?.for === name) return this.#agent.agent
    this.close()
    const pool = { keepAlive: true, maxSockets: 4, maxFreeSockets: 1 }
    const tls = {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      rejectUnauthorized: verifies,
    }
    const agent = isSecure ? new https.Agent({ ...pool, ...tls }) : new http.Agent(pool)
    this.#agent = { for: name, agent }
    return agent
  }
}

async function collect(incoming: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > MAX_ANSWER_BYTES) throw new Error(`an answer of more than ${MAX_ANSWER_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}
