/**
 * How much received and not yet stored waits on one stream. An honest leader stops at its window; one
 * that does not is stopped here.
 */
import type { StoredRecord } from '../../src/core/data/entry.ts'
import { recordBytes } from '../stream/page.ts'

/** What a step costs beside its records. */
const STEP_BYTES = 256

export class Backlog {
  readonly #maxBytes: number
  #bytes = 0

  /** @param maxBytes nothing more is taken while so much waits. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Bytes that wait. */
  get bytes(): number {
    return this.#bytes
  }

  /**
   * Takes a step with these records; returns what to call when it is done, or undefined when it is
   * refused because too much waits already.
   */
  take(records: readonly StoredRecord[] = []): (() => void) | undefined {
    if (this.#bytes >= this.#maxBytes) return undefined
    const bytes = records.reduce((sum, record) => sum + recordBytes(record), STEP_BYTES)
    this.#bytes += bytes
    return () => {
      this.#bytes -= bytes
    }
  }
}
