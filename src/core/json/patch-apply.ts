/**
 * Applying JSON Patch (RFC 6902) to a document, digit for digit: what a patch does not touch keeps
 * the very text it came with, and what it puts in keeps the text of the patch.
 */
import { StateError } from '../errors.ts'
import { type JsonNode, MAX_JSON_DEPTH, parseNodes, sameNode } from './json.ts'

/** A value of the document: as it came, or a container that a patch has reached into. */
type Tree = JsonNode | Changed

/** Its text is dropped when something below it changes, and made again when asked for. */
type Changed =
  | {
      readonly kind: 'changed object'
      raw: string | undefined
      readonly members: Map<string, Tree>
    }
  | { readonly kind: 'changed array'; raw: string | undefined; readonly items: Tree[] }

/**
 * A document that patches are applied to, one after the other. A patch that fails may have been
 * applied in part: the document is then of no more use.
 */
export class PatchedDocument {
  readonly #maxLength: number
  #root: Tree
  /** Characters the document has at most; exact after it was measured. */
  #length: number

  /**
   * @param node taken over, and changed from now on
   * @param maxLength longest document, in characters of its text; unbounded unless given
   */
  constructor(node: JsonNode, maxLength: number = Number.POSITIVE_INFINITY) {
    this.#root = node
    this.#maxLength = maxLength
    this.#length = node.raw.length
  }

  /** Characters of `text`, or a few more. */
  get length(): number {
    return this.#length
  }

  /** The document as compact JSON text. */
  get text(): string {
    return render(this.#root)
  }

  /**
   * Applies a patch: `add`, `remove`, `replace`, `move`, `copy` and `test`, in order.
   * @param patch taken over, as its values become part of the document
   * @throws StateError `invalid_message` for what is no patch, or does not fit the document;
   *   `too_large` when the document grows past its limit.
   */
  apply(patch: JsonNode): void {
    if (patch.kind !== 'array') throw misfit('the patch is not an array')
    for (const operation of patch.items) this.#applyOne(operation)
  }

  #applyOne(operation: JsonNode): void {
    if (operation.kind !== 'object') throw misfit('an operation is not an object')
    const { members } = operation
    const path = pointer(members.get('path'), 'path')
    const op = text(members.get('op'), 'op')
    if (op === 'add' || op === 'replace') this.#put(path, value(members), op)
    else if (op === 'remove') this.#take(path)
    else if (op === 'test') this.#test(path, value(members))
    else if (op === 'move') this.#move(pointer(members.get('from'), 'from'), path)
    else if (op === 'copy') this.#copy(pointer(members.get('from'), 'from'), path)
    else throw misfit(`operation ${op} is not known`)
  }

  #put(path: readonly string[], node: Tree, op: 'add' | 'replace'): void {
    const token = path.at(-1)
    if (token === undefined) this.#root = node
    else place(this.#touch(path), token, node, op)
    this.#grow(render(node).length + (token?.length ?? 0))
  }

