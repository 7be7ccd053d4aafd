/**
 * The leader's side of the bus: publishes what is committed, once, whatever the number of followers.
 * Commits of one flush share a message; what is too large for one goes as several, a record too large
 * as the news that there is something to fetch. While the bus takes nothing, nothing is published but a
 * mark now and then, to find out when it does again.
 */
import type { Commit } from '../../src/core/data/entry.ts'
import type { CancelTimer, TimeSource } from '../../src/core/ports/time.ts'
import { type Batch, type BusInvitation, encodeBatch } from '../../src/core/wire/bus.ts'
import type { Bus } from '../../src/fanout/bus.ts'
import type { SequencedRow } from '../../src/store/format/rows.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import type { ClusterLimits } from '../config/options.ts'
import { type Placement, scopeOf } from '../members/placement.ts'
import { recordBytes } from '../stream/page.ts'
import { sealText } from './seal.ts'

export interface BusPublisherOptions {
  readonly bus: Bus
  readonly store: Pick<ReplicationStore, 'id' | 'epoch' | 'head'>
  readonly placement: Placement
  readonly time: TimeSource
  readonly limits: ClusterLimits
  /** Makes the key of this life. */
  readonly newId: () => string
  /** Hears that what is published does not get to the bus; once, until it does again. */
  readonly failed: () => void
}

/** Since the node started. */
export interface PublisherReport {
  /** Messages with changes. */
  readonly batches: number
  /** Changes in them. */
  readonly rows: number
  /** Messages that told only that there is something too large to publish. */
  readonly notices: number
  /** Messages without changes, which tell how far the log is. */
  readonly marks: number
  /** Whether what is published gets to the bus, as far as known. */
  readonly isFailing: boolean
}

/** A part of the log that is about to be published. */
interface Pending {
  readonly epoch: string
  readonly from: number
  to: number
  readonly rows: SequencedRow[]
}

export class BusPublisher {
  readonly #options: BusPublisherOptions
  readonly #key: string
  /** Connected followers that can listen. */
  #listeners = 0
  #pending: Pending | undefined
  #isFlushPlanned = false
  /** Greatest seq whose acknowledgement was asked for. */
  #asked = 0
  #isAskPlanned = false
  #isFailing = false
  #cancelMark: CancelTimer | undefined
  readonly #counts = { batches: 0, rows: 0, notices: 0, marks: 0 }

  constructor(options: BusPublisherOptions) {
    this.#options = options
    this.#key = `${options.newId()}${options.newId()}`
  }

  /** What followers are told; it changes with the log's epoch. */
  get invitation(): BusInvitation {
    return { channel: this.#channel, key: this.#key }
  }

  /** A follower that can listen is there; marks begin with the first. */
  joined(): void {
    this.#listeners++
    if (this.#listeners === 1) this.#keepMarking()
  }

  /** It is gone. */
  left(): void {
    this.#listeners--
    if (this.#listeners > 0) return
    this.#pending = undefined
    this.#cancelMark?.()
  }

  /** Hears every commit of the store. */
  committed({ seq, changes }: Commit): void {
    if (this.#listeners === 0 || this.#isFailing) return
    const { epoch } = this.#options.store
    const from = seq - changes.length
    // Seqs that no commit told of are left for followers to ask about.
    if (this.#pending?.epoch !== epoch || this.#pending.to !== from) this.#flush()
    this.#pending ??= { epoch, from, to: from, rows: [] }
    this.#pending.to = seq
    changes.forEach(({ after }, i) => {
      if (scopeOf(this.#options.placement, after.key) === undefined) return
      this.#pending?.rows.push({ seq: from + 1 + i, record: after })
    })
    this.#planFlush()
  }

  /** Has every follower on the bus that holds everything up to `seq` say so. */
  ask(seq: number): void {
    if (this.#listeners === 0 || seq <= this.#asked) return
    this.#asked = seq
    if (this.#isAskPlanned) return
    this.#isAskPlanned = true
    queueMicrotask(() => {
      this.#isAskPlanned = false
      if (this.#listeners > 0 && !this.#isFailing) this.#mark(this.#asked)
    })
  }

  report(): PublisherReport {
    return { ...this.#counts, isFailing: this.#isFailing }
  }

  /** Publishes nothing more. */
  stop(): void {
    this.#listeners = 0
    this.#pending = undefined
    this.#cancelMark?.()
  }

  get #channel(): string {
    const { id, epoch } = this.#options.store
    return `ooo:${id}:${epoch}`
  }

  #planFlush(): void {
    if (this.#isFlushPlanned) return
    this.#isFlushPlanned = true
    queueMicrotask(() => {
      this.#isFlushPlanned = false
      this.#flush()
    })
  }

  #flush(): void {
    const pending = this.#pending
    if (pending === undefined) return
    this.#pending = undefined
    for (const batch of cutBatches(pending, this.#options.limits)) {
      if (!this.#publish(batch)) return
      if (batch.records === undefined) this.#counts.notices++
      else {
        this.#counts.batches++
        this.#counts.rows += batch.records.length
      }
    }
  }

  #mark(ack?: number): void {
    this.#flush()
    const { epoch, head } = this.#options.store
    const isSent = this.#publish({
      epoch,
      from: head,
      to: head,
      records: [],
      ...(ack === undefined ? {} : { ack }),
    })
    if (isSent) this.#counts.marks++
  }

  #keepMarking(): void {
    const { time, limits } = this.#options
    this.#mark()
    this.#cancelMark = time.after(limits.busMarkIntervalMs, () => {
      if (this.#listeners > 0) this.#keepMarking()
    })
  }

  #publish(batch: Batch): boolean {
    const { bus, failed } = this.#options
    const channel = this.#channel
    const isSent = bus.publish(channel, sealText(this.#key, channel, encodeBatch(batch)))
    const wasFailing = this.#isFailing
    this.#isFailing = !isSent
    if (!isSent && !wasFailing) failed()
    return isSent
  }
}

/** Messages that together stand for the whole part, without a gap between them. */
export function cutBatches(
  { epoch, from, to, rows }: Pending,
  { busMessageBytes, messageRecords }: Pick<ClusterLimits, 'busMessageBytes' | 'messageRecords'>,
): Batch[] {
  const batches: Batch[] = []
  let begin = from
  let page: SequencedRow[] = []
  let bytes = 0
  const cut = (end: number, records: Batch['records']): void => {
    if (end > begin) batches.push({ epoch, from: begin, to: end, records })
    begin = end
    page = []
    bytes = 0
  }
  for (const row of rows) {
    const size = recordBytes(row.record)
    if (page.length >= messageRecords || (page.length > 0 && bytes + size > busMessageBytes)) {
      cut(row.seq - 1, newest(page))
    }
    if (size > busMessageBytes) {
      cut(row.seq - 1, [])
      cut(row.seq, undefined)
      continue
    }
    page.push(row)
    bytes += size
  }
  cut(to, newest(page))
  return batches
}

/** Of each key the newest record, in the order of the log. */
function newest(rows: readonly SequencedRow[]): SequencedRow['record'][] {
  const last = new Map(rows.map((row) => [row.record.key, row.seq]))
  return rows.filter(({ seq, record }) => last.get(record.key) === seq).map(({ record }) => record)
}
