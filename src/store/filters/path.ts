/** Paths that filters may be registered for. */
import { StateError } from '../../core/errors.ts'

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
