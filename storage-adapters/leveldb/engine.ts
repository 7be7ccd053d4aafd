/**
 * One life of a LevelDB database, from open to close. What LevelDB leaves to its user is done here:
 * - After a failed write its log may hold half a record, behind which later ones are lost, or it
 *   refuses all further writes. So nothing is written after a failure until the engine has begun a
 *   new log or, where it can not, was opened again in place; reads and scans go on.
 * - A batch that was refused can still stand in the log, and would be there after opening again, in
 *   this process or a later one: its number is noted, and it is cut off the log before the engine reads it.
 */

import { StateError } from '../../src/core/errors.ts'
import type { BatchOperation, Row } from '../../src/core/ports/storage-adapter.ts'
import {
  type Database,
  formatNumber,
  NUMBER_ROW,
  openDatabase,
  writeRows,
} from './files/database.ts'
import { codeOf, levelFailure, notOpen } from './files/errors.ts'
import { FolderSync, logFiles, probeSpace } from './files/folder.ts'
import { truncateRejectedBatch } from './files/rejected-batch.ts'
import { openRepaired } from './open-repaired.ts'
import type { Reserve } from './reserve.ts'
import { type EngineRange, EngineScans } from './scans.ts'
import type { StartMark } from './start-mark.ts'
import type { Watermark } from './watermark.ts'

/** First pause between two attempts to write again after a failure; doubles up to the longest. */
const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 5_000
/** Sorts after every row key. */
const AFTER_ALL_ROWS = '\uffff\uffff'

export interface LevelEngineOptions {
  readonly directory: string
  readonly cacheBytes: number
  readonly writeBufferBytes: number
  /** Bytes of sorted files that opening reads in full, the newest ones. */
  readonly checkedBytes: number
  /** How long scans of an older state may hold up opening again before they are cut short, ms. */
  readonly scanPatienceMs: number
  /** Bytes kept for opening on a full disk; 0: none. */
  readonly reserveBytes: number
  /** Monotonic milliseconds. */
  readonly nowMs: () => number
}

/** What an engine begins with. */
export interface OpenedDatabase {
  readonly database: Database
  readonly watermark: Watermark
  readonly starts: StartMark
  readonly reserve: Reserve
  /** Number of the last acknowledged batch in it. */
  readonly acknowledged: number
  /** What was damaged, in sentences for people. */
  readonly damage: readonly string[]
}

/** Why writes are refused, and when to try again. */
interface Fault {
  error: StateError
  retryAtMs: number
}

export class LevelEngine {
  readonly #options: LevelEngineOptions
  readonly #folder: FolderSync
  readonly #watermark: Watermark
  readonly #scans: EngineScans
  readonly #reads = new Set<Promise<unknown>>()
  #database: Database | undefined
  /** Set while the engine is opened again: reads wait for it. */
  #gate: Promise<void> | undefined
  #fault: Fault | undefined
  #healing: Promise<void> | undefined
  #closed = false
  /** True when a refused batch can be read until the engine is opened again. */
  #isApplied = false
  /** Pause after the next failure. */
  #pauseMs = FIRST_PAUSE_MS
  /** Number of the last acknowledged batch. */
  #acknowledged: number
  /** Greatest number given to a batch. */
  #number: number
  /** How often writing went on after a failure. */
  recoveries = 0

  readonly #starts: StartMark
  readonly #reserve: Reserve
  /** True until the node has written what a start writes. */
  #isStarting = false
  readonly #damage: string[]

  constructor(options: LevelEngineOptions, opened: OpenedDatabase) {
    const { database, watermark, starts, reserve, acknowledged, damage } = opened
    this.#starts = starts
    this.#reserve = reserve
    this.#damage = [...damage]
    this.#options = options
    this.#database = database
    this.#watermark = watermark
    this.#acknowledged = acknowledged
    this.#number = Math.max(acknowledged, watermark.marks.refused)
    this.#folder = new FolderSync(options.directory)
    this.#scans = new EngineScans(options.directory)
    this.#scans.attach(database)
  }

  /** What was found damaged since opening, in sentences for people; undefined when nothing was. */
  get damage(): string | undefined {
    return this.#damage.length === 0 ? undefined : this.#damage.join('; ')
  }

  /** The failure that writes are refused for now; undefined when all is well. */
  get fault(): StateError | undefined {
    return this.#fault?.error
  }

