/**
 * JSON Patch (RFC 6902) between two documents, digit for digit: values are spliced in as the raw
 * text they were received with, and two numbers are equal only when they are spelled the same.
 * Operations are `add`, `remove` and `replace`, in an order in which they can be applied. It works on
 * the texts, and takes apart only what differs.
 */
import { JsonText, membersByName, type Positions } from './text.ts'

/** Values nested deeper than this are replaced whole; it keeps a hostile document from costing depth × size. */
const MAX_DIFF_DEPTH = 64
/** Objects of more members are replaced whole: each name that is compared takes memory. */
const MAX_DIFF_MEMBERS = 100_000

/**
 * The operations that turn `before` into `after`, compact JSON, each as JSON text; empty when they are equal.
 * @param path JSON Pointer (RFC 6901) of the two values in the document; '' is the root.
 * @param limit Longest patch wanted, in characters of its text.
 * @returns undefined when the caller should send the whole document instead: the root itself would be
 *   replaced, a path would pass through a name that patch libraries refuse (`__proto__`,
 *   `constructor/prototype`), or the patch would be longer than `limit`.
 */
export function diffTexts(
  before: string,
  after: string,
  path = '',
  limit: number = Number.POSITIVE_INFINITY,
): string[] | undefined {
  const differ = new Differ(new JsonText(before), new JsonText(after), limit)
  const whole = { start: 0, end: before.length, nowStart: 0, nowEnd: after.length }
  return differ.value(whole, path, 0) ? differ.operations : undefined
}

/**
 * The patch from `before` to `after` as JSON text; `[]` when they are equal.
 * @returns undefined under the conditions of `diffTexts`.
 */
export function diffJson(before: string, after: string, limit?: number): string | undefined {
  const operations = diffTexts(before, after, '', limit)
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

/** Where two values that stand for each other begin and end, each in its text. */
interface Pair {
  readonly start: number
  readonly end: number
  readonly nowStart: number
  readonly nowEnd: number
}

/** Collects operations until one cannot be expressed or they grow past the limit. */
class Differ {
  readonly operations: string[] = []
  readonly #before: JsonText
  readonly #after: JsonText
  readonly #limit: number
  /** Characters the finished patch has so far. */
  #length = 2

  constructor(before: JsonText, after: JsonText, limit: number) {
    this.#before = before
    this.#after = after
    this.#limit = limit
  }

  /** False, as with the others: the patch has to be given up. */
  value(pair: Pair, path: string, depth: number): boolean {
    if (this.#isSame(pair)) return true
    const kind = this.#before.kind(pair.start)
    if (depth < MAX_DIFF_DEPTH && kind === this.#after.kind(pair.nowStart)) {
      if (kind === 'array') return this.#items(pair, path, depth)
      if (kind === 'object') {
        const before = this.#before.members(pair.start)
        const after = this.#after.members(pair.nowStart)
        if (Math.max(before.length, after.length) <= 2 * MAX_DIFF_MEMBERS) {
          return this.#members(before, after, path, depth)
        }
      }
    }
    return path !== '' && this.#put('replace', path, pair.nowStart, pair.nowEnd)
  }

  #members(before: Positions, after: Positions, path: string, depth: number): boolean {
    const old = membersByName(this.#before, before)
    const now = membersByName(this.#after, after)
    for (const [name, [start, end]] of old) {
      const place = now.get(name)
      const pair = place && { start, end, nowStart: place[0], nowEnd: place[1] }
      if (pair !== undefined && this.#isSame(pair)) continue
      if (isRefusedName(path, name)) return false
      const memberPath = `${path}/${pointerToken(name)}`
      const isDone =
        pair === undefined
          ? this.#emit(removeOperation(memberPath))
          : this.value(pair, memberPath, depth + 1)
      if (!isDone) return false
    }
    for (const [name, [start, end]] of now) {
      if (old.has(name)) continue
      if (isRefusedName(path, name)) return false
      if (!this.#put('add', `${path}/${pointerToken(name)}`, start, end)) return false
    }
    return true
  }

  /** Keeps the common head and tail; the middle is diffed item by item, then shortened or extended. */
  #items({ start, nowStart }: Pair, path: string, depth: number): boolean {
    const before = this.#before.items(start)
    const after = this.#after.items(nowStart)
    const count = Math.max(0, before.length - 1)
    const nowCount = Math.max(0, after.length - 1)
    const pairOf = (i: number, j: number): Pair => ({
      start: before[i] as number,
      end: (before[i + 1] as number) - 1,
      nowStart: after[j] as number,
      nowEnd: (after[j + 1] as number) - 1,
    })
    const shorter = Math.min(count, nowCount)
    let head = 0
    while (head < shorter && this.#isSame(pairOf(head, head))) head++
    let tail = 0
    while (tail < shorter - head && this.#isSame(pairOf(count - 1 - tail, nowCount - 1 - tail))) {
      tail++
    }
    const paired = shorter - tail
    for (let i = head; i < paired; i++) {
      if (!this.value(pairOf(i, i), `${path}/${i}`, depth + 1)) return false
    }
    // From the end, so that the positions of the items still to go do not move.
    for (let i = count - tail - 1; i >= paired; i--) {
      if (!this.#emit(removeOperation(`${path}/${i}`))) return false
    }
    for (let i = paired; i < nowCount - tail; i++) {
      const [from, to] = [after[i] as number, (after[i + 1] as number) - 1]
      if (!this.#put('add', `${path}/${i}`, from, to)) return false
    }
    return true
  }

  #isSame({ start, end, nowStart, nowEnd }: Pair): boolean {
    if (end - start !== nowEnd - nowStart) return false
    return this.#before.text.slice(start, end) === this.#after.text.slice(nowStart, nowEnd)
  }

  #put(op: 'add' | 'replace', path: string, start: number, end: number): boolean {
    return this.#emit(putOperation(op, path, this.#after.text.slice(start, end)))
  }

  #emit(operation: string): boolean {
    this.operations.push(operation)
    this.#length += operation.length + 1
    return this.#length <= this.#limit
  }
}

/** fast-json-patch refuses to write below these names, as a guard against prototype pollution. */
function isRefusedName(path: string, name: string): boolean {
  return name === '__proto__' || (name === 'prototype' && path.endsWith('/constructor'))
}
