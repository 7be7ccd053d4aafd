/** Bare connections from chosen addresses, and the answers they get. */
import { once } from 'node:events'
import * as net from 'node:net'
import type { AdmissionMetrics } from '../../../src/server/admission/admission.ts'
import type { ServerOptions } from '../../../src/server/contract/options.ts'
import { FakeTime } from '../../support/fake-time.ts'
import { waitFor } from '../../support/wait.ts'
import { afterTest, handshake, serve, type TestServer } from '../serve.ts'

/** Generous: the machine may be busy. */
export const DEADLINE_MS = 20_000

/** An open connection; ended after the test. */
export class Caller {
  readonly socket: net.Socket
  #text = ''
  #isClosed = false

  constructor(port: number, localAddress = '127.0.0.1') {
    this.socket = net.connect({ port, host: '127.0.0.1', localAddress })
    this.socket.on('error', () => undefined)
    this.socket.on('data', (chunk) => {
      this.#text += chunk.toString('latin1')
    })
    this.socket.on('close', () => {
      this.#isClosed = true
    })
    afterTest(() => this.socket.destroy())
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** What came since the last call of `ask`. */
  get text(): string {
    return this.#text
  }

  /** Sends a request and gives the answer, once its head is there. */
  async ask(request: string): Promise<Refusal> {
    this.#text = ''
    this.socket.write(request)
    await waitFor(() => this.#text.includes('\r\n\r\n') || this.#isClosed, {
      what: 'an answer',
      deadlineMs: DEADLINE_MS,
    })
    return parseAnswer(this.#text)
  }

  /** Resolves with everything that came, when the server has ended the connection. */
  async closed(): Promise<string> {
    await waitFor(() => this.#isClosed, { what: 'the end', deadlineMs: DEADLINE_MS })
    return this.#text
  }
}

export interface Refusal {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export function parseAnswer(text: string): Refusal {
  const [head = '', ...body] = text.split('\r\n\r\n')
  const [status = '', ...lines] = head.split('\r\n')
  const headers = lines.map((line): [string, string] => {
    const [name = '', ...value] = line.split(': ')
    return [name.toLowerCase(), value.join(': ')]
  })
  const all = body.join('\r\n\r\n')
  return {
    status: Number(status.split(' ')[1] ?? 0),
    headers: Object.fromEntries(headers),
    body: all,
  }
}

export function get(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`
}

/** The answer to one request on a connection of its own; `connection` tells whether it was to be the last. */
export async function ask(
  { port }: TestServer,
  request: string,
  localAddress?: string,
): Promise<Refusal> {
  const caller = new Caller(port, localAddress)
  const { headers } = await caller.ask(request)
  if (headers.connection !== 'close') return parseAnswer(caller.text)
  return parseAnswer(await caller.closed())
}

/** The answer to one handshake; the connection of one that succeeds stays open. */
export async function upgrade(
  { port }: TestServer,
  path: string,
  { from, headers }: { readonly from?: string; readonly headers?: Record<string, string> } = {},
): Promise<Refusal & { readonly caller: Caller }> {
  const caller = new Caller(port, from)
  const answer = await caller.ask(handshake(path, headers))
  if (answer.status === 101) return { ...answer, caller }
  return { ...parseAnswer(await caller.closed()), caller }
}

/**
 * A server that nothing ends by time: connections may be silent, and its clock stands still unless one is
 * given, however busy the machine is.
 */
export function serveCalmly(options: Partial<ServerOptions>): Promise<TestServer> {
  const patience = { headersTimeoutMs: 0, readTimeoutMs: 0, idleTimeoutMs: 600_000 }
  return serve({ time: new FakeTime(), ...patience, ...options })
}

/** Opens connections that say nothing, one after the other, and waits until the server has noted them. */
export async function hold(node: TestServer, count: number, from?: string): Promise<Caller[]> {
  const { plain } = node.server.admissionMetrics
  const callers = Array.from({ length: count }, () => new Caller(node.port, from))
  await Promise.all(callers.map(({ socket }) => once(socket, 'connect')))
  await until(node, (metrics) => metrics.plain === plain + count)
  return callers
}

export async function until(
  node: TestServer,
  condition: (metrics: AdmissionMetrics) => boolean,
): Promise<void> {
  await waitFor(() => condition(node.server.admissionMetrics), { deadlineMs: DEADLINE_MS })
}
