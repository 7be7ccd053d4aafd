/**
 * The follower's side of the bus: listens where the leader said, opens what comes, and tells the link.
 * What was not sealed by the leader, or makes no sense, is refused and counted.
 */
import { errorText } from '../../src/core/errors.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import type { CancelTimer, TimeSource } from '../../src/core/ports/time.ts'
import { type Batch, type BusInvitation, decodeBatch } from '../../src/core/wire/bus.ts'
import type { Bus } from '../../src/fanout/bus.ts'
import type { ClusterLimits } from '../config/options.ts'
import { openSealed } from './seal.ts'

export interface BusListenerOptions {
  readonly leader: string
  readonly bus?: Bus | undefined
  readonly time: TimeSource
  readonly limits: ClusterLimits
  readonly logger: Logger
  /** A part of the leader's log; `bytes` is its size as a message. */
  readonly heard: (batch: Batch, bytes: number) => void
  /** Messages may have been missed. */
  readonly lost: () => void
  /** Runs every `busMarkIntervalMs` while there is something to listen to. */
  readonly tick: () => void
}

/** Since the link began. */
export interface ListenerReport {
  /** `none`: this node or the leader has no bus; `down`: it is listened to in vain. */
  readonly state: 'none' | 'down' | 'up'
  readonly received: number
  /** Messages that are not the leader's, or are not understood. */
  readonly refused: number
}

interface Listening {
  readonly invitation: BusInvitation
  readonly stop: () => void
}

export class BusListener {
  readonly #options: BusListenerOptions
  #listening: Listening | undefined
  #isUp = false
  #received = 0
  #refused = 0
  #cancelTick: CancelTimer | undefined

  constructor(options: BusListenerOptions) {
    this.#options = options
  }

  /** The leader told how to listen to it, or that there is nothing to listen to. */
  invited(invitation: BusInvitation | undefined): void {
    const { bus } = this.#options
    const known = this.#listening?.invitation
    if (known?.channel === invitation?.channel && known?.key === invitation?.key) return
    this.stop()
    if (bus === undefined || invitation === undefined) return
    const stop = bus.subscribe(invitation.channel, {
      message: (text) => this.#message(text),
      up: () => {
        this.#isUp = true
      },
      down: () => {
        this.#isUp = false
        this.#options.lost()
      },
    })
    this.#listening = { invitation, stop }
    this.#planTick()
  }

  /** Listens no more. Idempotent. */
  stop(): void {
    this.#cancelTick?.()
    this.#listening?.stop()
    this.#listening = undefined
    this.#isUp = false
  }

  report(): ListenerReport {
    const state = this.#isUp ? 'up' : 'down'
    return {
      state: this.#listening === undefined ? 'none' : state,
      received: this.#received,
      refused: this.#refused,
    }
  }

  #message(text: string): void {
    const invitation = this.#listening?.invitation
    if (invitation === undefined) return
    this.#received++
    if (text.length > this.#options.limits.maxMessageBytes) {
      this.#refuse(
        `${text.length} characters, the limit is ${this.#options.limits.maxMessageBytes}`,
      )
      return
    }
    const opened = openSealed(invitation.key, invitation.channel, text)
    if (opened === undefined) {
      this.#refuse('it is not sealed by the leader')
      return
    }
    let batch: Batch
    try {
      batch = decodeBatch(opened)
    } catch (error) {
      this.#refuse(errorText(error))
      return
    }
    this.#options.heard(batch, opened.length)
  }

  #refuse(reason: string): void {
    this.#refused++
    const { logger, leader } = this.#options
    // One line for each power of ten: whoever floods the bus must not flood the log.
    if (/^10*$/.test(String(this.#refused))) {
      logger.warn('messages on the bus were refused', { leader, reason, refused: this.#refused })
    }
  }

  #planTick(): void {
    const { time, limits, tick } = this.#options
    this.#cancelTick = time.after(limits.busMarkIntervalMs, () => {
      this.#planTick()
      tick()
    })
  }
}
