/**
 * The one reconnecting connection of the project: the driver of `connection-state.ts`. It owns the
 * socket and the timers; the browser client and the cluster's follower links both use it.
 */

import { errorText, StateError } from '../core/errors.ts'
import { type BackoffOptions, backoffDelayMs, resolveBackoff } from '../core/ports/backoff.ts'
import type { CancelTimer, Random, TimeSource } from '../core/ports/time.ts'
import type { DialRequest, MessageSocket, Transport } from '../core/ports/transport.ts'
import { retryHintMs } from '../core/retry-hint.ts'
import {
  type ConnectionEffect,
  type ConnectionEvent,
  type ConnectionState,
  INITIAL_CONNECTION,
  stepConnection,
} from './connection-state.ts'

/** Why a connection is down, and whether it comes back. */
export interface ConnectionDown {
  /** WebSocket close code; 1006 when there was no close frame, or dialling failed. */
  readonly code: number
  readonly reason: string
  /** Milliseconds until the next dial; undefined when the connection is closed for good. */
  readonly retryInMs: number | undefined
}

export interface ConnectionOptions {
  readonly transport: Transport
  readonly time: TimeSource
  readonly random: Random
  /** What to dial; asked again at each dial. A throw counts as a failed dial. */
  request(): DialRequest
  /** Milliseconds a dial may take. Default 5 000. */
  readonly connectTimeoutMs?: number
  /** Delays between dials. Default: see `DEFAULT_BACKOFF`. */
  readonly backoff?: Partial<BackoffOptions>
  /**
   * A connection that stays open this many milliseconds counts as good even without a message.
   * Default: the greatest backoff delay. 0: only `connectionIsGood()` counts.
   */
  readonly goodAfterMs?: number
  /** Whether to dial again after this close code. Default: not for 4500–4999. */
  shouldReconnect?(code: number): boolean
  /** The socket is up. */
  onOpen?(socket: MessageSocket): void
  onMessage(text: string): void
  /** A dial failed or the socket ended. Not called for the owner's own `close()`. */
  onDown?(down: ConnectionDown): void
  /** After every change of state, when its effects are done. */
  onState?(state: ConnectionState): void
}

/** Close codes 4500–4999 say that coming back is useless; see `core/errors.ts`. */
export function reconnectByCloseCode(code: number): boolean {
  return code < 4500 || code > 4999
}

const NO_CLOSE_FRAME = 1006

export class Connection {
  readonly #options: ConnectionOptions
  readonly #backoff: BackoffOptions
  readonly #connectTimeoutMs: number
  readonly #goodAfterMs: number
  #state: ConnectionState = INITIAL_CONNECTION
  #socket: MessageSocket | undefined
  /** Identifies the current dial; events of earlier ones are stale and ignored. */
  #dial: object | undefined
  #stopTimer: CancelTimer | undefined

