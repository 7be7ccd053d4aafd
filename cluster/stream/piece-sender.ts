/** Sends large values in pieces over one connection, one value after the other, beside all else that it carries. */
import type { Entry } from '../../src/core/data/entry.ts'
import { NS_PER_MS, type TimeSource } from '../../src/core/ports/time.ts'
import type { Got, Offer, Piece } from '../../src/core/wire/pieces.ts'
import { endOfPiece, nameOfValue } from '../../src/core/wire/pieces.ts'
import { answered, FIRST_WINDOW, type PieceWindow } from './piece-window.ts'

export interface PieceSenderOptions {
  readonly time: TimeSource
  /** Size of a piece, bytes as it is spelled. */
  readonly pieceBytes: number
  /** Bytes of pieces on their way at most. */
  readonly windowBytes: number
  readonly send: (message: Offer | Piece) => void
}

interface Shipment {
  readonly record: Entry
  readonly done: () => void
}

interface UnderWay {
  readonly shipment: Shipment
  readonly n: number
  /** Undefined until the other side has said what it holds. */
  next: number | undefined
  /** The other side holds the value up to here. */
  held: number
  readonly pieces: { readonly end: number; readonly sentNs: bigint }[]
}

export class PieceSender {
  readonly #options: PieceSenderOptions
  readonly #waiting: Shipment[] = []
  #current: UnderWay | undefined
  #window: PieceWindow = FIRST_WINDOW
  #offers = 0

  constructor(options: PieceSenderOptions) {
    this.#options = options
  }

  /**
   * Sends the record's value; calls `done` once the other side has all of it, for one message that uses it.
   */
  ship(record: Entry, done: () => void): void {
    this.#waiting.push({ record, done })
    this.#begin()
  }

  /** The other side tells up to where it holds the value. */
  got({ n, at }: Got): void {
    const current = this.#current
    if (current === undefined || current.n !== n) return
    if (current.next === undefined || at < current.held) {
      // It may have lost what it held.
      current.pieces.length = 0
      current.next = at
    } else this.#note(current, at)
    current.held = at
    if (at >= current.shipment.record.data.length) this.#end(current)
    else this.#pump(current)
  }

  #note({ pieces }: UnderWay, at: number): void {
    const { time, windowBytes, pieceBytes } = this.#options
    while (pieces[0] !== undefined && pieces[0].end <= at) {
      const tookMs = Number((time.monotonicNs() - pieces[0].sentNs) / NS_PER_MS)
      this.#window = answered(this.#window, tookMs, Math.floor(windowBytes / pieceBytes))
      pieces.shift()
    }
  }

  #begin(): void {
    if (this.#current !== undefined) return
    const shipment = this.#waiting.shift()
    if (shipment === undefined) return
    const n = ++this.#offers
    this.#current = { shipment, n, next: undefined, held: 0, pieces: [] }
    this.#options.send({ t: 'offer', n, ...nameOfValue(shipment.record) })
  }

  #pump(current: UnderWay): void {
    const { time, pieceBytes, send } = this.#options
    const { data } = current.shipment.record
    while (current.pieces.length < this.#window.limit) {
      const at = current.next ?? 0
      if (at >= data.length) return
      const end = endOfPiece(data, at, pieceBytes)
      current.next = end
      current.pieces.push({ end, sentNs: time.monotonicNs() })
      send({ t: 'piece', n: current.n, at, data: data.slice(at, end) })
    }
  }

  #end({ shipment }: UnderWay): void {
    this.#current = undefined
    shipment.done()
    this.#begin()
  }
}
