/** Secrets in files: behind each secret setting stands one that names a file which holds its value. */
import { readFileSync, statSync } from 'node:fs'
import { errorText, StateError } from '../../../src/core/errors.ts'
import type { AnySetting } from './arguments.ts'
import { type Found, named, TEXT } from './setting.ts'

/** Largest file read, bytes: a slip must not load a disk. */
const MAX_BYTES = 65_536

/** The name of a setting in a config file. */
export function fieldOf(setting: AnySetting): string {
  return setting.field ?? setting.flag
}

/** `--x-file`, `OOO_X_FILE` and the field `x-file` of the secret `--x`. */
export function fileOf(secret: AnySetting): AnySetting {
  return {
    flag: `${secret.flag}-file`,
    field: `${fieldOf(secret)}-file`,
    env: secret.env === undefined ? undefined : `${secret.env}_FILE`,
    kind: named(TEXT, 'FILE'),
    fallback: undefined,
    meaning: `file that holds the value of --${secret.flag}`,
  }
}

/**
 * The text of the file that is named, without the line break that editors put at its end.
 * @throws StateError `invalid_option` naming the source, when it cannot be read.
 */
export function readSecret({ source, texts }: Found): Found {
  const read = texts.map((path) => {
    try {
      const { size } = statSync(path)
      if (size > MAX_BYTES) throw new Error(`it has ${size} bytes, a secret at most ${MAX_BYTES}`)
      return readFileSync(path, 'utf8').replace(/\r?\n$/, '')
    } catch (cause) {
      const message = `${source}: cannot read ${path}: ${errorText(cause)}`
      throw new StateError('invalid_option', message, { cause })
    }
  })
  return { source, texts: read }
}
