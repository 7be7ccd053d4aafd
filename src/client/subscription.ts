/**
 * A live view of a key or glob: a snapshot, then patches, over one reconnecting connection. The
 * state survives a lost connection; the last version is offered on return, so that a server whose
 * state did not move need not send it again.
 */

import { ERROR_TABLE, errorText, isStateError, StateError } from '../core/errors.ts'
import type { DialRequest, Transport } from '../core/ports/transport.ts'
import { decodeEnvelope, type Envelope } from '../core/wire/envelope.ts'
import { applyPatch } from './apply-patch.ts'
import { Connection, type ConnectionDown } from './connection.ts'
import { socketUrl } from './key-url.ts'
import type { ResolvedClientOptions } from './options.ts'

/** How a subscription stands with its server. */
export type SubscriptionStatus =
  | { readonly kind: 'connecting' }
  /** The state is the server's. */
  | { readonly kind: 'live' }
  /** Lost; the next dial is in `retryInMs` milliseconds. */
  | { readonly kind: 'offline'; readonly retryInMs: number; readonly reason: string }
  /** Over: closed by its owner, or the server said not to come back. */
  | { readonly kind: 'closed'; readonly reason: string }

export interface SubscriptionHandlers<S> {
  /** The full state, after each snapshot or patch. States are never changed afterwards. */
  onState(state: S): void
  onStatus?(status: SubscriptionStatus): void
  /**
   * A frame could not be read or applied (`invalid_message`). The subscription reconnects by
   * itself and asks for a snapshot.
   */
  onError?(error: StateError): void
}

export interface Subscription<S> {
  readonly key: string
  /** The latest state; undefined until `isLoaded`, and for an absent key. */
  readonly state: S | undefined
  /** Whether a first state has arrived. */
  readonly isLoaded: boolean
  readonly status: SubscriptionStatus
  /** Does not wait for the next dial, e.g. because the network is back. */
  reconnectNow(): void
  /** Ends it. Idempotent. */
  close(): void
}

/** How frames of one kind of socket become states. */
export interface StateReader<S> {
  /** Reads a frame; undefined when it changes nothing. */
  read(text: string): { readonly state: S } | undefined
  /** Version to offer when dialling again. */
  readonly version: string | undefined
  /** Forgets the version, so that the server starts over. */
  reset(): void
}

export class LiveSubscription<S> implements Subscription<S> {
  readonly key: string
  readonly #handlers: SubscriptionHandlers<S>
  readonly #reader: StateReader<S>
  readonly #connection: Connection
  readonly #onEnd: (subscription: LiveSubscription<S>) => void
  #loaded: { readonly state: S } | undefined
  #status: SubscriptionStatus = { kind: 'connecting' }

  constructor(
    key: string,
    reader: StateReader<S>,
    handlers: SubscriptionHandlers<S>,
    environment: {
      readonly options: ResolvedClientOptions
      readonly transport: Transport
      /** Runs once, when the subscription is over. */
      onEnd(subscription: LiveSubscription<S>): void
    },
  ) {
    const { options } = environment
    this.key = key
    this.#handlers = handlers
    this.#reader = reader
    this.#onEnd = (subscription) => environment.onEnd(subscription)
    this.#connection = new Connection({
      transport: environment.transport,
      time: options.time,
      random: options.random,
      connectTimeoutMs: options.connectTimeoutMs,
      backoff: options.reconnectBackoff,
      request: () => dialRequest(options, key, reader.version),
      onMessage: (text) => this.#message(text),
      onDown: (down) => this.#down(down),
      onState: ({ kind }) => {
        if (kind === 'connecting') this.#setStatus({ kind: 'connecting' })
        // With a version offered, silence means that the state held is still the server's.
        if (kind === 'open' && reader.version !== undefined) this.#setStatus({ kind: 'live' })
      },
    })
    this.#connection.open()
  }

  get state(): S | undefined {
    return this.#loaded?.state
  }

  get isLoaded(): boolean {
    return this.#loaded !== undefined
  }

  get status(): SubscriptionStatus {
    return this.#status
  }

  reconnectNow(): void {
    this.#connection.reconnectNow()
  }

  close(): void {
    if (this.#isClosed()) return
    this.#connection.close(1000, '')
    this.#end('closed by its owner')
  }

  #message(text: string): void {
    let next: { readonly state: S } | undefined
    try {
      next = this.#reader.read(text)
    } catch (error) {
      this.#refuse(error)
      return
    }
    this.#connection.connectionIsGood()
    if (next !== undefined) this.#loaded = next
    this.#setStatus({ kind: 'live' })
    if (next !== undefined && !this.#isClosed()) this.#handlers.onState(next.state)
  }

  #refuse(cause: unknown): void {
    this.#reader.reset()
    const error = isStateError(cause)
      ? cause
      : new StateError('invalid_message', errorText(cause), { cause })
    this.#handlers.onError?.(error)
    this.#connection.drop(ERROR_TABLE.invalid_message.closeCode, error.message)
  }

  #down({ code, reason, retryInMs }: ConnectionDown): void {
    const text = reason === '' ? `connection lost (${code})` : reason
    if (retryInMs === undefined) this.#end(text)
    else this.#setStatus({ kind: 'offline', retryInMs, reason: text })
  }

  #end(reason: string): void {
    this.#onEnd(this)
    this.#setStatus({ kind: 'closed', reason })
  }

  #isClosed(): boolean {
    return this.#status.kind === 'closed'
  }

  #setStatus(status: SubscriptionStatus): void {
    if (this.#isClosed()) return
    const isSame = status.kind === this.#status.kind && status.kind !== 'offline'
    if (isSame) return
    this.#status = status
    this.#handlers.onStatus?.(status)
  }
}

/** Reads envelopes; `convert` turns the patched document into what the user sees. */
export function envelopeReader<S>(
  parse: (text: string) => unknown,
  convert: (document: unknown) => S,
): StateReader<S> {
  let held: { readonly document: unknown } | undefined
  let version: string | undefined
  return {
    get version(): string | undefined {
      return version
    },
    reset(): void {
      version = undefined
    },
    read(text: string): { readonly state: S } | undefined {
      const envelope = decodeEnvelope(text, parse)
      const document = nextDocument(held, envelope)
      const hasChanged = held === undefined || document !== held.document
      const next = hasChanged ? { state: convert(document) } : undefined
      held = { document }
      version = envelope.version
      return next
    },
  }
}

function nextDocument(held: { readonly document: unknown } | undefined, envelope: Envelope) {
  if (envelope.snapshot) return envelope.data
  if (held === undefined) {
    throw new StateError('invalid_message', 'a patch arrived before any snapshot')
  }
  return applyPatch(held.document, envelope.operations)
}

/** Reads the frames of the clock socket: decimal nanoseconds since the Unix epoch. */
export function clockReader(): StateReader<bigint> {
  return {
    version: undefined,
    reset: () => undefined,
    read(text: string): { readonly state: bigint } {
      if (/^\d+$/.test(text)) return { state: BigInt(text) }
      throw new StateError('invalid_message', 'a clock frame must be decimal digits')
    },
  }
}

function dialRequest(
  options: ResolvedClientOptions,
  key: string,
  version: string | undefined,
): DialRequest {
  const token = options.token()
  const bearer = token === undefined ? [] : ['bearer', token]
  return {
    url: socketUrl(options.base, key, version),
    headers: options.headers,
    protocols: [...bearer, ...options.protocols],
  }
}
