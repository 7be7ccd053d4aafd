/** Tells how far the reading of a large storage is: one line a second. */
import type { Logger } from '../../core/ports/logger.ts'
import { NS_PER_SECOND, type TimeSource } from '../../core/ports/time.ts'

/** Records between two looks at the clock. */
const STRIDE = 2048

/** To be called once per record. `total`: how many there should be, if known. */
export function progressOf(
  logger: Logger,
  time: TimeSource | undefined,
  total: number | undefined,
): () => void {
  if (time === undefined) return () => undefined
  let records = 0
  let nextNs = time.monotonicNs() + NS_PER_SECOND
  return () => {
    records++
    if (records % STRIDE !== 0 || time.monotonicNs() < nextNs) return
    nextNs = time.monotonicNs() + NS_PER_SECOND
    logger.info('reading the storage', { records, ...(total === undefined ? {} : { of: total }) })
  }
}
