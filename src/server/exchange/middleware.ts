/**
 * Middleware: functions that every request passes on its way in, and on its way out. A request runs
 * through them in the order of registration; each decides by calling `next` whether it goes on.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'

/**
 * Runs the rest of the way: the middleware after this one, then the route. Resolves when that has been
 * answered, rejects with what it threw. More calls give the same promise.
 */
export type Next = () => Promise<void>

/**
 * Sees every request: of the web UI, the management API, plugins, routes and keys, unmatched ones, and
 * WebSocket handshakes, for which `response` is undefined. Throw to refuse: a StateError gives its
 * status and text (`unauthorized` 401, `forbidden` 403, …), anything else 500. Or answer on `response`,
 * and do not call `next`. A handshake that was neither passed on nor refused gets 403.
 *
 * An `async` middleware has decided when its promise resolves; another may call `next` later.
 */
export type Middleware = (
  request: IncomingMessage,
  response: ServerResponse | undefined,
  next: Next,
) => void | Promise<void>

/** The middleware of a server, in order of registration. It may grow while serving. */
export class MiddlewareChain {
  #list: readonly Middleware[] = []

  /** Adds a middleware after those already there. Returns what takes it out again. */
  use(middleware: Middleware): () => void {
    // One entry per call, so that the same function may be in the chain twice and leave it once.
    const entry: Middleware = (request, response, next) => middleware(request, response, next)
    this.#list = [...this.#list, entry]
    return () => {
      this.#list = this.#list.filter((other) => other !== entry)
    }
  }

  get list(): readonly Middleware[] {
    return this.#list
  }
}

/** `passed`: the route was run. `stopped`: a middleware kept the request for itself. */
export type MiddlewareOutcome = 'passed' | 'stopped'

/**
 * Takes a request through the chain as it is now, and then through `last`. Rejects with the error that
 * no middleware caught.
 */
export async function runMiddleware(
  chain: MiddlewareChain,
  request: IncomingMessage,
  response: ServerResponse | undefined,
  last: () => void | Promise<void>,
): Promise<MiddlewareOutcome> {
  const { list } = chain
  let outcome: MiddlewareOutcome = 'stopped'
  const step = async (index: number): Promise<void> => {
    const middleware = list[index]
    if (middleware !== undefined) return pass(middleware, request, response, () => step(index + 1))
    outcome = 'passed'
    await last()
  }
  await step(0)
  return outcome
}

async function pass(
  middleware: Middleware,
  request: IncomingMessage,
  response: ServerResponse | undefined,
  rest: () => Promise<void>,
): Promise<void> {
  let inner: Promise<void> | undefined
  let noteCall = (): void => undefined
  const called = new Promise<void>((resolve) => {
    noteCall = resolve
  })
  const decision = middleware(request, response, () => {
    inner ??= rest()
    // Whoever calls `next` without waiting for it must not end the process by an unhandled rejection.
    inner.catch(() => undefined)
    noteCall()
    return inner
  })
  if (decision === undefined) {
    // A callback may still call `next`; a connection that has ended will not need it any more.
    if (inner === undefined) await Promise.race([called, ended(request, response)])
    await inner
    return
  }
  await decision
  // A failure behind it that it neither passed on nor answered is not lost.
  if (inner !== undefined && !isAnswered(response)) await inner
}

function isAnswered(response: ServerResponse | undefined): boolean {
  return response?.headersSent ?? false
}

/** Resolves when the exchange is over: answered, or cut. */
function ended(request: IncomingMessage, response: ServerResponse | undefined): Promise<void> {
  return new Promise((resolve) => {
    const source = response ?? request.socket
    if (response?.writableFinished === true || source.destroyed) resolve()
    else source.once(response === undefined ? 'close' : 'finish', () => resolve())
    if (response !== undefined) response.once('close', () => resolve())
  })
}
