/**
 * `POST /-/batch`: several writes, all or none, in one commit.
 *
 * The body is `{"operations":[{"op":"set"|"push"|"patch"|"delete","path":…,"data":…,"ifMatch":…,
 * "ifNoneMatch":…}]}`. `data` is any JSON, kept digit for digit. `ifMatch` and `ifNoneMatch` are `"*"`, a
 * version, or an array of versions; a version is its decimal digits as a string (a number is read as exactly).
 * Operations see what those before them did. The answer is `{"results":[{"index","path","version"}]}`
 * in their order, versions as strings; that of a delete also has `deleted`, a count, and no version
 * when a glob matched nothing. A refusal names the operation by its position, from 0. `?durability=`
 * holds for all of them.
 */
import type { IncomingMessage } from 'node:http'
import { indexOfKey } from '../../core/data/entry.ts'
import type { Precondition } from '../../core/data/precondition.ts'
import { StateError } from '../../core/errors.ts'
import { type JsonNode, parseNodes } from '../../core/json/json.ts'
import { ownText } from '../../store/format/own-text.ts'
import { located } from '../../store/types/located.ts'
import type { Written } from '../../store/types/write.ts'
import { jsonReply, type Reply } from '../exchange/reply.ts'
import { matching, notMatching } from './conditional.ts'
import { durabilityOf } from './query.ts'
import type { RequestedWrite, WriteRequest } from './request.ts'
import type { DataContext } from './routes.ts'
import { type AskedWrite, answerWrite } from './write-answer.ts'

/** Where batches are posted. */
export const BATCH_PATH = '/-/batch'

/** Most operations in one batch. */
export const MAX_BATCH_OPERATIONS = 1000

/** Answers a request for `BATCH_PATH`. @throws StateError with the status and text of the refusal. */
export function answerBatch(context: DataContext, request: IncomingMessage): Promise<Reply> {
  return answerWrite(context, request, () => askedBatch(context, request), batchReply)
}

async function askedBatch(
  { bodies, assertRoom }: DataContext,
  request: IncomingMessage,
): Promise<AskedWrite> {
  const durability = durabilityOf(request)
  const body = await bodies.readJson(request, assertRoom)
  const writes = parseBatch(body)
  return { request: { writes, caller: 'client', isBatch: true, durability }, body }
}

function batchReply(written: readonly Written[], { writes }: WriteRequest): Reply {
  const texts = written.map((result, i) => resultJson(result, writes[i]?.op === 'delete'))
  return jsonReply(`{"results":[${texts.join(',')}]}`)
}

/** Keys hold no character that JSON escapes. */
function resultJson({ key, version, deleted }: Written, isDelete: boolean): string {
  const stamp = version === undefined ? '' : `,"version":"${version}"`
  const count = isDelete ? `,"deleted":${deleted}` : ''
  return `{"index":"${indexOfKey(key)}","path":"${key}"${stamp}${count}}`
}

/**
 * The operations of a batch's body, compact JSON.
 * @throws StateError `invalid_message` for another shape; `too_large` above 1000 operations.
 */
export function parseBatch(body: string): RequestedWrite[] {
  const root = membersOf(parseNodes(body), 'the batch', ['operations'])
  const list = root.get('operations')
  if (list?.kind !== 'array') {
    throw invalid(`"operations" must be an array, not ${shown(list)}`)
  }
  if (list.items.length > MAX_BATCH_OPERATIONS) {
    throw new StateError(
      'too_large',
      `batch: ${list.items.length} operations, the limit is ${MAX_BATCH_OPERATIONS}`,
    )
  }
  return list.items.map((item, i) => located(i, () => parseOperation(item)))
}

const FIELDS: readonly string[] = ['op', 'path', 'data', 'ifMatch', 'ifNoneMatch']

function parseOperation(node: JsonNode): RequestedWrite {
  const members = membersOf(node, 'an operation', FIELDS)
  const op = textOf(members, 'op')
  const key = textOf(members, 'path')
  const precondition = preconditionOf(members)
  const data = members.get('data')
  switch (op) {
    case 'delete':
      if (data !== undefined) throw invalid('a delete takes no "data"')
      return { op, key, precondition }
    case 'set':
    case 'push':
    case 'patch':
      if (data === undefined) throw invalid(`a ${op} needs "data"`)
      // What is stored must not hold the whole request in memory.
      return { op, key, json: ownText(data.raw), precondition }
    default:
      throw invalid(`"op" must be set, push, patch or delete, not ${JSON.stringify(op)}`)
  }
}

/** A misspelt condition would otherwise be no condition, so unknown members are refused. */
function membersOf(
  node: JsonNode,
  what: string,
  known: readonly string[],
): ReadonlyMap<string, JsonNode> {
  if (node.kind !== 'object') throw invalid(`${what} must be an object, not ${shown(node)}`)
  for (const name of node.members.keys()) {
    if (!known.includes(name)) throw invalid(`${what} has no member ${JSON.stringify(name)}`)
  }
  return node.members
}

function textOf(members: ReadonlyMap<string, JsonNode>, name: string): string {
  const node = members.get(name)
  const text = node === undefined ? undefined : stringOf(node)
  if (text === undefined) throw invalid(`"${name}" must be a string, not ${shown(node)}`)
  return text
}

function preconditionOf(members: ReadonlyMap<string, JsonNode>): Precondition | undefined {
  const conditions: Precondition[] = []
  const match = members.get('ifMatch')
  if (match !== undefined) conditions.push(matching(versionsOf(match, 'ifMatch')))
  const noneMatch = members.get('ifNoneMatch')
  if (noneMatch !== undefined) conditions.push(notMatching(versionsOf(noneMatch, 'ifNoneMatch')))
  return conditions.length < 2 ? conditions[0] : { kind: 'all', conditions }
}

function versionsOf(node: JsonNode, name: string): '*' | bigint[] {
  if (stringOf(node) === '*') return '*'
  return (node.kind === 'array' ? node.items : [node]).map((item) => {
    const digits = stringOf(item) ?? item.raw
    if (/^(?:0|[1-9]\d{0,19})$/.test(digits)) return BigInt(digits)
    throw invalid(`"${name}" must be "*", a version or an array of versions, not ${shown(item)}`)
  })
}

function stringOf(node: JsonNode): string | undefined {
  return node.raw.startsWith('"') ? (JSON.parse(node.raw) as string) : undefined
}

function shown(node: JsonNode | undefined): string {
  if (node === undefined) return 'nothing'
  return node.raw.length > 40 ? `${node.raw.slice(0, 40)}…` : node.raw
}

function invalid(text: string): StateError {
  return new StateError('invalid_message', `batch: ${text}`)
}
