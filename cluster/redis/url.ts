/**
 * Where a Redis is, from a URL. Four forms, each with `rediss` for TLS:
 *
 * - `redis://[user:password@]host[:port]`
 * - `redis+sentinel://[user:password@]host[:port],host[:port]…/master-name`
 * - `redis+cluster://[user:password@]host[:port],host[:port]…`
 *
 * A database number may follow after a slash; messages know no databases, so it changes nothing.
 */
import { StateError } from '../../src/core/errors.ts'

export interface RedisHost {
  readonly host: string
  readonly port: number
}

export interface RedisTarget {
  /** `cluster`: any of the hosts will do, as a message reaches all nodes of it. */
  readonly form: 'single' | 'sentinel' | 'cluster'
  readonly isSecure: boolean
  /** At least one. */
  readonly hosts: readonly RedisHost[]
  readonly username: string | undefined
  readonly password: string | undefined
  /** Of a `sentinel`: the name of what it watches. */
  readonly master: string | undefined
  readonly sentinelUsername: string | undefined
  readonly sentinelPassword: string | undefined
  /** The URL without secrets, for people. */
  readonly address: string
}

const SHAPE = /^(redis|rediss)(?:\+(sentinel|cluster))?:\/\/([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/
const PARAMETERS = ['sentinelUsername', 'sentinelPassword'] as const
const MAX_HOSTS = 100

/** @throws StateError `invalid_option` saying what is wrong; it never holds a password. */
export function parseRedisUrl(url: string): RedisTarget {
  const [, scheme = '', special, authority = '', path = '', query = ''] = SHAPE.exec(url) ?? []
  const form = special === 'sentinel' || special === 'cluster' ? special : 'single'
  if (scheme === '') {
    throw refusal(
      `the URL${schemeOf(url)} is none of redis://, rediss://, redis+sentinel://, redis+cluster://`,
    )
  }
  const at = authority.lastIndexOf('@')
  const { username, password } = credentials(at === -1 ? '' : authority.slice(0, at))
  const hosts = hostsOf(authority.slice(at + 1), form)
  const [first = '', second, ...rest] = path.split('/')
  const master = form === 'sentinel' ? decoded(first, 'the name of the master') : undefined
  const database = form === 'sentinel' ? second : first
  const tooMuch = form === 'sentinel' ? rest : [...(second === undefined ? [] : [second]), ...rest]
  if (master === '') {
    throw refusal('redis+sentinel:// needs the name of the master after the hosts, as in /mymaster')
  }
  if (tooMuch.length > 0 || (database !== undefined && !/^\d{0,5}$/.test(database))) {
    throw refusal(`the path "/${path}" is not ${form === 'sentinel' ? '/master-name' : 'empty'}`)
  }
  const shown = hosts.map(({ host, port }) => `${bracketed(host)}:${port}`).join(',')
  const suffix = special === undefined ? '' : `+${special}`
  const address = `${scheme}${suffix}://${shown}${master === undefined ? '' : `/${master}`}`
  const isSecure = scheme === 'rediss'
  return { form, isSecure, hosts, username, password, master, ...parameters(query, form), address }
}

function credentials(text: string): Pick<RedisTarget, 'username' | 'password'> {
  if (text === '') return { username: undefined, password: undefined }
  const colon = text.indexOf(':')
  const user = decoded(colon === -1 ? text : text.slice(0, colon), 'the user name')
  const password = colon === -1 ? '' : decoded(text.slice(colon + 1), 'the password')
  return {
    username: user === '' ? undefined : user,
    password: password === '' ? undefined : password,
  }
}

function hostsOf(text: string, form: RedisTarget['form']): RedisHost[] {
  const parts = text.split(',')
  if (form === 'single' && parts.length > 1) {
    throw refusal(
      `${parts.length} hosts; more than one takes redis+sentinel:// or redis+cluster://`,
    )
  }
  if (parts.length > MAX_HOSTS) {
    throw refusal(`${parts.length} hosts, the limit is ${MAX_HOSTS}`)
  }
  return parts.map((part) => hostOf(part, form === 'sentinel' ? 26379 : 6379))
}

function hostOf(text: string, usualPort: number): RedisHost {
  const [, bracketed6, plain, digits] =
    /^(?:\[([\da-fA-F:.%]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/.exec(text) ?? []
  const host = bracketed6 ?? plain
  if (host === undefined) throw refusal(`the host "${text}" is not host or host:port`)
  const port = digits === undefined ? usualPort : Number(digits)
  if (port < 1 || port > 65535) throw refusal(`port ${port} of host ${host} is not from 1 to 65535`)
  return { host, port }
}

function parameters(
  query: string,
  form: RedisTarget['form'],
): Pick<RedisTarget, 'sentinelUsername' | 'sentinelPassword'> {
  const given = new URLSearchParams(query)
  for (const name of given.keys()) {
    if (form !== 'sentinel' || !PARAMETERS.some((known) => known === name)) {
      throw refusal(`there is no parameter "${name}" of a ${form} URL`)
    }
  }
  return {
    sentinelUsername: given.get('sentinelUsername') ?? undefined,
    sentinelPassword: given.get('sentinelPassword') ?? undefined,
  }
}

function decoded(text: string, what: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw refusal(`${what} is not percent-encoded correctly`)
  }
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

/** The scheme alone: what follows may be a secret. */
function schemeOf(url: string): string {
  const scheme = /^([a-z][a-z+.-]{0,30}):\/\//i.exec(url)?.[1]
  return scheme === undefined ? '' : ` with the scheme "${scheme}"`
}

function refusal(reason: string): StateError {
  return new StateError('invalid_option', `redis: ${reason}`)
}
