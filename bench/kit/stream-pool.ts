/**
 * The subscribers of one key of one server, in the swarm: who has received which write, and when.
 *
 * A server sends the same bytes to all subscribers of a key that keep up. So the frames are kept once,
 * in a log; a subscriber is a place in it for as long as each of its frames equals the log's byte for
 * byte, and its state is then the log folded up to its place. One that is sent something else (it came
 * late, or was behind and is given a fresh snapshot) keeps frames of its own from there on.
 */
import type { Dialect } from './dialect.ts'
import { greatestNumber } from './fold.ts'
import { Histogram, type HistogramData } from './histogram.ts'
import { intendedUs, type Schedule } from './monotonic.ts'

/** Bytes of frames kept in all; with more the end of the run could not be checked. */
const MAX_KEPT_BYTES = 1024 * 2 ** 20
/** Frames outside the log that were kept last, among which the next one is looked for. */
const RECENT = 64

interface KeptFrame {
  /** Differs from that of every other frame that is kept. */
  readonly id: number
  readonly bytes: Buffer
  /** The greatest number of a write it shows; -1: none. */
  readonly number: number
}

/** One subscriber that reads. */
export interface Place {
  /** How many frames of the log it has received, before it went its own way. */
  received: number
  /** What it was sent instead of the log's next frames; undefined: nothing else. */
  own: KeptFrame[] | undefined
  /** The last write whose arrival was counted. */
  lastNumber: number
}

/** What a run of writes has come to. */
export interface Receipts {
  /** From the intended time of a write to its receipt, for every subscriber. */
  readonly every: HistogramData
  /** Per write, in order: when the last subscriber here received it, on the shared clock. */
  readonly lastUs: readonly number[]
  /** Data frames received since the run began, by all. */
  readonly frames: number
  readonly bytes: number
  /** Receipts that had not come at the end; they are in `every` with the time that had passed. */
  readonly missing: number
}

export class StreamPool {
  readonly places: Place[] = []
  readonly #dialect: Dialect
  readonly #log: KeptFrame[] = []
  readonly #recent: KeptFrame[] = []
  #lastId = 0
  #keptBytes = 0
  #schedule: Schedule = { startUs: 0, intervalUs: 0, count: 0, firstNumber: 0 }
  #every = new Histogram()
  /** Per write of the schedule: how many have it, and when the last one got it. */
  #holders = new Uint32Array(0)
  #lastUs = new Float64Array(0)
  #frames = 0
  #bytes = 0

  constructor(dialect: Dialect) {
    this.#dialect = dialect
  }

  join(): Place {
    const place: Place = { received: 0, own: undefined, lastNumber: this.#schedule.firstNumber - 1 }
    this.places.push(place)
    return place
  }

  /** Begins to count a run of writes that are not sent yet. */
  expect(schedule: Schedule): void {
    this.#schedule = schedule
    this.#every = new Histogram()
    this.#holders = new Uint32Array(schedule.count)
    this.#lastUs = new Float64Array(schedule.count)
    this.#frames = 0
    this.#bytes = 0
    for (const place of this.places) place.lastNumber = schedule.firstNumber - 1
  }

  /** A data frame of a subscriber: `bytes` from `from` to `to`. They are not kept. */
  receive(place: Place, bytes: Buffer, from: number, to: number, nowUs: number): void {
    this.#frames++
    this.#bytes += to - from
    const number = this.#place(place, bytes, from, to)
    if (number > place.lastNumber) this.#count(place, number, nowUs)
  }

  /** Whether every subscriber has every write of the run. */
  get complete(): boolean {
    return this.places.every(({ lastNumber }) => lastNumber >= this.#end)
  }

  receipts(nowUs: number): Receipts {
    let missing = 0
    const every = Histogram.from(this.#every.toJSON())
    for (const { lastNumber } of this.places) {
      for (let number = lastNumber + 1; number <= this.#end; number++) {
        missing++
        every.record(nowUs - intendedUs(this.#schedule, number))
      }
    }
    const everyone = this.places.length
    const lastUs = [...this.#lastUs].map((us, i) => (this.#holders[i] === everyone ? us : nowUs))
    return { every: every.toJSON(), lastUs, frames: this.#frames, bytes: this.#bytes, missing }
  }

  /** Each state that subscribers hold, once per distinct sequence of frames, and how many hold it. */
  *states(): Generator<{ readonly state: unknown; readonly holders: number }> {
    const groups = new Map<string, { frames: readonly KeptFrame[]; holders: number }>()
    for (const { received, own = [] } of this.places) {
      const isWhole = own[0] !== undefined && isSnapshot(own[0])
      const fromLog = isWhole ? 0 : received
      const name = [fromLog, ...own.map(({ id }) => id)].join()
      const group = groups.get(name) ?? {
        frames: [...this.#log.slice(0, fromLog), ...own],
        holders: 0,
      }
      group.holders++
      groups.set(name, group)
    }
    for (const { frames, holders } of groups.values()) yield { state: this.#fold(frames), holders }
  }

  get #end(): number {
    return this.#schedule.firstNumber + this.#schedule.count - 1
  }

  /** Puts the frame in its place and gives the greatest number of a write in it. */
  #place(place: Place, bytes: Buffer, from: number, to: number): number {
    if (place.own === undefined) {
      const known = this.#log[place.received] ?? this.#keep(bytes, from, to, this.#log)
      if (isSame(known, bytes, from, to)) {
        place.received++
        return known.number
      }
      place.own = []
    }
    const frame =
      this.#recent.find((recent) => isSame(recent, bytes, from, to)) ??
      this.#keep(bytes, from, to, this.#recent)
    if (this.#recent.length > RECENT) this.#recent.shift()
    if (isSnapshot(frame)) place.own = []
    place.own.push(frame)
    return frame.number
  }

  #count(place: Place, upTo: number, nowUs: number): void {
    const { firstNumber } = this.#schedule
    const end = Math.min(upTo, this.#end)
    for (let number = place.lastNumber + 1; number <= end; number++) {
      this.#every.record(nowUs - intendedUs(this.#schedule, number))
      const i = number - firstNumber
      this.#holders[i] = (this.#holders[i] ?? 0) + 1
      this.#lastUs[i] = nowUs
    }
    place.lastNumber = upTo
  }

  /** Copies the frame to the end of a list. */
  #keep(bytes: Buffer, from: number, to: number, list: KeptFrame[]): KeptFrame {
    this.#keptBytes += to - from
    if (this.#keptBytes > MAX_KEPT_BYTES) throw new Error('too many bytes of frames to check')
    const copy = Buffer.from(bytes.subarray(from, to))
    const number = greatestNumber(copy.toString('latin1'))
    const frame = { id: ++this.#lastId, bytes: copy, number }
    list.push(frame)
    return frame
  }

  #fold(frames: readonly KeptFrame[]): unknown {
    let state: unknown
    for (const { bytes } of frames) state = this.#dialect.fold(state, bytes.toString('utf8'))
    return state
  }
}

function isSame({ bytes: known }: KeptFrame, bytes: Buffer, from: number, to: number): boolean {
  return known.length === to - from && known.compare(bytes, from, to) === 0
}

function isSnapshot({ bytes }: KeptFrame): boolean {
  return bytes.toString('latin1', 0, 16) === '{"snapshot":true'
}
