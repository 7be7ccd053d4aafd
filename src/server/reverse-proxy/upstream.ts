/**
 * The one socket to a target that all local subscribers of the same thing share.
 *
 *   dialling ──(first full state)──▶ live
 *   dialling, live ──(connection lost, or a frame that does not fit)──▶ waiting ──(backoff)──▶ dialling
 *   any ──(last subscriber leaves; target away too long, or refuses; teardown)──▶ closed
 *
 * Frames are passed on as they came. The state they add up to is kept beside, so that who joins later, or
 * was too slow, gets a snapshot that fits exactly between two frames. While the target is away the local
 * sockets stay; when it is back, its first full state goes to all of them.
 */

import { ERROR_TABLE, errorText } from '../../core/errors.ts'
import { backoffDelayMs, DEFAULT_BACKOFF } from '../../core/ports/backoff.ts'
import type { Logger } from '../../core/ports/logger.ts'
import type { CancelTimer, Random } from '../../core/ports/time.ts'
import { FrameBatch } from '../../fanout/frames/batch.ts'
import {
  type CatchUp,
  type FrameSink,
  Subscriber,
  type SubscriberContext,
} from '../../fanout/frames/subscriber.ts'
import type { Place } from '../../fanout/hub.ts'
import { readFrame, type TargetFrame, TargetState } from './frame.ts'
import { type Link, type LinkTarget, openLink } from './link.ts'

/** Counters of all upstreams, never reset. */
export interface UpstreamCounters {
  /** Connections that were lost or could not be made. */
  lost: number
  /** Of these, those given up because a frame made no sense. */
  invalidFrames: number
  /** Upstreams whose subscribers were closed as the target stayed away or refused. */
  givenUp: number
}

export interface UpstreamContext extends SubscriberContext {
  readonly random: Random
  readonly logger: Logger
  readonly upstreams: UpstreamCounters
}

type UpstreamState =
  | { readonly kind: 'dialling'; readonly link: Link; readonly state: TargetState }
  | { readonly kind: 'live'; readonly link: Link; readonly state: TargetState }
  | { readonly kind: 'waiting'; readonly cancel: CancelTimer }
  | { readonly kind: 'closed' }

const UNREACHABLE = ERROR_TABLE.unreachable.closeCode

export class Upstream {
  readonly #target: LinkTarget
  readonly #context: UpstreamContext
  readonly #ended: () => void
  readonly #subscribers = new Map<Subscriber, FrameSink>()
  #users = 0
  #state: UpstreamState
  /** Connections lost since the last full state. */
  #failures = 0
  #lastReason = 'not reached yet'
  #cancelOutage: CancelTimer | undefined

  /** Dials at once. @param ended runs once, when this upstream takes no more subscribers */
  constructor(target: LinkTarget, context: UpstreamContext, ended: () => void) {
    this.#target = target
    this.#context = context
    this.#ended = ended
    this.#state = this.#dial()
  }

  get subscriberCount(): number {
    return this.#subscribers.size
  }

