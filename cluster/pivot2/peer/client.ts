/** Typed calls to one 2.0 peer. */
import type { Entry, StoredRecord } from '../../../src/core/data/entry.ts'
import { indexOfKey, metaJson, versionOf } from '../../../src/core/data/entry.ts'
import { StateError } from '../../../src/core/errors.ts'
import type { PivotAnswer, PivotHttp, StandingConnection } from './http.ts'
import { splitArray } from './split-array.ts'
import type { PeerVersion, PivotScope } from './wire.ts'
import {
  decodeActivity,
  decodeDeleteStamp,
  decodeMeta,
  decodeVersion,
  ORIGINATOR_HEADER,
} from './wire.ts'

/** Milliseconds for a question whose answer is small and needed soon. */
const SHORT_MS = 5_000
/** Milliseconds for a whole list, which may be long; silence ends it much sooner. */
const LIST_MS = 600_000
/** Greatest entry that is taken, bytes. */
const MAX_ENTRY_BYTES = 64 * 1024 * 1024

export class PeerClient {
  readonly #http: PivotHttp
  readonly #url: string

  /** @param url `http://host:port` of the peer */
  constructor(http: PivotHttp, url: string) {
    this.#http = http
    this.#url = url
  }

  /**
   * @param connection the one that is kept open to the peer, if there is one
   * @throws StateError `unreachable` when it does not answer 200.
   */
  async version(connection?: StandingConnection): Promise<PeerVersion> {
    const url = `${this.#url}/_pivot/version`
    const request = { method: 'GET', url, timeoutMs: SHORT_MS } as const
    const answer = await this.#http.call({
      ...request,
      ...(connection === undefined ? {} : { connection }),
    })
    if (answer.status !== 200) throw unexpected(url, answer.status)
    return decodeVersion(answer.body)
  }

  /** Whether the peer serves at all: its start page answers 200. */
  async isServing(): Promise<boolean> {
    const answer = await this.#http.stream({
      method: 'GET',
      url: `${this.#url}/`,
      timeoutMs: SHORT_MS,
    })
    answer.cancel()
    return answer.status === 200
  }

  /** Stamp of the latest change it knows of; 0n: of none. @throws StateError when it does not tell. */
  async activity({ base }: PivotScope): Promise<bigint> {
    return decodeActivity((await this.#expect(`/_pivot/activity/${base}`, SHORT_MS)).body)
  }

  /** Its stamp of the latest delete, by a plain read; 0n when it is not told. */
  async deleteStamp({ base }: PivotScope): Promise<bigint> {
    const { status, body } = await this.#get(`/pivot/${base}`, SHORT_MS)
    if (status !== 200) return 0n
    try {
      return decodeDeleteStamp(body)
    } catch {
      return 0n
    }
  }

  /** All entries of a list, as they come. @throws StateError when one is not understood, or the list is cut. */
  async *list(scope: PivotScope): AsyncGenerator<Entry, undefined> {
    const path = `/_pivot/pivot/${scope.path}`
    const { status, chunks, cancel } = await this.#http.stream({
      method: 'GET',
      url: this.#url + path,
      timeoutMs: LIST_MS,
    })
    try {
      if (status !== 200) throw unexpected(this.#url + path, status)
      for await (const element of splitArray(chunks, MAX_ENTRY_BYTES)) {
        yield decodeMeta(scope, element)
      }
    } finally {
      cancel()
    }
    return undefined
  }

  /** The entry of a plain key; undefined only when the peer says that it has none. */
  async object(scope: PivotScope): Promise<Entry | undefined> {
    const path = `/_pivot/pivot/${scope.base}`
    const { status, body } = await this.#get(path)
    if (status === 200) return decodeMeta(scope, body)
    if ((status === 500 || status === 404) && /not found|empty key/.test(body)) return undefined
    throw unexpected(this.#url + path, status)
  }

  /**
   * Sends a set or a delete. @returns the status: 200 when it was taken.
   * @param originator `host:port` of this node, not to be notified of it
   */
  async push(
    scope: PivotScope,
    record: StoredRecord,
    originator: string | undefined,
  ): Promise<number> {
    const headers: Record<string, string> =
      originator === undefined ? {} : { [ORIGINATOR_HEADER]: originator }
    const target = scope.isList ? `${scope.base}/${indexOfKey(record.key)}` : scope.base
    const url = `${this.#url}/_pivot/pivot/${target}`
    const { status, body } =
      record.kind === 'entry'
        ? await this.#http.call({ method: 'POST', url, headers, body: `${pushed(record)}\n` })
        : await this.#http.call({ method: 'DELETE', url: `${url}/${record.deleted}`, headers })
    // A peer answers nothing more; who answers a page is something on the way, such as a portal.
    if (status === 200 && body.trim() !== '') throw notThePeer(url)
    return status
  }

  /** Tells a node to pull. @returns its status. @throws StateError when it does not answer in time. */
  async notify(path: string): Promise<number> {
    return (await this.#get(`/_pivot/synchronize/pivot?key=${path}`, SHORT_MS)).status
  }

  #get(path: string, timeoutMs?: number): Promise<PivotAnswer> {
    const url = this.#url + path
    return this.#http.call({
      method: 'GET',
      url,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    })
  }

  async #expect(path: string, timeoutMs?: number): Promise<PivotAnswer> {
    const answer = await this.#get(path, timeoutMs)
    if (answer.status !== 200) throw unexpected(this.#url + path, answer.status)
    return answer
  }
}

/** The keys of a list as it is now. @throws StateError as `PeerClient.list`. */
export async function keysOf(peer: PeerClient, scope: PivotScope): Promise<Set<string>> {
  const keys = new Set<string>()
  for await (const { key } of peer.list(scope)) keys.add(key)
  return keys
}

/**
 * An entry as it is sent. Other 2.0 nodes compare nothing but `updated`, so the stamp of this change
 * stands there also when it made the key: they may still have one that was overwritten before.
 */
function pushed(record: Entry): string {
  return metaJson({ ...record, updated: versionOf(record) })
}

function notThePeer(url: string): StateError {
  const reason = 'something on the way answered with a page, a portal or a proxy'
  return new StateError('unreachable', `pivot: ${url}: ${reason}`)
}

function unexpected(url: string, status: number): StateError {
  return new StateError('unreachable', `pivot: ${url} answered ${status}, expected 200`)
}