  #take(path: readonly string[]): Tree {
    const token = path.at(-1)
    if (token === undefined) throw misfit('the whole document cannot be removed')
    const parent = this.#touch(path)
    const taken = child(parent, token)
    if ('items' in parent) parent.items.splice(Number(token), 1)
    else parent.members.delete(token)
    return taken
  }

  #move(from: readonly string[], to: readonly string[]): void {
    const inside = from.length < to.length && from.every((token, i) => token === to[i])
    if (inside) throw misfit('a value cannot be moved into itself')
    if (from.length === 0) return
    this.#put(to, this.#take(from), 'add')
  }

  #copy(from: readonly string[], to: readonly string[]): void {
    this.#put(to, parseNodes(render(this.#at(from))), 'add')
  }

  #test(path: readonly string[], expected: JsonNode): void {
    const found = parseNodes(render(this.#at(path)))
    if (!sameNode(found, expected)) throw misfit(`the value at /${path.join('/')} is another one`)
  }

  #at(path: readonly string[]): Tree {
    return path.reduce(child, this.#root)
  }

  /** The container that the last token names a place in; the text of all on the way is stale. */
  #touch(path: readonly string[]): Changed {
    let node = changed(this.#root)
    this.#root = node
    for (const token of path.slice(0, -1)) {
      const next = changed(child(node, token))
      if ('items' in node) node.items[Number(token)] = next
      else node.members.set(token, next)
      node = next
    }
    return node
  }

  /** Sums up what comes in, and measures only when that sum passes the limit. */
  #grow(length: number): void {
    this.#length += length
    if (this.#length <= this.#maxLength) return
    this.#length = this.text.length
    if (this.#length <= this.#maxLength) return
    throw new StateError(
      'too_large',
      `ooo: a patched document of ${this.#length} characters; the limit is ${this.#maxLength}`,
    )
  }
}

function render(node: Tree): string {
  if (node.raw !== undefined) return node.raw
  if (node.kind === 'changed array') node.raw = `[${node.items.map(render).join(',')}]`
  else if (node.kind === 'changed object') {
    const members = [...node.members].map(
      ([name, member]) => `${JSON.stringify(name)}:${render(member)}`,
    )
    node.raw = `{${members.join(',')}}`
  }
  return node.raw ?? ''
}

function place(parent: Changed, token: string, node: Tree, op: 'add' | 'replace'): void {
  if ('items' in parent) {
    const index = indexOf(token, parent.items.length, op === 'add')
    parent.items.splice(index, op === 'add' ? 0 : 1, node)
    return
  }
  if (op === 'replace' && !parent.members.has(token)) throw misfit(`no member ${token} to replace`)
  parent.members.set(token, node)
}

/** The container itself when a patch has been there before; its text is dropped. */
function changed(node: Tree): Changed {
  switch (node.kind) {
    case 'scalar':
      throw misfit('a path leads through a value without members')
    case 'object':
      return {
        kind: 'changed object',
        raw: undefined,
        members: new Map<string, Tree>(node.members),
      }
    case 'array':
      return { kind: 'changed array', raw: undefined, items: [...node.items] }
    default:
      node.raw = undefined
      return node
  }
}

function child(parent: Tree, token: string): Tree {
  let found: Tree | undefined
  if ('items' in parent) found = parent.items[indexOf(token, parent.items.length, false)]
  else if ('members' in parent) found = parent.members.get(token)
  if (found === undefined) throw misfit(`nothing at ${token}`)
  return found
}

function indexOf(token: string, length: number, adding: boolean): number {
  if (adding && token === '-') return length
  const index = /^(?:0|[1-9]\d*)$/.test(token) ? Number(token) : Number.NaN
  if (index < length || (adding && index === length)) return index
  throw misfit(`no position ${token} among ${length} items`)
}

function value(members: ReadonlyMap<string, JsonNode>): JsonNode {
  const node = members.get('value')
  if (node === undefined) throw misfit('an operation has no value')
  return node
}

/** The tokens of a JSON Pointer (RFC 6901). */
function pointer(node: JsonNode | undefined, name: string): string[] {
  const path = text(node, name)
  if (path === '') return []
  if (!path.startsWith('/')) throw misfit(`${path} is not a JSON Pointer`)
  const tokens = path.slice(1).split('/')
  if (tokens.length > MAX_JSON_DEPTH) throw misfit(`a path has more than ${MAX_JSON_DEPTH} steps`)
  return tokens.map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function text(node: JsonNode | undefined, name: string): string {
  const parsed: unknown = node === undefined ? undefined : JSON.parse(node.raw)
  if (typeof parsed === 'string') return parsed
  throw misfit(`an operation has no ${name}`)
}

function misfit(what: string): StateError {
  return new StateError('invalid_message', `ooo: patch does not fit: ${what}`)
}
