/**
 * Fan-out over several processes: one process holds the state, answers requests and handshakes and makes
 * each frame once; its workers hold the connections of subscribers and write the frames to them, which is
 * what fan-out costs. Everything a client sees is the same as with one process.
 *
 *   client ──handshake──▶ serving process ──connection──▶ worker ──frames──▶ client
 *                                └──────each batch once──────▲
 *
 * A worker that ends is started again after a pause; connections go to the others meanwhile, or stay in
 * the serving process when there is none.
 */
import { backoffDelayMs, DEFAULT_BACKOFF } from '../core/backoff.ts'
import type { Logger } from '../core/logger.ts'
import type { CancelTimer, Random, TimeSource } from '../core/time.ts'
import type { CounterDeltas } from '../fanout/relay-messages.ts'
import { type Passenger, type RemoteSocket, WorkerLink } from './worker-link.ts'
import type { WorkerSettings } from './worker-messages.ts'

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
  /** Workers that ended since one was last ready. */
  #failures = 0
  #state: 'open' | 'closed' = 'open'
  /** Resolves when every worker takes connections or has failed to. */
  readonly started: Promise<void>

  constructor(options: WorkerFleetOptions) {
    this.#options = options
    const starts = Array.from({ length: options.workers }, () => this.#start())
    this.started = Promise.all(starts).then(() => undefined)
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
   * @returns undefined when no worker can take it: nothing has been done with it then
   */
  take(passenger: Passenger, ended: () => void): RemoteSocket | undefined {
    let least: WorkerLink | undefined
    for (const link of this.#links) {
      if (link.isReady && (least === undefined || link.size < least.size)) least = link
    }
    return least?.take(passenger, ended)
  }

  /** Ends all workers; their connections are cut. Idempotent. */
  async close(): Promise<void> {
    this.#state = 'closed'
    for (const cancel of this.#restarts) cancel()
    this.#restarts.clear()
    await Promise.all([...this.#links].map((link) => link.close()))
  }

  /** Resolves when the worker takes connections, or has ended. */
  #start(): Promise<void> {
    const { logger, counted } = this.#options
    let begun = (): void => undefined
    const link = new WorkerLink(settingsOf(this.#options), {
      ready: () => {
        this.#failures = 0
        begun()
      },
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
        logger.error('a fan-out worker ended and is started again', { reason })
        this.#restart()
      },
    })
    this.#links.add(link)
    return new Promise((resolve) => {
      begun = resolve
    })
  }

  #restart(): void {
    const { time, random } = this.#options
    const delayMs = backoffDelayMs(++this.#failures, DEFAULT_BACKOFF, random)
    const cancel = time.after(delayMs, () => {
      this.#restarts.delete(cancel)
      void this.#start()
    })
    this.#restarts.add(cancel)
  }
}

/** Only what can go to another process. */
function settingsOf(options: WorkerFleetOptions): WorkerSettings {
  const { pingIntervalMs, pongTimeoutMs, wsWriteTimeoutMs } = options
  const { maxBufferedBytes, slowConsumerTimeoutMs } = options
  return {
    pingIntervalMs,
    pongTimeoutMs,
    wsWriteTimeoutMs,
    maxBufferedBytes,
    slowConsumerTimeoutMs,
  }
}
