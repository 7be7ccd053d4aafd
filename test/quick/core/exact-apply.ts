/** RFC 6902 add, remove and replace on JSON text, digit for digit: what a careful client does. */
import { type JsonNode, parseNodes } from '../../../src/core/json/json.ts'

type Tree = Map<string, Tree> | Tree[] | string

/** The document after the patch, canonical: compact, members sorted, numbers as they were spelled. */
export function applyExactly(document: string, patch: string): string {
  let root = toTree(parseNodes(document))
  const operations = parseNodes(patch)
  if (operations.kind !== 'array') throw new Error(`not a patch: ${patch}`)
  for (const operation of operations.items) root = applyOne(root, operation)
  return canonical(root)
}

/** The document itself in the form `applyExactly` gives. */
export function canonicalText(document: string): string {
  return canonical(toTree(parseNodes(document)))
}

function applyOne(root: Tree, operation: JsonNode): Tree {
  if (operation.kind !== 'object') throw new Error('operation is not an object')
  const { members } = operation
  const op = text(members.get('op'))
  const path = text(members.get('path'))
  const value = members.get('value')
  if (path === '') return toTree(required(value))
  const tokens = path.split('/').slice(1).map(unescapeToken)
  const last = required(tokens.pop())
  let parent = root
  for (const token of tokens) parent = child(parent, token)
  if (Array.isArray(parent)) changeArray(parent, op, last, value)
  else if (parent instanceof Map) changeMap(parent, op, last, value)
  else throw new Error(`no container at ${path}`)
  return root
}

function changeArray(parent: Tree[], op: string, token: string, value: JsonNode | undefined): void {
  if (!/^(?:0|[1-9]\d*)$/.test(token)) throw new Error(`bad index ${token}`)
  const index = Number(token)
  if (index >= parent.length + (op === 'add' ? 1 : 0)) throw new Error(`no item ${token} to ${op}`)
  if (op === 'add') parent.splice(index, 0, toTree(required(value)))
  else if (op === 'remove') parent.splice(index, 1)
  else if (op === 'replace') parent[index] = toTree(required(value))
  else throw new Error(`unexpected op ${op}`)
}

function changeMap(
  parent: Map<string, Tree>,
  op: string,
  name: string,
  value: JsonNode | undefined,
): void {
  if (op !== 'add' && !parent.has(name)) throw new Error(`no member ${name} to ${op}`)
  if (op === 'remove') parent.delete(name)
  else parent.set(name, toTree(required(value)))
}

function child(parent: Tree, token: string): Tree {
  if (Array.isArray(parent)) return required(parent[Number(token)])
  if (parent instanceof Map) return required(parent.get(token))
  throw new Error(`no container at ${token}`)
}

function toTree(node: JsonNode): Tree {
  if (node.kind === 'scalar') return node.raw
  if (node.kind === 'array') return node.items.map(toTree)
  return new Map([...node.members].map(([name, member]) => [name, toTree(member)]))
}

function canonical(tree: Tree): string {
  if (typeof tree === 'string') return tree
  if (Array.isArray(tree)) return `[${tree.map(canonical).join(',')}]`
  const members = [...tree].sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([name, value]) => `${JSON.stringify(name)}:${canonical(value)}`).join(',')}}`
}

function text(node: JsonNode | undefined): string {
  return JSON.parse(required(node).raw) as string
}

function unescapeToken(token: string): string {
  return token.replaceAll('~1', '/').replaceAll('~0', '~')
}

function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('missing in patch or document')
  return value
}
