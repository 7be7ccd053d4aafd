/**
 * Typed data access inside the process: values in and out, filters applied, static mode not asked.
 * Values are encoded as the client does: `bigint` and `JsonNumber` digit for digit; read
 * back, integers that a double cannot hold are `bigint`. Values are not checked against `T`.
 */
import { type Entry, indexOfKey } from '../../core/data/entry.ts'
import type { Precondition } from '../../core/data/precondition.ts'
import { StateError } from '../../core/errors.ts'
import { encodeJson } from '../../core/json/encode.ts'
import { parseExact } from '../../core/json/json.ts'
import { assertKey, hasGlob, isGlob } from '../../core/keys/key.ts'
import type { Durability } from '../../core/ports/storage-adapter.ts'
import { resultOf, type Written } from '../../store/types/write.ts'
import { formatWriteId } from '../contract/write-id.ts'
import { type AckLevel, type Acks, resolveAck } from '../write-status/ack.ts'
import { execute } from './execute.ts'
import { readEntry, readList } from './read.ts'
import type { DataParts, ListRequest, RequestedWrite } from './request.ts'

/** A value and what the server knows about it. */
export interface IoEntry<T = unknown> {
  /** Nanoseconds since the Unix epoch at which the key came into being. */
  readonly created: bigint
  /** Nanoseconds since the Unix epoch of the latest overwrite; 0n when there was none. */
  readonly updated: bigint
  /** Last segment of the key. */
  readonly index: string
  /** The whole key. */
  readonly path: string
  readonly data: T
}

/** What a write did. */
export interface IoWritten {
  /** Last segment of the key written. */
  readonly index: string
  readonly path: string
  /** Stamp of the write, nanoseconds since the Unix epoch; what a precondition names. */
  readonly version: bigint
  /** Names the write: `<origin>:<version>`, which `/-/writes/<id>` tells the status of. */
  readonly id: string
}

/** What an update did. */
export interface IoUpdated<T = unknown> extends IoWritten {
  /** What is stored now. */
  readonly data: T
}

export interface IoListOptions {
  /** By `created`: `oldest` first (default) or `newest` first. A limit filter orders by its own rule. */
  readonly order?: 'newest' | 'oldest'
  /** At most this many entries, an integer from 1. Default: all. */
  readonly limit?: number | undefined
  /** Only entries with `created` from here on, nanoseconds. Default: from the first. */
  readonly from?: bigint | undefined
  /** Only entries with `created` up to and including this, nanoseconds. Default: to the last. */
  readonly to?: bigint | undefined
}

/** How far a write has to be before it is done. */
export interface IoAckOptions {
  /** `local` (default), `leader`, `majority`, or how many other nodes have to hold it. See `ack.ts`. */
  readonly ack?: AckLevel | undefined
  /** Milliseconds to wait for that; then `ack_timeout`, and the write is kept. Default 5000, at most 60 000. */
  readonly ackTimeoutMs?: number | undefined
}

export interface IoWriteOptions extends IoAckOptions {
  /** What must hold of the key at the moment of the write. Default: nothing. */
  readonly precondition?: Precondition | undefined
  /** Token of the lock of the key, where the caller holds it. Without it a write waits for the lock. */
  readonly lock?: string | undefined
  /** When the write counts as done. Default: the node's own. */
  readonly durability?: Durability | undefined
}

export interface IoUpdateOptions<T = unknown> extends IoWriteOptions {
  /** What is changed where the key is absent, which then comes into being. Default: that is `not_found`. */
  readonly initial?: T | undefined
}

/** @throws StateError everywhere: of the key or glob, a filter, the condition or the storage. */
export interface ServerIo {
  /** The entry of a plain key as its read filter shows it; undefined when there is none. */
  get<T = unknown>(key: string): Promise<IoEntry<T> | undefined>
  /** The entries of a glob that ends in `*` as a segment, oldest first, as the read filter shows them. */
  getList<T = unknown>(glob: string, options?: IoListOptions): Promise<IoEntry<T>[]>
  /** Writes a value under a plain key. */
  set<T = unknown>(key: string, value: T, options?: IoWriteOptions): Promise<IoWritten>
  /** Writes a value under a new key made from a glob. */
  push<T = unknown>(
    glob: string,
    value: T,
    options?: Pick<IoWriteOptions, 'durability' | 'ack' | 'ackTimeoutMs'>,
  ): Promise<IoWritten>
  /** Merges a value deeply into what is stored; conflicts are refused, nothing is written then. */
  patch<T = unknown>(key: string, value: T, options?: IoWriteOptions): Promise<IoWritten>
  /**
   * Writes what `change` makes of the value of a plain key, in one step: no other write comes between. It is given
   * what is stored, whatever a read filter shows; the write filter sees what it gives back. It must answer at once, may
   * be asked more than once, and nothing is written when it throws.
   * @throws StateError `not_found` when the key is absent and nothing is given as `initial`.
   */
  update<T = unknown>(
    key: string,
    change: (value: T) => T,
    options?: IoUpdateOptions<T>,
  ): Promise<IoUpdated<T>>
  /** Deletes a plain key. */
  delete(key: string, options?: IoWriteOptions): Promise<void>
}

