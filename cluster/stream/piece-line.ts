/** Large values in both directions of one connection: what a link and a leader's session have in common. */
import type { StoredRecord } from '../../src/core/data/entry.ts'
import type { TimeSource } from '../../src/core/ports/time.ts'
import type { MessageSocket } from '../../src/core/ports/transport.ts'
import { type PieceMessage, type Whole, withValues } from '../../src/core/wire/pieces.ts'
import { encodeMessage } from '../../src/core/wire/protocol.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import type { ClusterLimits } from '../config/options.ts'
import { StreamLife } from './life.ts'
import type { PartialValues } from './partial-values.ts'
import { PieceSender } from './piece-sender.ts'
import { PieceTaker } from './piece-taker.ts'

export interface PieceLineOptions {
  readonly store: Pick<ReplicationStore, 'keyState'>
  readonly time: TimeSource
  readonly limits: Pick<ClusterLimits, 'pieceBytes' | 'windowBytes'>
  readonly partials: PartialValues
  /** Id of a follower, or URL of a leader. */
  readonly peer: string
  /** Longest value that is taken, UTF-16 units. Default: 256 Mi. */
  readonly maxUnits?: number
  readonly socket: MessageSocket
  /** Hears why the connection can not go on. */
  readonly fail: (error: unknown) => void
}

export class PieceLine {
  readonly #fail: (error: unknown) => void
  readonly #sender: PieceSender
  readonly #taker: PieceTaker
  readonly #life: StreamLife
  #isClosed = false

  constructor(options: PieceLineOptions) {
    this.#fail = options.fail
    const send = (message: PieceMessage): void => options.socket.send(encodeMessage(message))
    this.#sender = new PieceSender({ ...options, ...options.limits, send })
    this.#taker = new PieceTaker({ ...options, send })
    this.#life = new StreamLife(options.socket)
  }

  /** Sends the record's value; `done` is called when the other side has it, or never. */
  ship(record: StoredRecord, done: () => void): void {
    if (record.kind !== 'entry') return
    this.#sender.ship(record, () => {
      if (!this.#isClosed) done()
    })
  }

  /** @throws StateError `invalid_message`. */
  hear(message: PieceMessage): void {
    if (this.#isClosed) return
    this.#life.heard()
    if (message.t === 'got') this.#sender.got(message)
    else if (message.t === 'piece') this.#taker.take(message)
    else {
      this.#taker.offered(message).catch((error: unknown) => {
        if (!this.#isClosed) this.#fail(error)
      })
    }
  }

  /** Whether bytes came, or went, since this was asked before. */
  hasMoved(): boolean {
    return this.#life.moved()
  }

  /** The message with the values that came before it. @throws StateError `invalid_message`. */
  fill<Message extends Whole & { readonly records: readonly StoredRecord[] }>(
    message: Message,
  ): Message {
    if (message.whole === undefined) return message
    const records = withValues(message.records, message, (record) => this.#taker.valueOf(record))
    return { ...message, records }
  }

  /** These records are stored. */
  stored(records: readonly StoredRecord[]): void {
    this.#taker.stored(records)
  }

  /** The connection is gone. Idempotent. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#taker.close()
  }
}
