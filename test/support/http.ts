/** One HTTP request to a node under test, on a connection of its own unless an agent is given. */

import * as http from 'node:http'

export interface Answer {
  readonly status: number
  readonly body: string
  readonly headers: http.IncomingHttpHeaders
}

export interface RequestOptions {
  readonly body?: string
  readonly headers?: Record<string, string>
  /** Milliseconds until the request fails. Default 30,000. */
  readonly timeoutMs?: number
  /** Keeps connections between requests. Default: a new connection, so that a killed node leaves none behind. */
  readonly agent?: http.Agent
}

/** Rejects when no whole answer comes: refused, cut, or late. */
export function request(
  method: string,
  url: string,
  options: RequestOptions = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const timeoutMs = options.timeoutMs ?? 30_000
    const headers = { ...options.headers }
    if (options.body !== undefined) {
      headers['content-type'] ??= 'application/json'
      headers['content-length'] = String(Buffer.byteLength(options.body))
    }
    const outgoing = http.request(
      url,
      { method, headers, agent: options.agent ?? false, signal: AbortSignal.timeout(timeoutMs) },
      (incoming) => {
        const chunks: Buffer[] = []
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.on('error', reject)
        incoming.on('end', () => {
          const status = incoming.statusCode ?? 0
          const body = Buffer.concat(chunks).toString('utf8')
          resolve({ status, body, headers: incoming.headers })
        })
      },
    )
    outgoing.on('error', reject)
    outgoing.end(options.body)
  })
}
