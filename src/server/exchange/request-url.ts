/** The target of a request, read without the dot-segment cleaning that `URL` does: `a/../b` is a key. */
import type { IncomingMessage } from 'node:http'

export interface RequestTarget {
  /** Percent-decoded, starting with `/`. */
  readonly path: string
  /** The query as sent, without its `?`. */
  readonly query: string
}

/** The parts of a request line's target; undefined when its escapes are not valid. */
export function parseTarget(target: string | undefined): RequestTarget | undefined {
  // A proxy may send the absolute form (RFC 9112 section 3.2.2).
  const relative = (target ?? '/').replace(/^https?:\/\/[^/?#]*/i, '')
  const question = relative.indexOf('?')
  const rawPath = question === -1 ? relative : relative.slice(0, question)
  const query = question === -1 ? '' : relative.slice(question + 1)
  try {
    return { path: decodeURIComponent(rawPath === '' ? '/' : rawPath), query }
  } catch {
    return undefined
  }
}

/** The target as a URL for endpoints; the host is the one the client named. */
export function requestUrl({
  url: target = '/',
  headers: { host = 'localhost' },
  socket,
}: IncomingMessage): URL {
  const scheme = 'encrypted' in socket ? 'https' : 'http'
  const relative = target.replace(/^https?:\/\/[^/?#]*/i, '')
  try {
    return new URL(`${scheme}://${host}${relative}`)
  } catch {
    return new URL(`${scheme}://localhost${relative.startsWith('/') ? relative : '/'}`)
  }
}
