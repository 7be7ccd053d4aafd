/**
 * RFC 6902 patches on shared documents. The containers along each path are copied before
 * fast-json-patch changes them, so documents handed out earlier never change and untouched parts
 * keep their identity.
 */
import jsonPatch, { type Operation as LibraryOperation } from 'fast-json-patch'
import { errorText, StateError } from '../core/errors.ts'

const OPERATIONS: ReadonlySet<string> = new Set([
  'add',
  'remove',
  'replace',
  'move',
  'copy',
  'test',
])

interface Operation {
  readonly op: string
  readonly path: string
  readonly from?: string
  readonly value?: unknown
}

/** A document that is being patched, and the containers that are already private to this patch. */
interface Draft {
  root: unknown
  readonly owned: Set<unknown>
}

/**
 * The document after all operations; `document` itself stays as it is, also on failure.
 * @throws StateError `invalid_message` when an operation is malformed, points to what is not there,
 * or its test fails; the cause is kept.
 */
export function applyPatch(document: unknown, operations: readonly unknown[]): unknown {
  const draft: Draft = { root: document, owned: new Set() }
  operations.forEach((operation, i) => {
    try {
      applyOperation(draft, checkedOperation(operation))
    } catch (cause) {
      const message = `patch operation ${i} refused: ${errorText(cause).split('\n')[0]}`
      throw new StateError('invalid_message', message, { cause })
    }
  })
  return draft.root
}

function checkedOperation(operation: unknown): Operation {
  if (typeof operation !== 'object' || operation === null) throw new Error('it is not an object')
  const { op, path, from } = operation as Record<string, unknown>
  if (typeof op !== 'string' || !OPERATIONS.has(op)) throw new Error('"op" is not of RFC 6902')
  if (typeof path !== 'string') throw new Error('"path" missing')
  if ((op === 'move' || op === 'copy') && typeof from !== 'string')
    throw new Error('"from" missing')
  return operation as Operation
}

function applyOperation(draft: Draft, operation: Operation): void {
  const { op, path, from = '' } = operation
  if (op !== 'copy' && op !== 'move') {
    change(draft, operation)
    return
  }
  const value = valueAt(draft.root, from)
  if (op === 'move') {
    if (path === from) return
    if (path.startsWith(`${from}/`)) throw new Error('a value cannot be moved into itself')
    change(draft, { op: 'remove', path: from })
  }
  change(draft, { op: 'add', path, value })
  // After a copy the value sits in two places, so neither may be changed in place any more.
  draft.owned.clear()
}

/** Applies add, remove, replace or test to the container that holds the target. */
function change(draft: Draft, operation: Operation): void {
  const tokens = tokensOf(operation.path)
  const last = tokens.pop()
  const target = last === undefined ? draft.root : containerAt(draft, tokens)
  const isMissing = operation.op !== 'add' && last !== undefined && !has(target, last)
  if (isMissing) throw new Error(`nothing at ${operation.path}`)
  const local = { ...operation, path: last === undefined ? '' : `/${escapeToken(last)}` }
  // A value that came with the patch is not ours to change later: it is not in `owned`.
  const result = jsonPatch.applyOperation(target, local as LibraryOperation, true, true)
  if (last === undefined) draft.root = result.newDocument
}

/** The container at `tokens`, with itself and everything above it private to this patch. */
function containerAt(draft: Draft, tokens: readonly string[]): unknown {
  let container = own(draft, draft.root)
  draft.root = container
  for (const token of tokens) {
    const child = own(draft, childOf(container, token))
    setChild(container, token, child)
    container = child
  }
  return container
}

function own(draft: Draft, container: unknown): unknown {
  if (typeof container !== 'object' || container === null) throw new Error('path leads nowhere')
  if (draft.owned.has(container)) return container
  const copy: unknown = Array.isArray(container) ? container.slice() : { ...container }
  draft.owned.add(copy)
  return copy
}

function setChild(container: unknown, token: string, child: unknown): void {
  // The token is an own member, so this cannot reach a prototype.
  ;(container as Record<string, unknown>)[token] = child
}

function valueAt(document: unknown, path: string): unknown {
  return tokensOf(path).reduce(childOf, document)
}

function childOf(container: unknown, token: string): unknown {
  if (!has(container, token)) throw new Error(`nothing at "${token}"`)
  return (container as Record<string, unknown>)[token]
}

function has(container: unknown, token: string): boolean {
  if (typeof container !== 'object' || container === null) return false
  if (Array.isArray(container) && !/^(?:0|[1-9]\d*)$/.test(token)) return false
  return Object.hasOwn(container, token)
}

/** RFC 6901. */
function tokensOf(path: string): string[] {
  if (path === '') return []
  if (!path.startsWith('/')) throw new Error(`path ${JSON.stringify(path)} must start with "/"`)
  return path
    .slice(1)
    .split('/')
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function escapeToken(token: string): string {
  return token.replaceAll('~', '~0').replaceAll('/', '~1')
}
