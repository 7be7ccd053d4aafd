/**
 * The merge behind PATCH: objects member by member, arrays by index, everything else replaced.
 * `null` is a value like any other and never deletes. Numbers and strings keep their spelling;
 * member names come out sorted (by code point) at every level. It works on the texts: what the patch
 * does not name is copied, not taken apart.
 */
import { StateError } from '../errors.ts'
import { atOnce, type Steps } from '../steps.ts'
import { joiningMembers, replacingItems, sortedJson, sortedUnlessSame } from './sorted.ts'
import { JsonText, namingMembers } from './text.ts'

/** Conflicts that are told of; the rest is counted. */
const MAX_CONFLICTS = 20
/** Characters of a path that are shown. */
const MAX_PATH = 200

/**
 * The stored document with the patch merged in, as compact JSON text.
 *
 * A root that is not an object or array, or a patch that is not an object, leaves the document as
 * it is. Array members are named by decimal index; indices outside are ignored, so the
 * length never changes. A nested object can only be merged with an object.
 *
 * @param current compact JSON text, as stored
 * @param patch compact JSON text, as `compactJson` returns it
 * @throws StateError `merge_conflict` with a line for each of the first conflicts, naming the dotted path.
 */
export function deepMerge(current: string, patch: string): string {
  return atOnce(deepMerging(current, patch))
}

/** `deepMerge` in steps. */
export function* deepMerging(current: string, patch: string): Steps<string> {
  const document = new JsonText(current)
  const change = new JsonText(patch)
  if (document.kind(0) === 'scalar' || change.kind(0) !== 'object') {
    return sortedJson(document, 0, current.length)
  }
  const merge = new Merge(document, change)
  const merged = yield* merge.container({
    start: 0,
    end: current.length,
    change: 0,
    path: undefined,
  })
  merge.assertNoConflict()
  return merged
}

/** The names on the way to a value, from the last to the first. */
interface Path {
  readonly name: string
  readonly parent: Path | undefined
}

/** A value of the document at a position, and the value of the patch that concerns it. */
interface Place {
  readonly start: number
  readonly end: number
  readonly change: number
  readonly path: Path | undefined
}

class Merge {
  readonly #document: JsonText
  readonly #patch: JsonText
  readonly #conflicts: string[] = []
  #conflictCount = 0

  constructor(document: JsonText, patch: JsonText) {
    this.#document = document
    this.#patch = patch
  }

  *container({ start, end, change, path }: Place): Steps<string> {
    const changes = yield* namingMembers(this.#patch, this.#patch.members(change))
    return this.#document.kind(start) === 'array'
      ? yield* this.#items(start, end, changes, path)
      : yield* this.#members(start, changes, path)
  }

  assertNoConflict(): void {
    if (this.#conflictCount === 0) return
    const more = this.#conflictCount - this.#conflicts.length
    const lines = more === 0 ? this.#conflicts : [...this.#conflicts, `merge: and ${more} more`]
    throw new StateError('merge_conflict', lines.join('\n'))
  }

  *#items(start: number, end: number, changes: Changes, parent: Path | undefined): Steps<string> {
    const byIndex = new Map<number, [number, number]>()
    for (const [name, change] of changes) {
      if (/^(?:0|[1-9]\d{0,15})$/.test(name)) byIndex.set(Number(name), change)
    }
    const merged = yield* replacingItems(this.#document, start, end, (index, from, to) => {
      const change = byIndex.get(index)
      if (change === undefined) return sortedUnlessSame(this.#document, from, to)
      return this.#nested(from, to, change, { name: String(index), parent })
    })
    return merged ?? this.#document.text.slice(start, end)
  }

  *#members(start: number, changes: Changes, parent: Path | undefined): Steps<string> {
    const merged = new Map<string, string>()
    const members = yield* namingMembers(this.#document, this.#document.members(start))
    for (const [name, [from, to]] of members) {
      yield
      const change = changes.get(name)
      merged.set(
        name,
        change === undefined
          ? sortedJson(this.#document, from, to)
          : yield* this.#nested(from, to, change, { name, parent }),
      )
    }
    for (const [name, [from, to]] of changes) {
      yield
      if (!merged.has(name)) merged.set(name, sortedJson(this.#patch, from, to))
    }
    return yield* joiningMembers(merged)
  }

  *#nested(
    start: number,
    end: number,
    [change, changeEnd]: [number, number],
    path: Path,
  ): Steps<string> {
    const kind = this.#document.kind(start)
    if (this.#patch.kind(change) === 'object' && kind !== 'scalar') {
      return yield* this.container({ start, end, change, path })
    }
    if (kind !== 'object') return sortedJson(this.#patch, change, changeEnd)
    this.#conflictCount++
    if (this.#conflicts.length < MAX_CONFLICTS) {
      this.#conflicts.push(`merge: patch value must be object for key "${dotted(path)}"`)
    }
    return ''
  }
}

type Changes = ReadonlyMap<string, [number, number]>

function dotted(path: Path): string {
  const names: string[] = []
  for (let at: Path | undefined = path; at !== undefined; at = at.parent) names.push(at.name)
  const text = names.reverse().join('.')
  return text.length <= MAX_PATH ? text : `${text.slice(0, MAX_PATH)}…`
}
