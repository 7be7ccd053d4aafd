/**
 * Fan-out over several processes: one process holds the state, answers requests and handshakes and makes
 * each frame once; its workers hold the connections of subscribers and write the frames to them, which is
 * what fan-out costs. Everything a client sees is the same as with one process.
 *
 *   client ──handshake──▶ serving process ──connection──▶ worker ──frames──▶ client
 *                                └──────each batch once──────▲
 *
 * A worker that ends is started again after a pause; connections go to the others meanwhile, or stay in
 * the serving process when there is none. One that hangs is ended.
 */
import { backoffDelayMs, DEFAULT_BACKOFF } from '../../core/ports/backoff.ts'
import type { Logger } from '../../core/ports/logger.ts'
import type { CancelTimer, Random, TimeSource } from '../../core/ports/time.ts'
import type { CounterDeltas } from '../../fanout/relay/messages.ts'
import { type HandedOffConnection, type RemoteSocket, WorkerLink } from './link.ts'
import type { WorkerSettings } from './messages.ts'

/** Milliseconds between two looks at the workers; each says something at least once a second. */
const LOOK_INTERVAL_MS = 5000
/** Looks in which a worker says nothing before it is ended. */
const MAX_SILENT_LOOKS = 6
/**
 * Bytes of a full state beyond which its subscribers stay in the serving process: a few such states
 * would be more than may wait for a worker.
 */
const MAX_STATE_BYTES = 32 * 1024 * 1024
/** Milliseconds in which workers are to end when they are told to. */
const END_GRACE_MS = 1000

export interface WorkerFleetOptions extends WorkerSettings {
  /** Processes; 0 for none. */
  readonly workers: number
  readonly time: TimeSource
  readonly random: Random
  readonly logger: Logger
  /** Takes what the workers counted. */
  readonly counted: (frames: CounterDeltas) => void
}

/** Gauges of this moment, and counters since the server opened. */
export interface WorkerMetrics {
  /** Workers that take connections. */
  readonly ready: number
  /** Connections that workers serve. */
  readonly connections: number
  /** Workers that ended by themselves. */
  readonly lost: number
  /** Connections that workers dropped because not a byte came from them. */
  readonly droppedSilent: number
  /** Connections that workers dropped because they took nothing of what waited for them. */
  readonly droppedStalled: number
}

export class WorkerFleet {
  readonly #options: WorkerFleetOptions
  readonly #links = new Set<WorkerLink>()
  readonly #restarts = new Set<CancelTimer>()
  readonly #dropped = { silent: 0, stalled: 0 }
  #lost = 0
  /** `#lost` at the latest look. */
  #lostBefore = 0
  #cancelLook: CancelTimer
  /** Workers that ended since all of them last lasted from one look to the next. */
  #failures = 0
  #state: 'open' | 'closed' = 'open'
  /** Resolves when every worker takes connections or has failed to. */
  readonly started: Promise<void>

  constructor(options: WorkerFleetOptions) {
    this.#options = options
    const starts = Array.from({ length: options.workers }, () => this.#start())
    this.started = Promise.all(starts).then(() => undefined)
    this.#cancelLook = this.#planLook()
  }

  metrics(): WorkerMetrics {
    let ready = 0
    let connections = 0
    for (const link of this.#links) {
      if (link.isReady) ready++
      connections += link.size
    }
    const { silent: droppedSilent, stalled: droppedStalled } = this.#dropped
    return { ready, connections, lost: this.#lost, droppedSilent, droppedStalled }
  }

  /**
   * Hands a connection to the worker with the fewest. @param ended called once, when it has ended
   * @returns undefined when no worker can take it, or its state is too large: nothing has been done with it then
   */
  take(handedOff: HandedOffConnection, ended: () => void): RemoteSocket | undefined {
    if (handedOff.subscription.byteLength > MAX_STATE_BYTES) return undefined
    let least: WorkerLink | undefined
    for (const link of this.#links) {
      if (link.isReady && (least === undefined || link.size < least.size)) least = link
    }
    return least?.take(handedOff, ended)
  }

  /** Ends all workers; their connections are cut. One that does not end in time is killed. Idempotent. */
  async close(): Promise<void> {
    this.#stop()
    const cancelGrace = this.#options.time.after(END_GRACE_MS, () => this.kill())
    await Promise.all([...this.#links].map((link) => link.close()))
    cancelGrace()
  }

  /** Ends all workers without asking them. */
  kill(): void {
    this.#stop()
    for (const link of this.#links) link.kill()
  }

  #stop(): void {
    this.#state = 'closed'
    this.#cancelLook()
    for (const cancel of this.#restarts) cancel()
    this.#restarts.clear()
  }

  /** Counted in looks, so that a pause of this process, in which it heard nobody, is held against none. */
  #planLook(): CancelTimer {
    return this.#options.time.after(LOOK_INTERVAL_MS, () => {
      for (const link of this.#links) {
        if (link.look() < MAX_SILENT_LOOKS) continue
        this.#options.logger.error('a fan-out worker hangs and is ended')
        link.kill()
      }
      // One that ends as soon as it is ready is not started again and again at once.
      if (this.#lost === this.#lostBefore && this.#restarts.size === 0) this.#failures = 0
      this.#lostBefore = this.#lost
      this.#cancelLook = this.#planLook()
    })
  }

  /** Resolves when the worker takes connections, or has ended. */
  #start(): Promise<void> {
    const { logger, counted } = this.#options
    let begun = (): void => undefined
    const link = new WorkerLink(settingsOf(this.#options), {
      ready: () => begun(),
      counted: ({ frames, silent, stalled }) => {
        this.#dropped.silent += silent
        this.#dropped.stalled += stalled
        counted(frames)
      },
      ended: (reason) => {
        this.#links.delete(link)
        begun()
        if (this.#state === 'closed') return
        this.#lost++
        const delayMs = this.#restart()
        logger.error('a fan-out worker ended and is started again', { reason, delayMs })
      },
    })
    this.#links.add(link)
    return new Promise((resolve) => {
      begun = resolve
    })
  }

  /** @returns after how many milliseconds. */
  #restart(): number {
    const { time, random } = this.#options
    const delayMs = backoffDelayMs(++this.#failures, DEFAULT_BACKOFF, random)
    const cancel = time.after(delayMs, () => {
      this.#restarts.delete(cancel)
      void this.#start()
    })
    this.#restarts.add(cancel)
    return delayMs
  }
}

/** Only what can go to another process. */
function settingsOf(options: WorkerFleetOptions): WorkerSettings {
  const { pingIntervalMs, pongTimeoutMs, wsWriteTimeoutMs } = options
  const { maxBufferedBytes, maxUnreadBytes, slowConsumerTimeoutMs } = options
  return {
    pingIntervalMs,
    pongTimeoutMs,
    wsWriteTimeoutMs,
    maxBufferedBytes,
    maxUnreadBytes,
    slowConsumerTimeoutMs,
  }
}
