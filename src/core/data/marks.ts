/**
 * Marks of a key: which of its records are older than their stamps say. A node that gives a record a
 * lesser stamp leaves marks on the key, and whoever holds the record under its first stamp gives way to
 * everything that carries them.
 *
 * A mark is a place in what one lineage has written under the key (see `origin.ts`): it is at or after
 * every record of an earlier generation, and those of its own generation up to its version. There are two
 * kinds:
 *
 * - a **mark** covers those records under the stamps that the lineage gave them: what came of them may be
 *   the very record that carries the mark;
 * - a **later mark**, written with a `+`, says that what the key holds came after them: it covers them
 *   under any stamp, also one that somebody else who held them gives them later.
 *
 * Marks belong to the key: a merge keeps the union of both sides, per lineage the later places, so a key has
 * at most one mark of each kind per node. Beyond `MAX_MARKS` lineages those whose stamps pass first are left
 * out.
 *
 * As text: `[+]<version>[/<latest>]@<origin>` joined by commas, lineages ascending. `latest` is the greatest
 * stamp that any mark of the lineage has had, where that is greater: a tombstone is kept until then.
 */
import { LATEST_STAMP } from './clock.ts'
import { formatOrigin, type Origin, parseOrigin } from './origin.ts'

/** Lineages that the marks of one key tell apart at most. */
export const MAX_MARKS = 32

/** A change, named by who made it and its stamp. */
export interface ChangeName {
  readonly origin: string
  readonly version: bigint
}

/** A record as marks see it: its name, and the names it had before, `<version>@<origin>,…`. */
export interface MarkedChange extends ChangeName {
  readonly was?: string | undefined
}

interface Place {
  readonly generation: number
  readonly version: bigint
}

interface LineageMarks {
  readonly mark?: Place
  readonly later?: Place
  readonly latest: bigint
}

type Marks = Map<string, LineageMarks>

const MARK = /^(\+?)(\d{1,19})(?:\/(\d{1,19}))?@([^\s,@]{1,128})$/

/** Marks from another node or a file, in their one spelling; undefined for a text that is none. */
export function canonicalMarks(text: unknown): string | undefined {
  if (typeof text !== 'string') return undefined
  const parts = text.split(',')
  if (parts.length > MAX_MARKS * 2 || !parts.every((part) => MARK.test(part))) return undefined
  const marks = parse(text)
  const isInRange = [...marks.values()].every(({ latest }) => latest <= LATEST_STAMP)
  return isInRange && marks.size <= MAX_MARKS ? encode(marks) : undefined
}

/** The marks that either side has. */
export function unionMarks(a: string | undefined, b: string | undefined): string | undefined {
  if (a === b || b === undefined) return a
  if (a === undefined) return b
  const marks = parse(a)
  for (const [lineage, one] of parse(b)) raise(marks, lineage, one)
  return encode(marks)
}

/** `marks` and one for each of these changes. */
export function addMarks(
  marks: string | undefined,
  changes: readonly ChangeName[],
): string | undefined {
  return added(marks, changes, 'mark')
}

/** `marks` and a later one for each of these changes: what the key holds came after them. */
export function addLaterMarks(
  marks: string | undefined,
  changes: readonly ChangeName[],
): string | undefined {
  return added(marks, changes, 'later')
}

function added(
  marks: string | undefined,
  changes: readonly ChangeName[],
  kind: 'mark' | 'later',
): string | undefined {
  if (changes.length === 0) return marks
  const all = parse(marks)
  for (const { origin, version } of changes) {
    const { lineage, generation } = parseOrigin(origin)
    raise(all, lineage, { [kind]: { generation, version }, latest: version })
  }
  return encode(all)
}

/** Whether the change is older than its stamp says: a mark covers it. */
export function isCovered(marks: string | undefined, change: MarkedChange): boolean {
  if (marks === undefined) return false
  const all = parse(marks)
  const { lineage, ...place } = placeOf(change)
  const own = all.get(lineage)
  if (isUpTo(place, own?.mark) || isUpTo(place, own?.later)) return true
  return changesIn(change.was).some((name) => {
    const { lineage: before, ...earlier } = placeOf(name)
    return isUpTo(earlier, all.get(before)?.later)
  })
}

/** The changes that a text `<version>@<origin>,…` names. */
export function changesIn(text: string | undefined): ChangeName[] {
  return (text === undefined ? [] : text.split(',')).map((part) => {
    const at = part.indexOf('@')
    return { origin: part.slice(at + 1), version: BigInt(part.slice(0, at)) }
  })
}

/** The greatest stamp that a covered record can have; 0n without marks. */
export function latestOfMarks(marks: string | undefined): bigint {
  let greatest = 0n
  for (const { latest } of parse(marks).values()) if (latest > greatest) greatest = latest
  return greatest
}

function placeOf({ origin, version }: ChangeName): Origin & Place {
  return { ...parseOrigin(origin), version }
}

function isUpTo(place: Place, mark: Place | undefined): boolean {
  if (mark === undefined) return false
  if (place.generation !== mark.generation) return place.generation < mark.generation
  return place.version <= mark.version
}

function parse(text: string | undefined): Marks {
  const marks: Marks = new Map()
  for (const part of text === undefined ? [] : text.split(',')) {
    const [, sign, version, latest, origin] = MARK.exec(part) ?? []
    if (version === undefined || origin === undefined) continue
    const stamp = BigInt(version)
    const { lineage, generation } = parseOrigin(origin)
    raise(marks, lineage, {
      [sign === '+' ? 'later' : 'mark']: { generation, version: stamp },
      latest: latest === undefined ? stamp : BigInt(latest),
    })
  }
  return marks
}

function raise(marks: Marks, lineage: string, one: LineageMarks): void {
  const known = marks.get(lineage)
  const later = greater(known?.later, one.later)
  const mark = greater(known?.mark, one.mark)
  const places = [mark?.version ?? 0n, later?.version ?? 0n, known?.latest ?? 0n, one.latest]
  marks.set(lineage, {
    // A later mark covers all that a mark at the same place does.
    ...(mark === undefined || isUpTo(mark, later) ? {} : { mark }),
    ...(later === undefined ? {} : { later }),
    latest: places.reduce((a, b) => (a > b ? a : b)),
  })
}

function greater(a: Place | undefined, b: Place | undefined): Place | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return isUpTo(a, b) ? b : a
}

function encode(marks: Marks): string {
  return lasting([...marks])
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([lineage, { mark, later, latest }]) => {
      const spell = (sign: string, place: Place | undefined, until: bigint): string[] => {
        if (place === undefined) return []
        const { generation, version } = place
        const end = until > version ? `/${until}` : ''
        return [`${sign}${version}${end}@${formatOrigin({ lineage, generation })}`]
      }
      // One of the two tells the latest stamp.
      return [...spell('', mark, latest), ...spell('+', later, mark === undefined ? latest : 0n)]
    })
    .join(',')
}

/** Of too many, those whose stamps pass last; the same ones on every node. */
function lasting(marks: [string, LineageMarks][]): [string, LineageMarks][] {
  if (marks.length <= MAX_MARKS) return marks
  return marks
    .sort(([a, { latest: x }], [b, { latest: y }]) => {
      if (x !== y) return x > y ? -1 : 1
      return a < b ? -1 : 1
    })
    .slice(0, MAX_MARKS)
}
