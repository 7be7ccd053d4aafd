/** Which node leads a key. Pure: configuration in, answers out. */
import { StateError } from '../../src/core/errors.ts'
import { assertKey, matchKey } from '../../src/core/keys/key.ts'
import { STREAM_PATH } from '../../src/core/wire/protocol.ts'

/** One replicated key path. */
export interface ScopeOptions {
  /** A key (`settings`) or a glob (`items/*`, `users/*` + `/posts/*`). */
  readonly path: string
  /** Leader of this scope, when it is another one. Default: that of `clusterUrl` of `cluster`. */
  readonly clusterUrl?: string
  /** True: this node leads the scope although it follows `clusterUrl` for others. Default false. */
  readonly local?: boolean
}

/** A replicated path and its leader: `http(s)://host:port`, or undefined when it is this node. */
export interface Scope {
  readonly path: string
  readonly leader: string | undefined
}

export interface Placement {
  readonly scopes: readonly Scope[]
  /** Leaders this node follows, with the paths it follows them for. */
  readonly upstreams: ReadonlyMap<string, readonly string[]>
  /** The same text for the same answers; a change of it means a change of leaders. */
  readonly fingerprint: string
}

/** @throws StateError `invalid_key` or `invalid_option` naming the scope and what is wrong. */
export function planPlacement(
  keys: readonly ScopeOptions[],
  clusterUrl: string | undefined,
  nodesKey: string,
): Placement {
  const fallback = clusterUrl === undefined ? undefined : leaderUrl(clusterUrl)
  const paths = keys.some((key) => key.path === nodesKey) ? keys : [...keys, { path: nodesKey }]
  const scopes = paths.map((key): Scope => {
    assertKey(key.path)
    if (key.local === true && key.clusterUrl !== undefined) {
      throw new StateError(
        'invalid_option',
        `cluster: scope "${key.path}" is both local and has a clusterUrl`,
      )
    }
    if (key.local === true) return { path: key.path, leader: undefined }
    const leader = key.clusterUrl === undefined ? fallback : leaderUrl(key.clusterUrl)
    return { path: key.path, leader }
  })
  const upstreams = new Map<string, string[]>()
  for (const { path, leader } of scopes) {
    if (leader === undefined) continue
    upstreams.set(leader, [...(upstreams.get(leader) ?? []), path])
  }
  return { scopes, upstreams, fingerprint: JSON.stringify(scopes) }
}

/** The scope of a key: the first, in configuration order, that matches it. */
export function scopeOf(placement: Placement, key: string): Scope | undefined {
  return placement.scopes.find((scope) => matchKey(scope.path, key))
}

/** Whether any of these paths covers `key`. */
export function inScopes(paths: readonly string[], key: string): boolean {
  return paths.some((path) => matchKey(path, key))
}

/** `host:port` or a URL as `http://host:port` or `https://host:port`, without a path. */
export function leaderUrl(text: string): string {
  const withScheme = /^[a-z]+:\/\//i.test(text) ? text : `http://${text}`
  const url = URL.canParse(withScheme) ? new URL(withScheme) : undefined
  if (url === undefined || !/^(?:https?|wss?):$/.test(url.protocol) || url.host === '') {
    throw new StateError(
      'invalid_option',
      `cluster: clusterUrl "${text}" is not host:port nor an http(s) URL`,
    )
  }
  return `${url.protocol.replace('ws', 'http')}//${url.host}`
}

/** The address of a leader's replication stream. */
export function streamUrl(leader: string): string {
  return `${leader.replace('http', 'ws')}${STREAM_PATH}`
}
