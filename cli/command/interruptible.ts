/** Work that a stop signal ends in order: what is half done is undone first. */
import { StateError } from '../../src/core/errors.ts'
import { type CommandContext, exitCodeOfSignal, type StopSignal } from './command.ts'

/**
 * Runs `work`; the first stop signal aborts the signal it is given, a second one ends the process at once.
 * @returns what `work` gave, or the exit code of the signal once `work` has ended on account of it.
 */
export async function interruptible(
  context: CommandContext,
  work: (signal: AbortSignal) => Promise<number>,
): Promise<number> {
  const stop = new AbortController()
  let first: StopSignal | undefined
  const unsubscribe = context.onSignal((signal) => {
    if (first !== undefined) context.exitNow(exitCodeOfSignal(signal))
    first = signal
    stop.abort(new StateError('closing', `interrupted by ${signal}`))
  })
  try {
    return await work(stop.signal)
  } catch (error) {
    if (first === undefined) throw error
    context.stderr(`ooo: interrupted by ${first}\n`)
    return exitCodeOfSignal(first)
  } finally {
    unsubscribe()
  }
}

/** The items, until `signal` is aborted: then its reason is thrown in place of the next. */
export async function* until<T>(
  signal: AbortSignal,
  items: AsyncIterable<T>,
): AsyncGenerator<T, void, undefined> {
  for await (const item of items) {
    signal.throwIfAborted()
    yield item
  }
}
