/** Shapes of the older HTTP protocol "2.0": paths, meta objects, activity, version. Pure. */
import { LATEST_STAMP } from '../../../src/core/data/clock.ts'
import type { Entry } from '../../../src/core/data/entry.ts'
import { StateError } from '../../../src/core/errors.ts'
import { compactJson, type JsonNode, parseNodes } from '../../../src/core/json/json.ts'
import { assertKey, hasGlob } from '../../../src/core/keys/key.ts'
import { STREAM_PROTOCOL } from '../../../src/core/wire/protocol.ts'

/** The protocol that 2.0 nodes ask for, compared as text. */
export const PIVOT_PROTOCOL = '2.0'
/** Where a pusher tells its own `host:port`, so that it is not notified of what it pushed. */
export const ORIGINATOR_HEADER = 'x-pivot-originator'
/** Origin of records that 2.0 peers made: they carry none. */
export const PIVOT_ORIGIN = 'pivot'

/** What `GET /_pivot/version` answers: 2.0 peers read `protocol`, our own `stream`. */
export const VERSION_BODY: string = `${JSON.stringify({
  protocol: PIVOT_PROTOCOL,
  package: 'ooo-cluster',
  stream: STREAM_PROTOCOL,
})}\n`

/** A scope as 2.0 carries it. */
export interface PivotScope {
  /** As configured: `things/*` or `settings`. */
  readonly path: string
  /** The path without its `/*`. */
  readonly base: string
  readonly isList: boolean
}

/** undefined for what 2.0 can not carry: globs other than one whole last segment below another. */
export function pivotScope(path: string): PivotScope | undefined {
  if (!hasGlob(path)) return { path, base: path, isList: false }
  const base = path.endsWith('/*') ? path.slice(0, -2) : ''
  return base === '' || hasGlob(base) ? undefined : { path, base, isList: true }
}

/** Whether `key` is one of the scope's. */
export function isOfScope({ base, isList }: PivotScope, key: string): boolean {
  if (!isList) return key === base
  return key.startsWith(`${base}/`) && !key.includes('/', base.length + 1)
}

/**
 * The entry that a meta object stands for. Its key is the scope's base and the object's own index, as
 * 2.0 does it; stamps and data never pass through a JavaScript number.
 * @throws StateError `invalid_message` or `invalid_json` saying what is wrong.
 */
export function decodeMeta(scope: PivotScope, text: string): Entry {
  const members = membersOf(text)
  const index = textOf(members.get('index'))
  const data = members.get('data')
  if (data === undefined) throw new StateError('invalid_message', 'pivot: an object without data')
  if (scope.isList && (index === '' || index.includes('/') || hasGlob(index))) {
    throw new StateError('invalid_message', `pivot: index "${index.slice(0, 100)}" is no segment`)
  }
  const key = scope.isList ? `${scope.base}/${index}` : scope.base
  assertKey(key)
  return {
    kind: 'entry',
    key,
    created: stampOf('created', members.get('created')),
    updated: stampOf('updated', members.get('updated')),
    origin: PIVOT_ORIGIN,
    data: data.raw,
  }
}

/** The whole key that a meta object names; empty when it names none. @throws StateError as `decodeMeta`. */
export function decodePathOf(text: string): string {
  return textOf(membersOf(text).get('path'))
}

/** @throws StateError `invalid_message` or `invalid_json`. */
export function decodeActivity(text: string): bigint {
  return stampOf('lastEntry', membersOf(text).get('lastEntry'))
}

/** The stamp of the latest delete, as stored under `pivot/<base>`; 0n when the object says nothing. */
export function decodeDeleteStamp(text: string): bigint {
  const data = membersOf(text).get('data')
  return data === undefined ? 0n : stampOf('delete stamp', data)
}

/** What a peer answered on `/_pivot/version`. */
export interface PeerVersion {
  /** `unknown` when the answer is not understood. */
  readonly protocol: string
  /** It is one of our own nodes: those use the stream. */
  readonly hasStream: boolean
}

/** Understands every answer. */
export function decodeVersion(text: string): PeerVersion {
  try {
    const members = membersOf(text)
    const protocol = textOf(members.get('protocol'))
    return { protocol: protocol || 'unknown', hasStream: members.has('stream') }
  } catch {
    return { protocol: 'unknown', hasStream: false }
  }
}

/** A stamp in the decimal text of a path. undefined when it is none, or beyond what is taken. */
export function parseStamp(text: string): bigint | undefined {
  if (!/^\d{1,19}$/.test(text)) return undefined
  const stamp = BigInt(text)
  return stamp <= LATEST_STAMP ? stamp : undefined
}

function membersOf(text: string): ReadonlyMap<string, JsonNode> {
  const node = parseNodes(compactJson(text))
  if (node.kind === 'object') return node.members
  throw new StateError('invalid_message', `pivot: ${text.slice(0, 50)} is not an object`)
}

function textOf(node: JsonNode | undefined): string {
  const value: unknown = node?.kind === 'scalar' ? JSON.parse(node.raw) : undefined
  return typeof value === 'string' ? value : ''
}

function stampOf(name: string, node: JsonNode | undefined): bigint {
  const stamp = parseStamp(node?.raw ?? '')
  if (stamp !== undefined) return stamp
  throw new StateError(
    'invalid_message',
    `pivot: ${name} is ${(node?.raw ?? 'missing').slice(0, 50)}, not a stamp from 0 to ${LATEST_STAMP}`,
  )
}