  /** Without a start under way the room of a reserve that was given up is not to be used. */
  starting(isUnderWay: boolean): void {
    this.#isStarting = isUnderWay
    if (isUnderWay || !this.#reserve.isSpent || this.#fault !== undefined) return
    const { directory, nowMs } = this.#options
    const text = `storage: cannot write folder "${directory}": no space is left on its disk: it was opened on its reserve`
    const clientText = 'storage: cannot write: no space is left on its disk'
    const error = new StateError('storage_full', text, { clientText })
    this.#fault = { error, retryAtMs: nowMs() }
  }

  /** Whether the folder was deleted under this. */
  isFolderGone(): Promise<boolean> {
    return this.#watermark.isDeleted()
  }

  async read<T>(operation: string, work: (database: Database) => Promise<T>): Promise<T> {
    try {
      const reading = work(await this.#serving(operation))
      return await this.#track(reading)
    } catch (error) {
      throw levelFailure(operation, this.#options.directory, error)
    }
  }

  /** Takes its snapshot now. */
  scan(range: EngineRange): AsyncIterable<Row> {
    return this.#scans.start(range, this.#acknowledged, {
      ready: async () => void (await this.#serving('scan')),
      track: (reading) => this.#track(reading),
    })
  }

  /** Writes one batch; callers keep to one at a time. A batch that is refused leaves nothing. */
  async write(operations: readonly BatchOperation[], sync: boolean): Promise<void> {
    let isRecovery = this.#fault !== undefined
    if (this.#fault !== undefined) await this.#heal(this.#fault)
    try {
      await this.#put(operations, sync)
    } catch (error) {
      if (isRefusedArgument(error)) throw levelFailure('write', this.#options.directory, error)
      isRecovery = true
      const fault = await this.#refuse(error, this.#options.nowMs())
      if (this.#isStarting && fault.error.code === 'storage_full') await this.#reserve.spend()
      // At once: the reason may have gone already, as when a failure in the background is told now.
      await this.#heal(fault)
      await this.#putAgain(operations, sync)
    }
    if (isRecovery) this.recoveries += 1
    this.#pauseMs = FIRST_PAUSE_MS
  }

  /**
   * Closes the database, reads all of its files, repairs them and opens it again; reads wait meanwhile.
   * Callers keep it apart from writes. @returns what was damaged; undefined when all files are sound.
   */
  async repair(): Promise<string | undefined> {
    await this.#healing?.catch(() => undefined)
    if (this.#closed) throw notOpen('repair')
    const before = this.#damage.length
    try {
      await this.#openAnew(true)
    } catch (error) {
      const fault = { error: levelFailure('open', this.#options.directory, error) }
      this.#fault = { ...fault, retryAtMs: this.#pauseEnd() }
      throw fault.error
    }
    const found = this.#damage.slice(before)
    return found.length === 0 ? undefined : found.join('; ')
  }

  /** Lets running reads end; scans then reject at their next row. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#healing?.catch(() => undefined)
    await Promise.allSettled(this.#reads)
    this.#scans.detach(undefined)
    const database = this.#database
    this.#database = undefined
    try {
      await this.#watermark.close()
    } finally {
      await database?.close()
      await this.#starts.end()
    }
  }

  async #put(operations: readonly BatchOperation[], sync: boolean): Promise<void> {
    if (this.#database === undefined) throw notOpen('write')
    this.#number += 1
    const value = formatNumber({ number: this.#number, previous: this.#acknowledged })
    const rows: BatchOperation[] = [...operations, { type: 'put', key: NUMBER_ROW, value }]
    await writeRows(this.#database, rows, { sync })
    if (sync) {
      // The batch is applied by now: only opening again without its record takes it back.
      this.#isApplied = true
      await this.#folder.sync()
      this.#isApplied = false
    }
    this.#acknowledged = this.#number
    this.#watermark.acknowledge(this.#number)
  }

  async #putAgain(operations: readonly BatchOperation[], sync: boolean): Promise<void> {
    try {
      await this.#put(operations, sync)
    } catch (error) {
      throw (await this.#refuse(error, this.#pauseEnd())).error
    }
  }

  /** Notes the refusal of the last batch before anybody is told, so that it never comes back. */
  async #refuse(error: unknown, retryAtMs: number): Promise<Fault> {
    const fault = { error: levelFailure('write', this.#options.directory, error), retryAtMs }
    this.#fault = fault
    await this.#watermark.refuse(this.#number)
    return fault
  }

  /** When to try again after a failure now; each pause is twice the one before. */
  #pauseEnd(): number {
    const pauseMs = this.#pauseMs
    this.#pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)
    return this.#options.nowMs() + pauseMs
  }

  /** The database to read from; opens it again when the last attempt to do so failed. */
  async #serving(operation: string): Promise<Database> {
    while (this.#gate !== undefined) await this.#gate
    if (this.#database === undefined && !this.#closed && this.#fault !== undefined) {
      await this.#heal(this.#fault)
    }
    if (this.#database === undefined) throw notOpen(operation)
    return this.#database
  }

  /** Makes the engine write again. @throws StateError the reason it does not, or did not just before. */
  #heal(fault: Fault): Promise<void> {
    this.#healing ??= this.#tryHeal(fault).finally(() => {
      this.#healing = undefined
    })
    return this.#healing
  }

  async #tryHeal(fault: Fault): Promise<void> {
    const waitMs = fault.retryAtMs - this.#options.nowMs()
    if (waitMs > 0) {
      const text = `${fault.error.message} (tried again in ${Math.ceil(waitMs)} ms at the earliest)`
      throw new StateError(fault.error.code, text, { cause: fault.error })
    }
    try {
      if (!this.#isStarting && this.#reserve.isSpent) await this.#reserve.restore()
      await probeSpace(this.#options.directory, this.#bytesNeeded())
      // A merge that meets a damaged block ends all writing until the block is repaired.
      if (fault.error.code === 'corrupt_record') await this.#openAnew(true)
      else if (this.#isApplied || !(await this.#beginLog())) await this.#openAnew(false)
      this.#isApplied = false
      this.#fault = undefined
    } catch (error) {
      fault.error = levelFailure('write', this.#options.directory, error)
      fault.retryAtMs = this.#pauseEnd()
      throw fault.error
    }
  }

  /** Both buffers go to sorted files, and a new log begins. */
  #bytesNeeded(): number {
    return 2 * this.#options.writeBufferBytes + 256 * 1024
  }

  /**
   * Has the engine write its buffer to a sorted file and begin a new log, which drops the old log
   * with whatever a refused batch left in it. False when it did not: it gives no answer of its own.
   */
  async #beginLog(): Promise<boolean> {
    if (this.#database === undefined) return false
    const before = await logFiles(this.#options.directory)
    await this.#database.compactRange(AFTER_ALL_ROWS, AFTER_ALL_ROWS)
    const [log, ...others] = await logFiles(this.#options.directory)
    return log !== undefined && others.length === 0 && log.number > (before.at(-1)?.number ?? 0)
  }

  /** @param isChecked true to read all files before, and repairFolder them. */
  async #openAnew(isChecked: boolean): Promise<void> {
    await this.#scans.olderThan(this.#acknowledged, this.#options.scanPatienceMs)
    let open: () => void = () => undefined
    this.#gate = new Promise((resolve) => {
      open = resolve
    })
    try {
      await Promise.allSettled(this.#reads)
      const database = this.#database
      this.#database = undefined
      this.#scans.detach(this.#acknowledged)
      await database?.close()
      this.#database = await this.#reopen(isChecked).catch((error: unknown) => {
        throw levelFailure('open', this.#options.directory, error)
      })
      // Before the next write, so that they see the state they were begun in.
      this.#scans.attach(this.#database)
    } finally {
      this.#gate = undefined
      open()
    }
  }

  async #reopen(isChecked: boolean): Promise<Database> {
    const { refused } = this.#watermark.marks
    if (!isChecked) {
      await truncateRejectedBatch(this.#options.directory, refused)
      return openDatabase(this.#options)
    }
    const { database, damage } = await openRepaired(
      this.#options,
      refused,
      Number.POSITIVE_INFINITY,
    )
    this.#damage.push(...damage)
    return database
  }

  async #track<T>(reading: Promise<T>): Promise<T> {
    this.#reads.add(reading)
    try {
      return await reading
    } finally {
      this.#reads.delete(reading)
    }
  }
}

/** True for a batch that the engine did not accept as one; nothing of it was written. */
function isRefusedArgument(error: unknown): boolean {
  return /^(LEVEL_INVALID|LEVEL_ENCODING|ERR_INVALID)/.test(codeOf(error) ?? '')
}
