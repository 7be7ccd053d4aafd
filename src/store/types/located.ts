/** Errors of a batch, with the position of the write that they are about. */
import { isStateError, StateError } from '../../core/errors.ts'

/** Says of an error which operation it was. */
export function located<T>(index: number, run: () => T): T {
  try {
    return run()
  } catch (error) {
    throw locate(index, error)
  }
}

/** The error with the operation's position in its text; the code stays. */
export function locate(index: number, error: unknown): unknown {
  if (!isStateError(error)) return error
  const place = `operations[${index}]: `
  const { code, message, isAway } = error
  const clientText = `${place}${error.clientText}`
  return new StateError(code, `${place}${message}`, { cause: error, clientText, isAway })
}
