/**
 * One fan-out worker as the serving process sees it: its process, its connections, and the pools it hears
 * of. A worker that ends takes its connections with it; their clients come back and resume.
 */
import { type ChildProcess, fork } from 'node:child_process'
import type { Socket } from 'node:net'
import type { Subscription } from '../../fanout/hub.ts'
import type { PoolQuestion } from '../../fanout/relay/messages.ts'
import { Relay } from '../../fanout/relay/relay.ts'
import type { FromWorker, ToWorker, WorkerSettings } from './messages.ts'

export interface WorkerLinkHandlers {
  /** It takes connections from now on. */
  ready(): void
  counted(message: Extract<FromWorker, { kind: 'counted' }>): void
  /** Its process has ended, and its connections with it. */
  ended(reason: string): void
}

/** A connection that is to be served by a worker. */
export interface HandedOffConnection {
  /** Key or glob. */
  readonly pattern: string
  /** Its place in the pool; closed when the connection has ended. */
  readonly subscription: Subscription
  readonly socket: Socket
  readonly head: Buffer
  /** The answer to its handshake. */
  readonly opening: string
  readonly heldVersion: string | undefined
}

/** A connection that a worker serves. */
export interface RemoteSocket {
  close(code: number, reason: string): void
  terminate(): void
}

/** Bytes that may wait for a worker; one that is further behind is ended. */
const MAX_WAITING_BYTES = 256 * 1024 * 1024
/** What a message takes beside its frames, roughly. */
const MESSAGE_BYTES = 200

interface RelayedPool {
  readonly id: number
  readonly relay: Relay
  readonly subscription: Subscription
}

interface Guest {
  readonly pattern: string
  /** Without its handle, which the worker has; it stands for the connection here until that has ended. */
  readonly socket: Socket
  readonly ended: () => void
}

export class WorkerLink {
  readonly #child: ChildProcess
  readonly #handlers: WorkerLinkHandlers
  readonly #pools = new Map<string, RelayedPool>()
  readonly #poolsById = new Map<number, RelayedPool>()
  readonly #guests = new Map<number, Guest>()
  #nextId = 1
  #waitingBytes = 0
  #state: 'starting' | 'ready' | 'ended' = 'starting'
  /** Looks since it was heard. */
  #silence = 0
  /** Resolves when the process has ended. */
  readonly ended: Promise<void>

  constructor(settings: WorkerSettings, handlers: WorkerLinkHandlers) {
    this.#handlers = handlers
    this.#child = fork(new URL(programName(), import.meta.url), [], {
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.#child.on('message', (message: FromWorker) => {
      this.#silence = 0
      this.#hear(message)
    })
    this.ended = new Promise((resolve) => {
      const end = (reason: string): void => {
        this.#end(reason)
        resolve()
      }
      this.#child.once('exit', (code, signal) => end(`it ended with ${signal ?? `code ${code}`}`))
      this.#child.on('error', (error) => {
        // It may run all the same, and is of no use.
        this.kill()
        end(error.message)
      })
    })
    this.#post({ kind: 'setup', settings })
  }

  get isReady(): boolean {
    return this.#state === 'ready' && this.#child.connected
  }

  /** To be called at intervals. @returns how many there were in which it said nothing */
  look(): number {
    return this.#silence++
  }

  /** Connections it serves. */
  get size(): number {
    return this.#guests.size
  }

  /** Hands a connection over. @param ended called once, when the connection has ended */
  take(handedOff: HandedOffConnection, ended: () => void): RemoteSocket {
    const { pattern, subscription, socket, head, opening, heldVersion } = handedOff
    const id = this.#nextId++
    const pool = this.#poolOf(pattern, subscription)
    pool.relay.entered()
    this.#guests.set(id, { pattern, socket, ended })
    standAlone(socket)
    this.#post({ kind: 'join', id, pool: pool.id, heldVersion, opening, head }, socket)
    return {
      close: (code, reason) => this.#post({ kind: 'close', id, code, reason }),
      terminate: () => this.#post({ kind: 'terminate', id }),
    }
  }

  /** Ends the process; what it still sends is cut off. Idempotent. */
  close(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect()
    return this.ended
  }

  /** Ends the process without asking it. */
  kill(): void {
    this.#child.kill('SIGKILL')
  }

  /** The first subscriber's place is the pool's for all that follow. */
  #poolOf(pattern: string, subscription: Subscription): RelayedPool {
    const known = this.#pools.get(pattern)
    if (known !== undefined) {
      subscription.close()
      return known
    }
    const id = this.#nextId++
    this.#post({ kind: 'open', pool: id })
    let relay: Relay | undefined
    subscription.join((catchUp) => {
      relay = new Relay(id, (news) => this.#post(news), catchUp)
      return relay
    })
    if (relay === undefined) throw new TypeError('the place in the pool was taken or closed before')
    const pool = { id, relay, subscription }
    this.#pools.set(pattern, pool)
    this.#poolsById.set(id, pool)
    return pool
  }

  #hear(message: FromWorker): void {
    switch (message.kind) {
      case 'ready':
        if (this.#state !== 'starting') return
        this.#state = 'ready'
        this.#handlers.ready()
        return
      case 'gone':
        for (const id of message.ids) this.#leave(id)
        return
      case 'counted':
        this.#handlers.counted(message)
        return
      case 'asked':
        this.#answer(message)
        return
      case 'alive':
        return
    }
  }

  #answer(question: PoolQuestion): void {
    this.#poolsById.get(question.pool)?.relay.answer(question)
  }

  #leave(id: number): void {
    const guest = this.#guests.get(id)
    if (guest === undefined) return
    this.#guests.delete(id)
    const pool = this.#pools.get(guest.pattern)
    if (pool !== undefined && pool.relay.left() === 0) {
      this.#pools.delete(guest.pattern)
      this.#poolsById.delete(pool.id)
      pool.subscription.close()
      this.#post({ kind: 'drop', pool: pool.id })
    }
    guest.socket.destroy()
    guest.ended()
  }

  #post(message: ToWorker, socket?: Socket): void {
    if (this.#state === 'ended' || !this.#child.connected) {
      socket?.destroy()
      return
    }
    const bytes = MESSAGE_BYTES + bytesIn(message)
    this.#waitingBytes += bytes
    this.#child.send(message, socket, { keepOpen: false }, () => {
      this.#waitingBytes -= bytes
    })
    if (this.#waitingBytes > MAX_WAITING_BYTES) this.kill()
  }

  #end(reason: string): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    for (const id of [...this.#guests.keys()]) this.#leave(id)
    this.#handlers.ended(reason)
  }
}

/**
 * Without this, Node has the HTTP server ask the workers how many connections they have left before it
 * closes, and it never closes when those workers are gone. So what stands for the connection here is
 * counted until its end was told, as any other.
 */
function standAlone(socket: Socket): void {
  socket.setTimeout(0)
  Reflect.set(socket, 'server', undefined)
}

/** Beside this file, in the language that this file is in. */
function programName(): string {
  return `./process.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`
}

function bytesIn(message: ToWorker): number {
  const batch =
    message.kind === 'batch'
      ? message.batch
      : 'catchUp' in message && message.catchUp.kind === 'behind'
        ? message.catchUp.batch
        : undefined
  return (batch?.frames ?? []).reduce((sum, frame) => sum + frame.byteLength, 0)
}
