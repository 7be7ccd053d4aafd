/** Reads a configuration file, YAML or JSON (JSON is YAML): setting names and their values. */
import { readFileSync } from 'node:fs'
import { parseDocument } from 'yaml'
import { errorText, StateError } from '../../src/core/errors.ts'

/**
 * The texts each field of the file gives. Values are kept as they are spelled, so that `0123` and
 * `1e3` are not taken for numbers. An empty value gives nothing.
 * @throws StateError `invalid_option` naming the file, and the field where there is one.
 */
export function readConfigFile(path: string): ReadonlyMap<string, readonly string[]> {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    const message = `--config: cannot read ${path}: ${errorText(cause)}`
    throw new StateError('invalid_option', message, { cause })
  }
  return parseConfig(text, path)
}

/** As `readConfigFile`, for the text of a file; `path` is for messages. */
export function parseConfig(text: string, path: string): ReadonlyMap<string, readonly string[]> {
  const document = parseDocument(text, { schema: 'failsafe' })
  const problem = document.errors[0]
  if (problem !== undefined) {
    throw new StateError('invalid_option', `${path}: ${problem.message.trim()}`)
  }
  const content: unknown = document.toJS()
  const fields = new Map<string, readonly string[]>()
  if (content === null || content === '') return fields
  if (typeof content !== 'object' || Array.isArray(content)) {
    throw new StateError('invalid_option', `${path}: must hold names with values, as in port: 8800`)
  }
  for (const [name, value] of Object.entries(content)) {
    const texts = Array.isArray(value) ? value : [value]
    if (!texts.every((item) => typeof item === 'string' || item === null)) {
      throw new StateError('invalid_option', `${path}: ${name}: give a value or a list of values`)
    }
    const given = texts.filter((item) => item !== null && item !== '')
    if (given.length > 0) fields.set(name, given)
  }
  return fields
}
