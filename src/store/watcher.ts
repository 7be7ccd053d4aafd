/**
 * One reader of committed changes, in `seq` order, that loses nothing and holds little:
 *
 *   live ──(more waits for the reader than it may)──▶ behind ──(the log is read to its end)──▶ live
 *   live ──close──▶ closing ──(what waits has been read)──▶ ended
 *   behind ──close──▶ ended      any ──return, a failed read──▶ ended
 *
 * Live, commits wait in memory as they were made. Behind, nothing waits: the change log is read in
 * pages, which has each key's latest change only. So a slow reader may miss values that were
 * overwritten meanwhile, never the last one, and never a delete.
 */
import type { Change, Commit } from '../core/data/entry.ts'
import type { StateError } from '../core/errors.ts'
import type { LogPosition } from '../core/wire/protocol.ts'
import type { LogPage } from './log/change-log.ts'

/** What a watcher needs of a store. */
export interface WatchSource {
  readonly epoch: string
  /** Seq of the last committed change. */
  readonly head: number
  log(after: number, limit: number): Promise<LogPage>
  onCommit(listener: (commit: Commit) => void): () => void
}

/** One commit, or a piece of the change log. */
export interface WatchEvent {
  /** Everything up to here has been told, this event included: where to watch on from. */
  readonly position: LogPosition
  /** At least one. Of a coalesced event, `before` is not known and always undefined. */
  readonly changes: readonly Change[]
  /**
   * False: exactly one commit. True: read from the log, without values that were overwritten since
   * and without the bounds of commits.
   */
  readonly coalesced: boolean
  /** Peer that a commit came from; undefined for one of this node, and when coalesced. */
  readonly source: string | undefined
}

export interface WatcherOptions {
  readonly source: WatchSource
  /** Seq after which it begins. */
  readonly after: number
  /** Whether a change is told. */
  readonly wants: (key: string) => boolean
  /** Bytes of commits that may wait; one commit may always. */
  readonly maxBufferedBytes: number
  /** Called once when nothing more will come. */
  readonly onEnd: () => void
  /** Called each time the reader has fallen behind. */
  readonly onBehind: () => void
}

type WatcherState = 'live' | 'behind' | 'closing' | 'ended'

/** Rows of the change log read at a time. */
const PAGE_ROWS = 100
/** What a change takes beside its texts, roughly. */
const CHANGE_OVERHEAD_BYTES = 200

const DONE: IteratorReturnResult<undefined> = Object.freeze({ done: true, value: undefined })

export class Watcher implements AsyncIterableIterator<WatchEvent, undefined> {
  readonly #options: WatcherOptions
  readonly #queue: { readonly event: WatchEvent; readonly bytes: number }[] = []
  #state: WatcherState
  #bufferedBytes = 0
  /** Everything up to here has been told, or is not wanted. */
  #seq: number
  /** Seq of the latest commit heard of while live. */
  #heard = 0
  #unsubscribe: () => void
  #wake: () => void = () => undefined
  #turn: Promise<unknown> = Promise.resolve()
  /** Why it ended, for the reader's next call. */
  #failure: StateError | undefined

  constructor(options: WatcherOptions) {
    this.#options = options
    this.#seq = options.after
    this.#state = options.after < options.source.head ? 'behind' : 'live'
    this.#unsubscribe = options.source.onCommit((commit) => this.#hear(commit))
  }