  /** A place for one local socket; the upstream ends with the last one. */
  subscribe(): Place {
    let place: Subscriber | 'reserved' | 'left' = 'reserved'
    this.#users++
    return {
      // The client's version is not heeded: only a snapshot is sure to fit.
      attach: (sink) => {
        if (place !== 'reserved') return
        place = new Subscriber(sink, this.#context, () => this.#catchUp(), undefined)
        this.#add(place, sink)
      },
      close: () => {
        if (place === 'left') return
        if (place !== 'reserved') {
          this.#subscribers.delete(place)
          place.close()
        }
        place = 'left'
        if (--this.#users === 0) this.#end('politely')
      },
    }
  }

  /** Ends the connection to the target and closes the local sockets. Idempotent. */
  close(code: number, reason: string): void {
    this.#end('at once')
    const left = [...this.#subscribers]
    this.#subscribers.clear()
    for (const [subscriber, sink] of left) {
      subscriber.close()
      sink.close(code, reason)
    }
  }

  #add(subscriber: Subscriber, sink: FrameSink): void {
    if (this.#state.kind === 'closed') {
      sink.close(UNREACHABLE, this.#unreachableText())
      return
    }
    this.#subscribers.set(subscriber, sink)
    if (this.#state.kind === 'live') subscriber.synchronize()
  }

  #catchUp(): CatchUp {
    const snapshot = this.#state.kind === 'live' ? this.#state.state.snapshot : undefined
    return snapshot === undefined
      ? { kind: 'loading' }
      : { kind: 'behind', batch: snapshot.batch() }
  }

  #dial(): UpstreamState {
    const { maxOutageMs, maxMessageBytes } = this.#target.route.subscribe
    const patienceMs = Math.max(maxOutageMs, this.#target.route.subscribe.handshakeTimeoutMs)
    this.#cancelOutage ??= this.#context.time.after(patienceMs, () => this.#giveUp())
    const link = openLink(this.#target, this.#context.time, {
      message: (bytes) => this.#receive(bytes),
      lost: (reason, status) => this.#lost(reason, status),
    })
    return { kind: 'dialling', link, state: new TargetState(maxMessageBytes) }
  }

  #receive(bytes: Uint8Array): void {
    const current = this.#state
    if (current.kind !== 'dialling' && current.kind !== 'live') return
    let frame: TargetFrame
    const before = current.state.snapshot?.version
    try {
      frame = readFrame(bytes)
      current.state.take(frame)
    } catch (error) {
      this.#context.upstreams.invalidFrames++
      current.link.terminate()
      this.#lost(errorText(error), undefined)
      return
    }
    if (current.kind === 'dialling') this.#goLive(current.link, current.state)
    else this.#passOn(new FrameBatch([bytes], frame.kind === 'patch' ? before : undefined))
  }

  #goLive(link: Link, state: TargetState): void {
    this.#state = { kind: 'live', link, state }
    this.#failures = 0
    this.#cancelOutage?.()
    this.#cancelOutage = undefined
    for (const subscriber of [...this.#subscribers.keys()]) subscriber.synchronize()
  }

  #passOn(batch: FrameBatch): void {
    for (const subscriber of [...this.#subscribers.keys()]) subscriber.deliver(batch)
  }

  #lost(reason: string, status: number | undefined): void {
    if (this.#state.kind === 'closed') return
    const { time, random, logger, upstreams } = this.#context
    const { maxOutageMs, silence } = this.#target.route.subscribe
    this.#lastReason = reason
    upstreams.lost++
    this.#failures++
    if (!silence) {
      logger.warn('a proxied subscription lost its target', {
        url: this.#target.url,
        reason,
        failures: this.#failures,
      })
    }
    for (const subscriber of this.#subscribers.keys()) subscriber.invalidate()
    // A refusal is an answer: waiting would hide it from the client.
    const isRefusal = status !== undefined && status >= 400 && status < 500 && !isTemporary(status)
    if (maxOutageMs === 0 || isRefusal) {
      this.#giveUp()
      return
    }
    this.#cancelOutage ??= time.after(maxOutageMs, () => this.#giveUp())
    const delayMs = backoffDelayMs(this.#failures, DEFAULT_BACKOFF, random)
    const cancel = time.after(delayMs, () => {
      this.#state = this.#dial()
    })
    this.#state = { kind: 'waiting', cancel }
  }

  #giveUp(): void {
    if (this.#state.kind === 'closed') return
    this.#context.upstreams.givenUp++
    this.close(UNREACHABLE, this.#unreachableText())
  }

  #unreachableText(): string {
    return `proxy: target unreachable: ${this.#lastReason}`
  }

  #end(how: 'politely' | 'at once'): void {
    if (this.#state.kind === 'closed') return
    if (this.#state.kind === 'waiting') this.#state.cancel()
    if (this.#state.kind === 'dialling' || this.#state.kind === 'live') {
      if (how === 'politely') this.#state.link.end()
      else this.#state.link.terminate()
    }
    this.#cancelOutage?.()
    this.#state = { kind: 'closed' }
    this.#ended()
  }
}

function isTemporary(status: number): boolean {
  return status === 408 || status === 425 || status === 429
}
