/** HTTP calls to 2.0 peers, with the deadlines of wire protocol 2.0. Plain HTTP, connections kept. */
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { StateError } from '../../../src/core/errors.ts'

export interface PivotRequest {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** `http://host:port/path`; `*` and `/` in a query are sent as they are. */
  readonly url: string
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Milliseconds for all of it, the body included. Default 30 000. */
  readonly timeoutMs?: number
  /** Where it goes over. Default: any connection. */
  readonly connection?: StandingConnection
}

/** One connection to a peer that stays open between requests, and tells of its end. */
export class StandingConnection {
  readonly agent: Agent = new Agent({ keepAlive: true, maxSockets: 1 })
  readonly #ended: () => void
  readonly #known = new WeakSet<Socket>()
  #isClosed = false

  /** @param ended hears that a connection over which an answer came has ended */
  constructor(ended: () => void) {
    this.#ended = ended
  }

  /** An answer has begun to come over it. */
  answered({ socket, headers }: IncomingMessage): void {
    // A peer that keeps no connections open says nothing by ending them.
    if (headers.connection === 'close' || this.#known.has(socket)) return
    this.#known.add(socket)
    const end = (): void => {
      if (!this.#isClosed) this.#ended()
    }
    if (socket.destroyed) end()
    else socket.once('close', end)
  }

  /** Ends it, untold. Idempotent. */
  close(): void {
    this.#isClosed = true
    this.agent.destroy()
  }
}

export interface PivotAnswer {
  readonly status: number
  readonly body: string
}

/** An answer whose body is read piece by piece; it must be read, or `cancel`ed. */
export interface PivotStream {
  readonly status: number
  readonly chunks: AsyncIterable<Uint8Array>
  cancel(): void
}

const TOTAL_MS = 30_000
/** Silence before the first byte of an answer, and between two. */
const SILENCE_MS = 10_000
/** Most of an answer that is taken whole. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024

export class PivotHttp {
  readonly #agentFor: ((url: string) => Agent | undefined) | undefined
  readonly #agent: Agent = new Agent({ keepAlive: true, maxSockets: 10, maxFreeSockets: 10 })
  readonly #stop: AbortController = new AbortController()

  /** @param agentFor the agent for a peer behind a proxy */
  constructor(agentFor?: (url: string) => Agent | undefined) {
    this.#agentFor = agentFor
  }

  /** Rejects with StateError `unreachable` when no whole answer comes, `too_large` for more than 64 MiB. */
  async call(request: PivotRequest): Promise<PivotAnswer> {
    const { status, chunks, cancel } = await this.stream(request)
    const pieces: Uint8Array[] = []
    let size = 0
    for await (const chunk of chunks) {
      size += chunk.length
      if (size > MAX_ANSWER_BYTES) {
        cancel()
        throw new StateError('too_large', `pivot: ${request.url} answered over ${size} bytes`)
      }
      pieces.push(chunk)
    }
    return { status, body: Buffer.concat(pieces).toString('utf8') }
  }

  /** As `call`, the body as it comes; a cut body throws `unreachable` while it is read. */
  async stream(request: PivotRequest): Promise<PivotStream> {
    const response = await this.#send(request)
    const { url, connection } = request
    // What a proxy does with its connections says nothing of the peer.
    if (this.#agentFor?.(url) === undefined) connection?.answered(response)
    async function* chunks(): AsyncGenerator<Uint8Array, undefined> {
      try {
        for await (const chunk of response) yield chunk as Uint8Array
      } catch (cause) {
        throw unreachable(url, cause)
      }
      return undefined
    }
    return {
      status: response.statusCode ?? 0,
      chunks: chunks(),
      cancel: () => response.destroy(),
    }
  }

  /** Ends what is under way. Idempotent. */
  close(): void {
    this.#stop.abort()
    this.#agent.destroy()
  }

  #send({
    method,
    url,
    body,
    headers,
    timeoutMs,
    connection,
  }: PivotRequest): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const sent: Record<string, string> = { ...headers }
      if (body !== undefined) {
        sent['content-type'] = 'application/json'
        sent['content-length'] = String(Buffer.byteLength(body))
      }
      const signal = AbortSignal.any([
        this.#stop.signal,
        AbortSignal.timeout(timeoutMs ?? TOTAL_MS),
      ])
      const agent = this.#agentFor?.(url) ?? connection?.agent ?? this.#agent
      const options = { method, headers: sent, agent, signal }
      const outgoing = httpRequest(url, options, resolve)
      outgoing.setTimeout(SILENCE_MS, () => outgoing.destroy(new Error('silent for too long')))
      outgoing.on('error', (cause) => reject(unreachable(url, cause)))
      outgoing.end(body)
    })
  }
}

function unreachable(url: string, cause: unknown): StateError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new StateError('unreachable', `pivot: ${url}: ${reason}`, { cause })
}
