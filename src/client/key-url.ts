/** The addresses of keys below a server's base URL. */
import { StateError } from '../core/errors.ts'

/** `http://host:port[/prefix]`, without a slash at the end. */
export type BaseUrl = string

/**
 * Checks and trims a base URL.
 * @throws StateError `invalid_option` unless it is an http(s) URL without user, query or fragment.
 */
export function parseBaseUrl(text: string): BaseUrl {
  let url: URL
  try {
    url = new URL(text)
  } catch (cause) {
    throw new StateError('invalid_option', `url ${JSON.stringify(text)} is not a URL`, { cause })
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new StateError(
      'invalid_option',
      `url ${JSON.stringify(text)} must start with http:// or https://`,
    )
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new StateError('invalid_option', 'url must have no user, password, query or fragment')
  }
  return url.origin + url.pathname.replace(/\/+$/, '')
}

/** The REST address of a key or glob. */
export function restUrl(
  base: BaseUrl,
  key: string,
  query: Readonly<Record<string, string>> = {},
): string {
  const parameters = new URLSearchParams(query).toString()
  return `${base}/${keyPath(key)}${parameters === '' ? '' : `?${parameters}`}`
}

/** The WebSocket address of a key or glob; of the clock for the empty key. */
export function socketUrl(base: BaseUrl, key: string, version?: string): string {
  const query = version === undefined ? '' : `?v=${encodeURIComponent(version)}`
  return `${base.replace(/^http/, 'ws')}/${keyPath(key)}${query}`
}

/**
 * Key characters need no escaping, but a URL parser folds `.` and `..` segments away, which would
 * address another key. Written as `%2F` the slashes around them are not segment borders, and the
 * server decodes them before it looks at the key.
 */
function keyPath(key: string): string {
  const hasDotSegment = key.split('/').some((segment) => segment === '.' || segment === '..')
  return hasDotSegment ? key.replaceAll('/', '%2F') : key
}
