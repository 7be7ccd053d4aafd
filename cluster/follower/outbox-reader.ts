/** Reads a link's outbox for the latest request, one reading at a time. */
import type { SequencedRow } from '../../src/store/format/rows.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import type { ClusterLimits } from '../config/options.ts'
import { cutRows } from '../stream/page.ts'
import type { FollowerEffect, FollowerEvent } from './state/link.ts'

export interface OutboxReaderOptions {
  readonly store: Pick<ReplicationStore, 'pending' | 'pendingRow' | 'overtakenFor'>
  readonly leader: string
  readonly limits: Pick<ClusterLimits, 'messageBytes'>
  /** Rows as they may be told to the leader. */
  readonly sendable: (rows: readonly SequencedRow[]) => readonly SequencedRow[]
  readonly dispatch: (event: FollowerEvent) => void
  readonly fail: (error: unknown) => void
}

type Request = Extract<FollowerEffect, { type: 'collect' }>
type Upload = Extract<FollowerEffect, { type: 'upload' }>

export class OutboxReader {
  readonly #options: OutboxReaderOptions
  /** The latest request that has not been answered. */
  #next: Request | undefined
  #isReading = false

  constructor(options: OutboxReaderOptions) {
    this.#options = options
  }

  /** Answered by `collected`, unless another request comes first. */
  collect(request: Request): void {
    this.#next = request
    void this.#read()
  }

  /** A value has arrived in pieces: its record goes up, unless another change took its place meanwhile. */
  async uploaded({ session, row }: Upload): Promise<void> {
    const { store, leader, dispatch, fail } = this.#options
    try {
      const pending = await store.pendingRow(leader, row)
      dispatch({ type: 'uploaded', session, seq: row.seq, row: pending })
    } catch (error) {
      fail(error)
    }
  }

  async #read(): Promise<void> {
    const { store, leader, limits, sendable, dispatch, fail } = this.#options
    if (this.#isReading) return
    this.#isReading = true
    try {
      for (let next = this.#next; next !== undefined; next = this.#next) {
        this.#next = undefined
        const pending = await store.pending(leader, next.limit, next.skip)
        const { rows } = cutRows(pending, limits.messageBytes)
        const isWhole = rows.length === pending.length && pending.length < next.limit
        const ready = sendable(rows)
        // Read after the rows: what a follower told came in one batch with what overtakes.
        const overtaken = ready.length === 0 ? [] : store.overtakenFor(leader)
        const wholeOf = isWhole ? next.live : undefined
        dispatch({ type: 'collected', rows: ready, overtaken, wholeOf })
      }
    } catch (error) {
      fail(error)
    } finally {
      this.#isReading = false
    }
  }
}
