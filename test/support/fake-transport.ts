/** A transport whose peer is the test: each dial waits to be accepted, refused, fed or cut. */
import type {
  DialRequest,
  MessageSocket,
  SocketHandlers,
  Transport,
} from '../../src/core/ports/transport.ts'

export class FakeTransport implements Transport {
  /** Every dial so far, oldest first. */
  readonly dials: FakeDial[] = []

  dial(request: DialRequest, opened: () => void, handlers: SocketHandlers): MessageSocket {
    const dial = new FakeDial(request, opened, handlers)
    this.dials.push(dial)
    return dial
  }

  /** The newest dial. */
  get last(): FakeDial {
    const dial = this.dials.at(-1)
    if (dial === undefined) throw new Error('nothing has been dialled')
    return dial
  }

  /** Dials that are neither refused, cut, closed nor terminated. */
  get alive(): FakeDial[] {
    return this.dials.filter((dial) => dial.phase === 'dialling' || dial.phase === 'open')
  }
}

export class FakeDial implements MessageSocket {
  readonly request: DialRequest
  /** What our side sent, in order. */
  readonly sent: string[] = []
  /** How our side closed it, if it did. */
  closedWith: { code: number; reason: string } | undefined
  phase: 'dialling' | 'open' | 'ended' | 'terminated' = 'dialling'
  bufferedBytes = 0
  readonly #opened: () => void
  readonly #handlers: SocketHandlers

  constructor(request: DialRequest, opened: () => void, handlers: SocketHandlers) {
    this.request = request
    this.#opened = opened
    this.#handlers = handlers
  }

  send(text: string): void {
    if (this.phase === 'open') this.sent.push(text)
  }

  close(code: number, reason: string): void {
    if (this.phase !== 'dialling' && this.phase !== 'open') return
    this.closedWith = { code, reason }
    this.cut(code, reason)
  }

  terminate(): void {
    if (this.phase !== 'dialling' && this.phase !== 'open') return
    this.phase = 'terminated'
    this.#handlers.close({ code: 1006, reason: 'terminated' })
  }

  /** The peer accepts. */
  accept(): void {
    if (this.phase !== 'dialling') throw new Error(`cannot accept: ${this.phase}`)
    this.phase = 'open'
    this.#opened()
  }

  /** The peer sends a message. */
  message(text: string): void {
    if (this.phase !== 'open') throw new Error(`cannot send a message: ${this.phase}`)
    this.#handlers.message(text)
  }

  /** The peer refuses, closes, or the network fails. */
  cut(code = 1006, reason = ''): void {
    if (this.phase !== 'dialling' && this.phase !== 'open') return
    this.phase = 'ended'
    this.#handlers.close({ code, reason })
  }
}