/** What the open server's data is reached through. */
export interface IoTarget {
  readonly data: DataParts
  readonly acks: Acks
}

/** @param target gives the open server's, or throws `not_open` */
export function createIo(target: () => IoTarget): ServerIo {
  return {
    async get<T>(key: string) {
      assertPlain(key)
      const { shown } = await readEntry(target().data, { key, caller: 'process' })
      return shown === undefined ? undefined : ioEntry<T>(shown)
    },
    async getList<T>(glob: string, options: IoListOptions = {}) {
      assertKey(glob)
      if (!isGlob(glob)) throw new StateError('invalid_glob', 'io: path glob required')
      assertLimit(options.limit)
      const { order = 'oldest', ...range } = options
      const request: ListRequest = { ...range, order, key: glob, caller: 'process' }
      return (await readList(target().data, request)).map((entry) => ioEntry<T>(entry))
    },
    async set(key, value, options) {
      assertPlain(key)
      const write: RequestedWrite = {
        op: 'set',
        key,
        json: encodeJson(value),
        precondition: options?.precondition,
      }
      return ioWritten(await make(target(), write, options))
    },
    async push(glob, value, options) {
      const write: RequestedWrite = { op: 'push', key: glob, json: encodeJson(value) }
      return ioWritten(await make(target(), write, options))
    },
    async patch(key, value, options) {
      assertPlain(key)
      const write: RequestedWrite = {
        op: 'patch',
        key,
        json: encodeJson(value),
        precondition: options?.precondition,
      }
      return ioWritten(await make(target(), write, options))
    },
    async update<T>(key: string, change: (value: T) => T, options: IoUpdateOptions<T> = {}) {
      assertPlain(key)
      const { initial, precondition } = options
      let stored = ''
      const write: RequestedWrite = {
        op: 'update',
        key,
        precondition,
        ...(initial === undefined ? {} : { initial: encodeJson(initial) }),
        change: ({ data }) => encodeNow(change(parseExact(data) as T)),
        onMade: (json) => {
          stored = json
        },
      }
      const written = await make(target(), write, options)
      return { ...ioWritten(written), data: parseExact(stored) as T }
    },
    async delete(key, options) {
      assertPlain(key)
      await make(target(), { op: 'delete', key, precondition: options?.precondition }, options)
    },
  }
}

function ioEntry<T>({ key, created, updated, data }: Entry): IoEntry<T> {
  // The promise of the signature: the caller says what the type is.
  return { created, updated, index: indexOfKey(key), path: key, data: parseExact(data) as T }
}

/** @throws StateError `invalid_option` for a promise, which would be stored as an empty object. */
function encodeNow(value: unknown): string {
  if (!(value instanceof Promise)) return encodeJson(value)
  value.catch(() => undefined)
  throw new StateError('invalid_option', 'io: a change gives its value at once, not a promise')
}

/** Makes a write and waits until it is where it has to be. @throws StateError `ack_timeout`. */
async function make(
  { data, acks }: IoTarget,
  write: RequestedWrite,
  { ack: level, ackTimeoutMs, durability, lock }: IoWriteOptions = {},
): Promise<Written[]> {
  const ack = resolveAck(level, ackTimeoutMs, durability)
  const leave = acks.begin(ack, [write.key])
  try {
    const written = await execute(data, { writes: [write], caller: 'process', durability, lock })
    if (ack === undefined) return written
    const { shortfall } = await acks.confirm(
      ack,
      written.flatMap(({ ends }) => ends),
    )
    if (shortfall !== undefined) throw new StateError('ack_timeout', shortfall)
    return written
  } finally {
    leave()
  }
}

function ioWritten(written: readonly Written[]): IoWritten {
  const { key, index, version, origin } = resultOf(written)
  return { index, path: key, version, id: formatWriteId({ origin, version }) }
}

function assertPlain(key: string): void {
  assertKey(key)
  if (hasGlob(key)) throw new StateError('invalid_glob', 'io: path glob not allowed')
}

function assertLimit(limit: number | undefined): void {
  if (limit === undefined || (Number.isInteger(limit) && limit >= 1)) return
  throw new StateError('invalid_option', `io: limit must be an integer from 1, not ${limit}`)
}
