/**
 * Repair beneath the rows while a storage is open. When rows do not match their checksums, or a read or
 * batch meets damaged bytes, the adapter is asked to repair its files; then records and change log are
 * compared, which names what is lost. Until that is done nobody may take an absent row for an absent key.
 */
import type { Logger } from '../../core/ports/logger.ts'
import type { StorageAdapter } from '../../core/ports/storage-adapter.ts'
import type { TimeSource } from '../../core/ports/time.ts'
import { compareWithLog, type Findings } from './integrity.ts'

export interface FileRepairOptions {
  readonly adapter: StorageAdapter
  readonly logger: Logger
  readonly time: TimeSource | undefined
}

/** What a repair found, with the adapter's sentence for people. */
export interface RepairFindings extends Findings {
  readonly sentence: string
}

/** After files were found sound they are not read again for so long, milliseconds. */
const PAUSE_MS = 60_000

export class FileRepair {
  readonly #options: FileRepairOptions
  #doubt: Promise<void> | undefined
  /** What the adapter said of damage when it was last looked at. */
  #known: string | undefined
  #soundAtMs: number | undefined

  constructor(options: FileRepairOptions) {
    this.#options = options
  }

  /** What the adapter says now is known. */
  begin(): void {
    this.#known = this.#options.adapter.damage
    this.#soundAtMs = undefined
  }

  /** Resolves when absent rows are absent keys again; undefined when they are. */
  get doubt(): Promise<void> | undefined {
    return this.#doubt
  }

  /** True when the adapter has found damage by itself, as a batch does that fails for it. */
  get isNews(): boolean {
    return this.#options.adapter.damage !== this.#known
  }

  /**
   * Has the files repaired. `condemn` is called with what is lost before anybody reads of it.
   * @returns undefined when the files are sound, or were a moment ago.
   */
  async run(condemn: (findings: RepairFindings) => void): Promise<RepairFindings | undefined> {
    const { adapter, logger } = this.#options
    const nowMs = this.#nowMs()
    const isRecent = nowMs - (this.#soundAtMs ?? Number.NEGATIVE_INFINITY) < PAUSE_MS
    if (!this.isNews && (adapter.repair === undefined || isRecent)) return undefined
    let lift: () => void = () => undefined
    this.#doubt = new Promise((resolve) => {
      lift = resolve
    })
    try {
      if (!this.isNews) await adapter.repair?.()
      if (!this.isNews) {
        this.#soundAtMs = nowMs
        return undefined
      }
      const sentence = adapter.damage ?? ''
      const findings = { ...(await compareWithLog(adapter)), sentence }
      this.#known = sentence
      logger.warn('damaged files of the storage were repaired', { damage: sentence })
      condemn(findings)
      return findings
    } finally {
      this.#doubt = undefined
      lift()
    }
  }

  #nowMs(): number {
    const { time } = this.#options
    return time === undefined ? 0 : Number(time.monotonicNs() / 1_000_000n)
  }
}
