/**
 * The merge behind PATCH: objects member by member, arrays by index, everything else replaced.
 * `null` is a value like any other and never deletes. Numbers and strings keep their spelling;
 * member names come out sorted (by code point) at every level.
 */
import { StateError } from './errors.ts'
import { type JsonNode, parseNodes } from './json.ts'

/**
 * The stored document with the patch merged in, as compact JSON text.
 *
 * A root that is not an object or array, or a patch that is not an object, leaves the document as
 * it is. Array members are named by decimal index; indices outside are ignored, so the
 * length never changes. A nested object can only be merged with an object.
 *
 * @param current compact JSON text, as stored
 * @param patch compact JSON text, as `compactJson` returns it
 * @throws StateError `merge_conflict` with one line per conflict, naming the dotted path.
 */
export function deepMerge(current: string, patch: string): string {
  const document = parseNodes(current)
  const change = parseNodes(patch)
  const conflicts: string[] = []
  const merged =
    document.kind !== 'scalar' && change.kind === 'object'
      ? mergeContainer(document, change.members, '', conflicts)
      : sortedJson(document)
  if (conflicts.length > 0) throw new StateError('merge_conflict', conflicts.join('\n'))
  return merged
}

type Container = Extract<JsonNode, { kind: 'object' | 'array' }>

function mergeContainer(
  current: Container,
  patch: ReadonlyMap<string, JsonNode>,
  path: string,
  conflicts: string[],
): string {
  if (current.kind === 'array') {
    const items = current.items.map((item, i) => {
      const change = patch.get(String(i))
      return change === undefined
        ? sortedJson(item)
        : mergeNested(item, change, dotted(path, String(i)), conflicts)
    })
    return `[${items.join(',')}]`
  }
  const merged = new Map<string, string>()
  for (const [name, member] of current.members) {
    const change = patch.get(name)
    merged.set(
      name,
      change === undefined
        ? sortedJson(member)
        : mergeNested(member, change, dotted(path, name), conflicts),
    )
  }
  for (const [name, member] of patch) {
    if (!merged.has(name)) merged.set(name, sortedJson(member))
  }
  return objectJson(merged)
}

function mergeNested(
  current: JsonNode,
  change: JsonNode,
  path: string,
  conflicts: string[],
): string {
  if (change.kind === 'object' && current.kind !== 'scalar') {
    return mergeContainer(current, change.members, path, conflicts)
  }
  if (current.kind !== 'object') return sortedJson(change)
  conflicts.push(`merge: patch value must be object for key "${path}"`)
  return sortedJson(current)
}

function dotted(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`
}

function sortedJson(node: JsonNode): string {
  if (node.kind === 'scalar') return node.raw
  if (node.kind === 'array') return `[${node.items.map(sortedJson).join(',')}]`
  const members = new Map<string, string>()
  for (const [name, member] of node.members) members.set(name, sortedJson(member))
  return objectJson(members)
}

function objectJson(members: ReadonlyMap<string, string>): string {
  const names = [...members.keys()].sort(byCodePoint)
  return `{${names.map((name) => `${JSON.stringify(name)}:${members.get(name)}`).join(',')}}`
}

/** UTF-8 byte order, which UTF-16 order is not where surrogate pairs meet U+E000–U+FFFF. */
function byCodePoint(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x === y) continue
    const bothHigh = x >= 0xd800 && y >= 0xd800
    return bothHigh && isSurrogate(x) !== isSurrogate(y) ? (isSurrogate(x) ? 1 : -1) : x - y
  }
  return a.length - b.length
}

function isSurrogate(code: number): boolean {
  return code >= 0xd800 && code <= 0xdfff
}
