/** Writes whose JSON text comes from code of the process, where nobody has checked it yet. */
import { compactJson } from '../../core/json/json.ts'
import { located } from './located.ts'
import type { Write } from './write.ts'

/**
 * The write with its text checked, and without white space between tokens; what an update makes is checked when it
 * is made. Requests over HTTP are checked while their bodies are read.
 * @throws StateError `invalid_json`, `too_large`.
 */
export function checkedWrite(write: Write): Write {
  switch (write.op) {
    case 'set':
    case 'push':
      return { ...write, json: compactJson(write.json) }
    case 'update': {
      const { change, initial } = write
      return {
        ...write,
        change: (current) => compactJson(change(current)),
        ...(initial === undefined ? {} : { initial: compactJson(initial) }),
      }
    }
    case 'delete':
      return write
  }
}

/** The same for the writes of a batch. @throws StateError with the position of the write that it is about. */
export function checkedWrites(writes: readonly Write[]): Write[] {
  return writes.map((write, i) => located(i, () => checkedWrite(write)))
}
