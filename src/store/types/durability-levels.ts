/** How durable what a store writes is. */
import type { Durability, StorageAdapter } from '../../core/ports/storage-adapter.ts'

export interface DurabilityLevels {
  /** Of writes that do not name one. */
  readonly usual: Durability
  readonly strongest: Durability
}

/** @param chosen for writes that do not name one; undefined: the adapter's own default. */
export function durabilityLevels(
  { capabilities }: Pick<StorageAdapter, 'capabilities'>,
  chosen: Durability | undefined,
): DurabilityLevels {
  const { durability: offered } = capabilities
  const own = offered.includes('process') ? 'process' : (offered[0] ?? 'memory')
  return { usual: chosen ?? own, strongest: offered.at(-1) ?? 'memory' }
}
