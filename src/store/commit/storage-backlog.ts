/** How the writes stand that a storage has not taken yet. */
import type { QueueMetrics } from './queue.ts'

export interface StorageBacklog extends QueueMetrics {
  /** Why the storage refused the latest write; undefined when it took it. */
  readonly refusal: string | undefined
  /** Milliseconds for which the storage has not answered; 0 when it has within five seconds. */
  readonly silentMs: number
  /** Rows of writes that were answered before they were written, and that a storage which fails or hangs has not taken. */
  readonly rows: number
}
