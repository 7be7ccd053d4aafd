/**
 * Writes, in one order: validate, permit, filter; then the store waits for the locks of the keys, plans, and commits;
 * last run the filters that follow a write. The answer to a write comes after all of them.
 */
import { errorText } from '../../core/errors.ts'
import { locate } from '../../store/types/located.ts'
import type { Write, Written } from '../../store/types/write.ts'
import { filterWrite } from './filter.ts'
import { untilAnswered } from './filtered-merge.ts'
import { permitWrite } from './permit.ts'
import type { DataParts, WriteRequest } from './request.ts'
import { validateWrite } from './validate.ts'

/**
 * Makes the writes, all or none. @returns what each did, in their order.
 * @throws StateError of a key, static mode, a guard, a filter, a condition, a lock or the storage, or what a filter
 * throws; of a batch, with the position of the write that it is about.
 */
export async function execute(parts: DataParts, request: WriteRequest): Promise<Written[]> {
  const { writes, caller, isBatch, durability, lock } = request
  const claim = parts.merges.claim()
  const filtered: Write[] = []
  for (const [index, write] of writes.entries()) {
    const place = (error: unknown): unknown => (isBatch === true ? locate(index, error) : error)
    try {
      validateWrite(write)
      await permitWrite(parts, write, caller)
      filtered.push(await filterWrite(parts, write, { caller, claim, place }))
    } catch (error) {
      throw place(error)
    }
  }
  const options = { isBatch, durability, lock }
  const written = await untilAnswered(claim, () => parts.lockingStore.write(filtered, options))
  // A delete has no filter that follows it.
  for (const { op, key } of writes) if (op !== 'delete') await afterWrite(parts, key)
  return written
}

/** The write is durable, so a failure here is reported and not answered. */
async function afterWrite({ filters, logger }: DataParts, key: string): Promise<void> {
  try {
    await filters.afterWrite(key)
  } catch (error) {
    logger.error('an after-write filter failed', { key, error: errorText(error) })
  }
}