  constructor(options: ConnectionOptions) {
    this.#options = options
    this.#backoff = resolveBackoff(options.backoff)
    this.#connectTimeoutMs = options.connectTimeoutMs ?? 5_000
    this.#goodAfterMs = options.goodAfterMs ?? this.#backoff.maxMs
    if (!(this.#connectTimeoutMs > 0)) {
      throw new StateError(
        'invalid_option',
        `connectTimeoutMs is ${this.#connectTimeoutMs}; it must be greater than 0`,
      )
    }
  }

  get state(): ConnectionState {
    return this.#state
  }

  /** Bytes handed to `send` that the network has not taken yet; 0 when not open. */
  get bufferedBytes(): number {
    return this.#state.kind === 'open' ? (this.#socket?.bufferedBytes ?? 0) : 0
  }

  /** Starts dialling. Only the first call does anything. */
  open(): void {
    this.#dispatch({ type: 'open' })
  }

  /** Ends it for good. Idempotent. */
  close(code = 1000, reason = ''): void {
    this.#dispatch({ type: 'close', code, reason })
  }

  /** Sends one message; false, and nothing sent, unless the connection is open. */
  send(text: string): boolean {
    if (this.#state.kind !== 'open' || this.#socket === undefined) return false
    this.#socket.send(text)
    return true
  }

  /** Finds out whether the other end is gone: then the connection goes down. Needs no answer. */
  probe(): void {
    if (this.#state.kind === 'open') this.#socket?.probe?.()
  }

  /** Tells that the peer is useful: the next loss starts again with the shortest delay. */
  connectionIsGood(): void {
    this.#dispatch({ type: 'good' })
  }

  /** Ends the present socket and dials again after a backoff delay. */
  drop(code: number, reason: string): void {
    this.#dispatch({ type: 'drop', code, reason })
  }

  /** Dials at once when waiting to; else does nothing. */
  reconnectNow(): void {
    this.#dispatch({ type: 'reconnectNow' })
  }

  #dispatch(event: ConnectionEvent): void {
    const step = stepConnection(this.#state, event)
    const changed = step.state !== this.#state
    this.#state = step.state
    for (const effect of step.effects) this.#run(effect)
    // An effect may have dispatched again; then the inner call has reported the newer state.
    if (changed && this.#state === step.state) this.#options.onState?.(step.state)
  }

  #run(effect: ConnectionEffect): void {
    switch (effect.type) {
      case 'dial':
        this.#startDial()
        break
      case 'closeSocket':
        this.#release()?.close(effect.code, effect.reason)
        break
      case 'abandonDial':
        this.#release()?.terminate()
        break
      case 'stopTimer':
        this.#clearTimer()
        break
      case 'notifyOpen':
        this.#opened()
        break
      case 'wait':
        this.#wait(effect.attempt, effect.code, effect.reason)
        break
      case 'notifyStopped':
        this.#release()
        this.#options.onDown?.({ code: effect.code, reason: effect.reason, retryInMs: undefined })
        break
    }
  }

  #startDial(): void {
    const dial = {}
    this.#dial = dial
    this.#startTimer(this.#connectTimeoutMs, () => this.#dialTimedOut())
    try {
      const socket = this.#options.transport.dial(
        this.#options.request(),
        () => {
          if (this.#dial === dial) this.#dispatch({ type: 'opened' })
        },
        {
          message: (text) => {
            if (this.#dial === dial) this.#options.onMessage(text)
          },
          close: ({ code, reason }) => {
            if (this.#dial === dial) this.#down(code, reason)
          },
        },
      )
      if (this.#dial === dial) this.#socket = socket
      else socket.terminate()
    } catch (error) {
      if (this.#dial === dial) this.#down(NO_CLOSE_FRAME, errorText(error))
    }
  }

  #dialTimedOut(): void {
    this.#release()?.terminate()
    this.#down(NO_CLOSE_FRAME, `no connection within ${this.#connectTimeoutMs} ms`)
  }

  #down(code: number, reason: string): void {
    const shouldReconnect = this.#options.shouldReconnect ?? reconnectByCloseCode
    this.#dispatch({ type: 'down', code, reason, reconnect: shouldReconnect(code) })
  }

  #opened(): void {
    this.#clearTimer()
    if (this.#goodAfterMs > 0) this.#startTimer(this.#goodAfterMs, () => this.connectionIsGood())
    if (this.#socket !== undefined) this.#options.onOpen?.(this.#socket)
  }

  #wait(attempt: number, code: number, reason: string): void {
    this.#release()
    const backoffMs = backoffDelayMs(attempt, this.#backoff, this.#options.random)
    // Only the server knows how many want to come back; it may ask for more patience, not for less.
    const retryInMs = Math.max(backoffMs, retryHintMs(reason) ?? 0)
    this.#startTimer(retryInMs, () => this.#dispatch({ type: 'retry' }))
    this.#options.onDown?.({ code, reason, retryInMs })
  }

  /** Makes the present socket stale and hands it out for its last call. */
  #release(): MessageSocket | undefined {
    const socket = this.#socket
    this.#socket = undefined
    this.#dial = undefined
    this.#clearTimer()
    return socket
  }

  /** One timer at a time: of the dial, of being open long enough, or of the wait. */
  #startTimer(delayMs: number, callback: () => void): void {
    this.#clearTimer()
    this.#stopTimer = this.#options.time.after(delayMs, () => {
      this.#stopTimer = undefined
      callback()
    })
  }

  #clearTimer(): void {
    this.#stopTimer?.()
    this.#stopTimer = undefined
  }
}
