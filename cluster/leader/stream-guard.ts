/**
 * Stands before the leader's sessions: how many streams there may be, how soon a peer must say who it
 * is, and how much may wait for a peer that does not read. What ends a stream is counted.
 */
import { ERROR_TABLE, type ErrorCode } from '../../src/core/errors.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import type { TimeSource } from '../../src/core/ports/time.ts'
import type { MessageSocket, SocketHandlers } from '../../src/core/ports/transport.ts'
import type { ClusterLimits } from '../config/options.ts'
import { type Refusals, refusalOfClose } from './refusals.ts'
import {
  type MeteredSocket,
  type StreamWatch,
  Traffic,
  watchHandlers,
  watchSocket,
} from './traffic.ts'

export interface StreamGuardOptions {
  readonly time: TimeSource
  readonly limits: ClusterLimits
  readonly logger: Logger
  readonly refusals: Refusals
}

/** Serves one admitted stream: takes its sending side, returns what hears of its messages. */
export type ServeStream = (socket: MeteredSocket) => SocketHandlers

const IGNORE: SocketHandlers = { message: () => undefined, close: () => undefined }

export class StreamGuard {
  readonly #options: StreamGuardOptions
  #open = 0

  constructor(options: StreamGuardOptions) {
    this.#options = options
  }

  /** Streams open now. */
  get open(): number {
    return this.#open
  }

  /** Admits the stream to `serve`, or ends it with `overloaded`. */
  accept(socket: MessageSocket, address: string, serve: ServeStream): SocketHandlers {
    const { limits, refusals, logger } = this.#options
    if (this.#open >= limits.maxStreams) {
      const reason = `${this.#open} streams are open, the limit is ${limits.maxStreams}`
      refusals.add('overloaded', reason, address)
      logger.warn('follower refused', { address, reason })
      socket.close(ERROR_TABLE.overloaded.closeCode, reason)
      return IGNORE
    }
    this.#open++
    return this.#admit(socket, address, serve)
  }

  #admit(socket: MessageSocket, address: string, serve: ServeStream): SocketHandlers {
    const { time, limits, refusals } = this.#options
    let isEnded = false
    let refusal: ErrorCode | undefined
    const stopDeadline = time.after(limits.helloTimeoutMs, () =>
      end('deadline', `no "hello" within ${limits.helloTimeoutMs} ms`),
    )
    const refuse = (code: ErrorCode | undefined, reason: string): void => {
      if (refusal !== undefined || code === undefined) return
      refusal = code
      refusals.add(code, reason, address)
    }
    const end = (code: ErrorCode, reason: string): void => {
      watched.close(ERROR_TABLE[code].closeCode, reason)
      // A peer that does not read would not take the close frame either.
      if (code === 'slow_consumer') socket.terminate()
    }
    const watch: StreamWatch = {
      traffic: new Traffic(),
      sending: ({ bufferedBytes }) => {
        if (bufferedBytes <= limits.maxBufferedBytes) return true
        end(
          'slow_consumer',
          `${bufferedBytes} bytes wait to be read, the limit is ${limits.maxBufferedBytes}`,
        )
        return false
      },
      receiving: () => !isEnded,
      handled: stopDeadline,
      closing: (code, reason) => {
        isEnded = true
        stopDeadline()
        refuse(refusalOfClose(code, reason), reason)
      },
      ended: (code, reason) => {
        stopDeadline()
        this.#open--
        // What the WebSocket itself refused: a message too large, or no text.
        if (code === 1007 || code === 1009 || code === 1006) {
          refuse(refusalOfClose(code, reason), reason)
        }
      },
    }
    const watched = watchSocket(socket, watch)
    return watchHandlers(serve(watched), watch)
  }
}