  /** Everything up to here has been given out, or was not asked for. */
  get position(): LogPosition {
    return { epoch: this.#options.source.epoch, seq: this.#seq }
  }

  /** Bytes of commits that wait for the reader, roughly. */
  get bufferedBytes(): number {
    return this.#bufferedBytes
  }

  /**
   * The next event, as soon as there is one. Calls are answered in order.
   * @throws StateError when the log can not be read; the watcher has ended then, and another one can
   * go on from `position`.
   */
  next(): Promise<IteratorResult<WatchEvent, undefined>> {
    const result = this.#turn.then(() => this.#take())
    this.#turn = result.catch(() => undefined)
    return result
  }

  /** Ends at once; what waits is dropped. Idempotent. */
  return(): Promise<IteratorReturnResult<undefined>> {
    this.#end()
    return Promise.resolve(DONE)
  }

  /** No more commits come: ends when what waits has been read, with `reason` when there is one. Idempotent. */
  close(reason?: StateError): void {
    if (this.#state !== 'ended') this.#failure ??= reason
    if (this.#state === 'live') {
      this.#state = 'closing'
      this.#unsubscribe()
      this.#wake()
    } else if (this.#state === 'behind') this.#end()
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async #take(): Promise<IteratorResult<WatchEvent, undefined>> {
    for (;;) {
      const waiting = this.#queue.shift()
      if (waiting !== undefined) {
        this.#bufferedBytes -= waiting.bytes
        // With nothing left waiting, what came after it was not wanted.
        this.#seq = this.#queue.length > 0 ? waiting.event.position.seq : this.#heard
        return { done: false, value: waiting.event }
      }
      if (this.#state === 'closing') this.#end()
      if (this.#state === 'ended') return this.#over()
      if (this.#state === 'live') {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
        continue
      }
      const event = await this.#readLog()
      if (event !== undefined) return { done: false, value: event }
    }
  }

  #over(): IteratorReturnResult<undefined> {
    const failure = this.#failure
    this.#failure = undefined
    if (failure !== undefined) throw failure
    return DONE
  }

  #hear(commit: Commit): void {
    if (this.#state !== 'live') return
    const wanted =
      commit.silent === true
        ? []
        : commit.changes.filter(({ key, isInternal }) => isInternal !== true && this.#wants(key))
    const { seq, source } = commit
    this.#heard = seq
    if (wanted.length === 0) {
      if (this.#queue.length === 0) this.#seq = seq
      return
    }
    const bytes = wanted.reduce((sum, change) => sum + bytesOf(change), 0)
    const isTooMuch = this.#bufferedBytes + bytes > this.#options.maxBufferedBytes
    if (this.#queue.length > 0 && isTooMuch) {
      this.#fallBehind()
      return
    }
    this.#queue.push({ event: this.#event(seq, wanted, false, source), bytes })
    this.#bufferedBytes += bytes
    this.#wake()
  }

  #fallBehind(): void {
    this.#queue.length = 0
    this.#bufferedBytes = 0
    this.#state = 'behind'
    this.#options.onBehind()
    this.#wake()
  }

  /** The wanted changes of the next page of the log, if any; live again at its end. */
  async #readLog(): Promise<WatchEvent | undefined> {
    const { source } = this.#options
    let page: LogPage
    try {
      page = await source.log(this.#seq, PAGE_ROWS)
    } catch (error) {
      if (this.#state === 'ended') return undefined
      this.#end()
      throw error
    }
    if (this.#state === 'ended') return undefined
    this.#seq = page.through
    // Nothing was committed since the page was read, so the next commit follows it without a gap.
    if (page.through >= source.head) this.#state = 'live'
    const changes: Change[] = []
    for (const { record } of page.rows) {
      if (this.#wants(record.key))
        changes.push({ key: record.key, before: undefined, after: record })
    }
    return changes.length === 0 ? undefined : this.#event(page.through, changes, true, undefined)
  }

  #event(
    seq: number,
    changes: readonly Change[],
    coalesced: boolean,
    source: string | undefined,
  ): WatchEvent {
    return { position: { epoch: this.#options.source.epoch, seq }, changes, coalesced, source }
  }

  #wants(key: string): boolean {
    return this.#options.wants(key)
  }

  #end(): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    this.#queue.length = 0
    this.#bufferedBytes = 0
    this.#unsubscribe()
    this.#wake()
    this.#options.onEnd()
  }
}

function bytesOf({ key, before, after }: Change): number {
  const data = after.kind === 'entry' ? after.data.length : 0
  return CHANGE_OVERHEAD_BYTES + key.length + data + (before?.data.length ?? 0)
}
