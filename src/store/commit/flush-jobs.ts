/** What is done with a batch that was not written: taken apart where one operation is to blame, else refused. */
import { errorText } from '../../core/errors.ts'
import type { Logger } from '../../core/ports/logger.ts'
import { inHalves, isOfContent } from '../types/content-error.ts'
import type { Job } from './plan-jobs.ts'

/** What came of a batch of the first `taken` jobs. */
export interface Committed {
  readonly taken: number
  /** Why it was not written, and then no job is settled; undefined when those taken are. */
  readonly error?: unknown
}

/**
 * Writes the first of the jobs in one batch; when one of them can not be written for what it holds, without it.
 * @returns how many were settled. Never rejects.
 */
export async function flushJobs(
  jobs: readonly Job[],
  commit: (jobs: readonly Job[]) => Promise<Committed>,
  logger: Logger,
): Promise<number> {
  const { taken, error } = await commit(jobs)
  if (error === undefined) return taken
  const tried = jobs.slice(0, taken)
  if (tried.length > 1 && isOfContent(error)) {
    await inHalves(tried, async (half) => {
      for (let rest = half; rest.length > 0; ) {
        rest = rest.slice(await flushJobs(rest, commit, logger))
      }
    })
    return taken
  }
  logger.error('a batch could not be written', {
    operations: tried.length,
    error: errorText(error),
  })
  for (const job of tried) job.reject(error)
  return taken
}
