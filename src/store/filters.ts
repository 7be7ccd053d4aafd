/**
 * Which operations are permitted on which keys. In static mode only paths that were opened are
 * served; otherwise nothing asks. A filter path covers a key when it equals it or matches it.
 */
import { StateError } from '../core/errors.ts'
import { isGlob, matchKey } from '../core/key.ts'

/** What a request wants to do. Lists and single objects are opened apart. */
export type FilterOperation = 'read-object' | 'read-list' | 'write' | 'delete'

/** First segments that belong to the web UI of the older server; no filter may claim them. */
export const RESERVED_PATHS: readonly string[] = Object.freeze([
  'vanilla-jsoneditor.js',
  'react.min.js',
  'react-dom.min.js',
  'babel.min.js',
  'styles.css',
  'ooo-client.js',
  'react-json-view.js',
  'api.js',
  'favicon.ico',
  'favicon.png',
  'favicon.svg',
  'logo.jpg',
  'logo.png',
  'components',
])

/** Throws `invalid_option` when `path` is empty, or is or lies below a reserved path. */
export function assertFilterPath(path: string): void {
  if (path === '') throw new StateError('invalid_option', 'ooo: filter path is empty')
  const slash = path.indexOf('/')
  const first = slash === -1 ? path : path.slice(0, slash)
  if (RESERVED_PATHS.includes(first)) {
    throw new StateError(
      'invalid_option',
      `ooo: filter path conflicts with reserved UI paths: "${path}" conflicts with reserved path "${first}"`,
    )
  }
}

/** The registry of opened paths. */
export class Filters {
  readonly #paths: Record<FilterOperation, string[]> = {
    'read-object': [],
    'read-list': [],
    write: [],
    delete: [],
  }

  /**
   * Opens a path for writes, deletes and reads of objects, and for reads of lists when its last segment
   * is `*`. Opening `logs/*` therefore also opens `GET logs/1`.
   * @throws StateError `invalid_option` for a reserved path.
   */
  open(path: string): void {
    assertFilterPath(path)
    this.#paths['read-object'].push(path)
    this.#paths.write.push(path)
    this.#paths.delete.push(path)
    if (isGlob(path)) this.#paths['read-list'].push(path)
  }

  /** Whether an opened path covers `key`, which may itself be a glob text. */
  permits(operation: FilterOperation, key: string): boolean {
    return this.#paths[operation].some((path) => matchKey(path, key))
  }
}
