/**
 * JSON Patch (RFC 6902) between two documents, digit for digit: values are spliced in as the raw
 * text they were received with, and two numbers are equal only when they are spelled the same.
 * Operations are `add`, `remove` and `replace`, in an order in which they can be applied.
 */
import type { JsonNode } from './json.ts'

/** Values nested deeper than this are replaced whole; it keeps a hostile document from costing depth × size. */
const MAX_DIFF_DEPTH = 64

/** Collects operations until one cannot be expressed or they grow past the limit. */
interface Collector {
  readonly operations: string[]
  /** Characters the finished patch has so far. */
  length: number
  readonly limit: number
}

/**
 * The operations that turn `before` into `after`, each as JSON text; empty when they are equal.
 * @param path JSON Pointer (RFC 6901) of the two values in the document; '' is the root.
 * @param limit Longest patch wanted, in characters of its text.
 * @returns undefined when the caller should send the whole document instead: the root itself would be
 *   replaced, a path would pass through a name that patch libraries refuse (`__proto__`,
 *   `constructor/prototype`), or the patch would be longer than `limit`.
 */
export function diffNodes(
  before: JsonNode,
  after: JsonNode,
  path = '',
  limit: number = Number.POSITIVE_INFINITY,
): string[] | undefined {
  const collector: Collector = { operations: [], length: 2, limit }
  return diffValue(collector, before, after, path, 0) ? collector.operations : undefined
}

/**
 * The patch from `before` to `after` as JSON text; `[]` when they are equal.
 * @returns undefined under the conditions of `diffNodes`.
 */
export function diffJson(before: JsonNode, after: JsonNode, limit?: number): string | undefined {
  const operations = diffNodes(before, after, '', limit)
  return operations === undefined ? undefined : patchJson(operations)
}

/** A patch document of operations that are JSON text already. */
export function patchJson(operations: readonly string[]): string {
  return `[${operations.join(',')}]`
}

/** An operation that puts `raw`, JSON text, at `path`. */
export function putOperation(op: 'add' | 'replace', path: string, raw: string): string {
  return `{"op":"${op}","path":${JSON.stringify(path)},"value":${raw}}`
}

export function removeOperation(path: string): string {
  return `{"op":"remove","path":${JSON.stringify(path)}}`
}

/** A member name as one reference token of a JSON Pointer. */
export function pointerToken(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1')
}

/** Each diff function answers false when the patch has to be given up. */
function diffValue(
  out: Collector,
  before: JsonNode,
  after: JsonNode,
  path: string,
  depth: number,
): boolean {
  if (before.raw === after.raw) return true
  if (depth < MAX_DIFF_DEPTH) {
    if (before.kind === 'object' && after.kind === 'object') {
      return diffMembers(out, before.members, after.members, path, depth)
    }
    if (before.kind === 'array' && after.kind === 'array') {
      return diffItems(out, before.items, after.items, path, depth)
    }
  }
  return path !== '' && emit(out, putOperation('replace', path, after.raw))
}

function diffMembers(
  out: Collector,
  before: ReadonlyMap<string, JsonNode>,
  after: ReadonlyMap<string, JsonNode>,
  path: string,
  depth: number,
): boolean {
  for (const [name, old] of before) {
    const now = after.get(name)
    if (now?.raw === old.raw) continue
    if (isRefusedName(path, name)) return false
    const memberPath = `${path}/${pointerToken(name)}`
    const done =
      now === undefined
        ? emit(out, removeOperation(memberPath))
        : diffValue(out, old, now, memberPath, depth + 1)
    if (!done) return false
  }
  for (const [name, now] of after) {
    if (before.has(name)) continue
    if (isRefusedName(path, name)) return false
    if (!emit(out, putOperation('add', `${path}/${pointerToken(name)}`, now.raw))) return false
  }
  return true
}

/** Keeps the common head and tail; the middle is diffed item by item, then shortened or extended. */
function diffItems(
  out: Collector,
  before: readonly JsonNode[],
  after: readonly JsonNode[],
  path: string,
  depth: number,
): boolean {
  const shorter = Math.min(before.length, after.length)
  let head = 0
  while (head < shorter && before[head]?.raw === after[head]?.raw) head++
  let tail = 0
  while (
    tail < shorter - head &&
    before[before.length - 1 - tail]?.raw === after[after.length - 1 - tail]?.raw
  ) {
    tail++
  }
  const paired = shorter - tail
  for (let i = head; i < paired; i++) {
    const old = before[i]
    const now = after[i]
    if (old === undefined || now === undefined) continue
    if (!diffValue(out, old, now, `${path}/${i}`, depth + 1)) return false
  }
  // From the end, so that the positions of the items still to go do not move.
  for (let i = before.length - tail - 1; i >= paired; i--) {
    if (!emit(out, removeOperation(`${path}/${i}`))) return false
  }
  for (let i = paired; i < after.length - tail; i++) {
    const now = after[i]
    if (now !== undefined && !emit(out, putOperation('add', `${path}/${i}`, now.raw))) return false
  }
  return true
}

function emit(out: Collector, operation: string): boolean {
  out.operations.push(operation)
  out.length += operation.length + 1
  return out.length <= out.limit
}

/** fast-json-patch refuses to write below these names, as a guard against prototype pollution. */
function isRefusedName(path: string, name: string): boolean {
  return name === '__proto__' || (name === 'prototype' && path.endsWith('/constructor'))
}
