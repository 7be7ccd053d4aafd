/**
 * One HTTP exchange with a target: bodies stream both ways, each side reading no faster than the other
 * writes.
 */
import type * as http from 'node:http'
import { clientTextOf, errorText } from '../../core/errors.ts'
import type { CancelTimer, TimeSource } from '../../core/ports/time.ts'
import type { ResolvedProxyRoute } from './config.ts'
import { copyHead, openRequest } from './outgoing.ts'
import type { ResolvedTarget } from './target.ts'

export interface ForwardContext {
  readonly time: TimeSource
  /** Largest request body, bytes. */
  readonly maxBodyBytes: number
  readonly agent: http.Agent
}

/** How an exchange ended that the target did not answer. */
export interface ForwardFailure {
  readonly status: 400 | 413 | 502
  /** Text of the answer, with its newline. */
  readonly text: string
}

/** What is answered to a body above the limit. */
export const TOO_LARGE: ForwardFailure = { status: 413, text: 'Request Entity Too Large\n' }

/**
 * Sends the request to the target and its answer to the client. Resolves when that is over: with
 * undefined when the answer was passed on, or the client left; with a failure when nothing was answered
 * yet. An answer that breaks off half way cuts the client's connection.
 */
export async function forward(
  request: http.IncomingMessage,
  response: http.ServerResponse,
  route: ResolvedProxyRoute,
  target: ResolvedTarget,
  context: ForwardContext,
): Promise<ForwardFailure | undefined> {
  if (Number(request.headers['content-length']) > context.maxBodyBytes) return TOO_LARGE
  const first = await new Exchange(request, response, route, target, context).done
  if (first !== 'stale') return first
  // The target closed a kept connection as it was taken up again: it has not seen the request.
  const second = await new Exchange(request, response, route, target, context).done
  return second === 'stale' ? badGateway('the connection was closed') : second
}

/** One attempt. */
class Exchange {
  readonly done: Promise<ForwardFailure | 'stale' | undefined>
  readonly #request: http.IncomingMessage
  readonly #response: http.ServerResponse
  readonly #context: ForwardContext
  readonly #timeoutMs: number
  readonly #outgoing: http.ClientRequest
  readonly #hasBody: boolean
  #settle: (result: ForwardFailure | 'stale' | undefined) => void = () => undefined
  #state: 'waiting' | 'answering' | 'over' = 'waiting'
  #sentBytes = 0
  /** True while the next step is the target's: neither side of the client holds things up. */
  #isTargetsTurn: () => boolean = () => true
  #cancelWatch: CancelTimer = () => undefined

  constructor(
    request: http.IncomingMessage,
    response: http.ServerResponse,
    route: ResolvedProxyRoute,
    target: ResolvedTarget,
    context: ForwardContext,
  ) {
    this.#request = request
    this.#response = response
    this.#context = context
    this.#timeoutMs = route.timeoutMs
    this.#hasBody = request.method === 'POST' || request.method === 'PATCH'
    this.done = new Promise((resolve) => {
      this.#settle = resolve
    })
    this.#outgoing = openRequest(request, route, target, context.agent)
    this.#outgoing.on('error', (error) => this.#failed(error))
    this.#outgoing.on('response', (incoming) => this.#answer(incoming))
    response.on('close', this.#clientLeft)
    this.#watch()
    if (this.#hasBody) this.#sendBody()
    else this.#outgoing.end()
  }

  #sendBody(): void {
    const outgoing = this.#outgoing
    const request = this.#request
    this.#isTargetsTurn = () => request.readableEnded || outgoing.writableNeedDrain
    request.on('data', this.#take)
    request.on('end', this.#endBody)
    request.on('error', this.#bodyFailed)
    outgoing.on('drain', () => {
      this.#watch()
      request.resume()
    })
  }

  readonly #take = (chunk: Buffer): void => {
    this.#sentBytes += chunk.length
    if (this.#sentBytes > this.#context.maxBodyBytes) {
      this.#end(TOO_LARGE)
      return
    }
    this.#watch()
    if (!this.#outgoing.write(chunk)) this.#request.pause()
  }

  readonly #endBody = (): void => {
    this.#watch()
    this.#outgoing.end()
  }

  readonly #bodyFailed = (error: Error): void => {
    this.#end({ status: 400, text: `${errorText(error)}\n` })
  }

  readonly #clientLeft = (): void => {
    if (!this.#response.writableFinished) this.#end(undefined)
  }

  #answer(incoming: http.IncomingMessage): void {
    if (this.#state !== 'waiting') return
    this.#state = 'answering'
    const response = this.#response
    const isBodyDone = this.#isTargetsTurn
    this.#isTargetsTurn = () => !response.writableNeedDrain && isBodyDone()
    incoming.on('error', () => this.#end(undefined))
    try {
      copyHead(incoming, response)
    } catch (error) {
      this.#state = 'waiting'
      for (const name of response.getHeaderNames()) response.removeHeader(name)
      this.#end(badGateway(clientTextOf(error)))
      return
    }
    incoming.on('data', (chunk: Buffer) => {
      this.#watch()
      if (!response.write(chunk)) incoming.pause()
    })
    response.on('drain', () => {
      this.#watch()
      incoming.resume()
    })
    incoming.on('end', () => {
      response.end()
      this.#state = 'over'
      // It answered without the whole body: what it has not read can not be taken back.
      if (!this.#outgoing.writableFinished) this.#outgoing.destroy()
      this.#finish(undefined)
    })
  }

  #failed(error: NodeJS.ErrnoException): void {
    const isStale = this.#outgoing.reusedSocket && error.code === 'ECONNRESET'
    const mayRepeat = this.#request.method === 'GET' && this.#state === 'waiting'
    this.#end(isStale && mayRepeat ? 'stale' : badGateway(clientTextOf(error)))
  }

  #end(result: ForwardFailure | 'stale' | undefined): void {
    if (this.#state === 'over') return
    // An answer was begun and can not be finished: the client must not take it for whole.
    if (this.#state === 'answering') this.#response.destroy()
    this.#state = 'over'
    // Never ended, a half body is not taken for a whole one by the target.
    this.#outgoing.destroy()
    this.#finish(result)
  }

  #finish(result: ForwardFailure | 'stale' | undefined): void {
    this.#cancelWatch()
    this.#request.off('data', this.#take)
    this.#request.off('end', this.#endBody)
    this.#request.off('error', this.#bodyFailed)
    this.#response.off('close', this.#clientLeft)
    if (this.#hasBody) {
      this.#request.on('error', () => undefined)
      // What is left of the body is read into nothing, so that the client comes to read the answer.
      this.#request.resume()
    }
    this.#settle(result)
  }

  /** Progress: the target has the whole time again. */
  #watch(): void {
    this.#cancelWatch()
    this.#cancelWatch = this.#context.time.after(this.#timeoutMs, () => {
      // A slow client is not the target's fault; the listener has its own limits for it.
      if (!this.#isTargetsTurn()) this.#watch()
      else this.#end(badGateway(`no answer in ${this.#timeoutMs} ms`))
    })
  }
}

function badGateway(reason: string): ForwardFailure {
  return { status: 502, text: `proxy: target failed: ${reason}\n` }
}
