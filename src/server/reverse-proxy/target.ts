/** From what a resolver answered to a place that can be dialled. */
import { errorText, StateError } from '../../core/errors.ts'
import type { TimeSource } from '../../core/ports/time.ts'
import type { ProxyRequest, ProxyTarget, ResolvedProxyRoute } from './config.ts'

/** A target with its parts told apart. */
export interface ResolvedTarget {
  readonly hostname: string
  readonly port: number
  readonly isSecure: boolean
  /** Percent-encoded, with a leading `/`. */
  readonly path: string
  /** `ws://` or `wss://`. */
  readonly socketUrl: string
}

/**
 * Asks the route's resolver and checks its answer.
 * @throws StateError `not_routed` with the resolver's own text, or for an address or path that cannot be
 *   dialled; `deadline` when it does not answer in time.
 */
export async function resolveTarget(
  route: ResolvedProxyRoute,
  localPath: string,
  context: ProxyRequest,
  time: TimeSource,
): Promise<ResolvedTarget> {
  let target: ProxyTarget
  try {
    target = await inTime(route.resolve, localPath, context, { ms: route.timeoutMs, time })
  } catch (error) {
    if (error instanceof StateError && error.code === 'deadline') throw error
    throw new StateError('not_routed', errorText(error), { cause: error })
  }
  return dialTarget(target, route.subscribe.protocol === 'wss')
}

/** @throws StateError `not_routed` */
export function dialTarget(target: ProxyTarget, isSecure: boolean): ResolvedTarget {
  const { hostname, port } = parseAddress(target.address, isSecure)
  const path = encodePath(target.path)
  return {
    hostname: hostname.replace(/^\[|\]$/g, ''),
    port,
    isSecure,
    path,
    socketUrl: `${isSecure ? 'wss' : 'ws'}://${hostname}:${port}${path}`,
  }
}

function parseAddress(address: string, isSecure: boolean): { hostname: string; port: number } {
  const url = URL.canParse(`http://${address}`) ? new URL(`http://${address}`) : undefined
  // Anything but host and port would silently change where the request goes.
  if (url === undefined || !/^(?:\[[0-9A-Fa-f:.]+\]|[^\s/?#@:[\]]+)(?::\d+)?$/.test(address)) {
    throw new StateError('not_routed', `proxy: address is not host:port: ${address}`)
  }
  const port = /:(\d+)$/.exec(address)?.[1]
  return { hostname: url.hostname, port: port === undefined ? (isSecure ? 443 : 80) : Number(port) }
}

/**
 * Dot segments are refused: some servers, and the WebSocket client, resolve them, which could lead out of
 * the part of the target that the route is for.
 */
function encodePath(path: string): string {
  const relative = path.replace(/^\//, '')
  const hasDots = relative.split('/').some((segment) => segment === '.' || segment === '..')
  if (!hasDots) {
    try {
      return `/${encodeURI(relative).replaceAll('?', '%3F').replaceAll('#', '%23')}`
    } catch {
      // A lone surrogate has no encoding.
    }
  }
  throw new StateError('not_routed', `proxy: remote path cannot be forwarded: ${path}`)
}

function inTime(
  resolve: ResolvedProxyRoute['resolve'],
  localPath: string,
  context: ProxyRequest,
  limit: { readonly ms: number; readonly time: TimeSource },
): Promise<ProxyTarget> {
  // Async, so that a resolver which throws at once rejects like any other.
  const ask = async (): Promise<ProxyTarget> => resolve(localPath, context)
  return new Promise((settle, reject) => {
    const cancel = limit.time.after(limit.ms, () => {
      reject(new StateError('deadline', `proxy: no target for ${localPath} in ${limit.ms} ms`))
    })
    ask().then(settle, reject).finally(cancel)
  })
}
