/**
 * Marks of a key: which of its records are older than their stamps say. A node that gives a record a
 * lesser stamp leaves a mark on the key, and whoever holds the record under its first stamp gives way
 * to everything that carries the mark.
 *
 * A mark is a place in what one lineage has written under the key (see `origin.ts`): it covers every
 * record of an earlier generation, and those of its own generation up to its version. Marks belong to
 * the key: a merge keeps the union of both sides, per lineage the later place, so a key has at most one
 * mark per node that ever had a wrong clock. Beyond `MAX_MARKS` those whose stamps pass first are left
 * out.
 *
 * As text: `<version>[/<latest>]@<origin>` joined by commas, lineages ascending. `latest` is the greatest
 * stamp that any mark of the lineage has had, where that is greater: a tombstone is kept until then.
 */
import { LATEST_STAMP } from './clock.ts'
import { formatOrigin, type Origin, parseOrigin } from './origin.ts'

/** Marks of one key at most: so many nodes with wrong clocks are told apart. */
export const MAX_MARKS = 32

/** A change, named by who made it and its stamp. */
export interface ChangeName {
  readonly origin: string
  readonly version: bigint
}

interface Mark extends Origin {
  readonly version: bigint
  readonly latest: bigint
}

const MARK = /^(\d{1,19})(?:\/(\d{1,19}))?@([^\s,@]{1,128})$/

/**
 * Marks from another node or a file, in their one spelling; undefined for a text that is none.
 * An empty text is none.
 */
export function canonicalMarks(text: unknown): string | undefined {
  if (typeof text !== 'string') return undefined
  const parts = text.split(',')
  if (parts.length > MAX_MARKS || !parts.every((part) => MARK.test(part))) return undefined
  const marks = parse(text)
  const isInRange = [...marks.values()].every(({ latest }) => latest <= LATEST_STAMP)
  return isInRange ? encode(marks) : undefined
}

/** The marks that either side has. */
export function unionMarks(a: string | undefined, b: string | undefined): string | undefined {
  if (a === b || b === undefined) return a
  if (a === undefined) return b
  const marks = parse(a)
  for (const mark of parse(b).values()) raise(marks, mark)
  return encode(marks)
}

/** `marks` and one for each of these changes. */
export function addMarks(
  marks: string | undefined,
  changes: readonly ChangeName[],
): string | undefined {
  const all = parse(marks)
  for (const { origin, version } of changes) {
    raise(all, { ...parseOrigin(origin), version, latest: version })
  }
  return all.size === 0 ? undefined : encode(all)
}

/** Whether the change is older than its stamp says: a mark covers it. */
export function isCovered(marks: string | undefined, { origin, version }: ChangeName): boolean {
  if (marks === undefined) return false
  const { lineage, generation } = parseOrigin(origin)
  const mark = parse(marks).get(lineage)
  if (mark === undefined) return false
  return generation < mark.generation || (generation === mark.generation && version <= mark.version)
}

/** The greatest stamp that a covered record can have; 0n without marks. */
export function latestOfMarks(marks: string | undefined): bigint {
  let latest = 0n
  for (const mark of parse(marks).values()) if (mark.latest > latest) latest = mark.latest
  return latest
}

function parse(text: string | undefined): Map<string, Mark> {
  const marks = new Map<string, Mark>()
  for (const part of text === undefined ? [] : text.split(',')) {
    const [, version, latest, origin] = MARK.exec(part) ?? []
    if (version === undefined || origin === undefined) continue
    const stamp = BigInt(version)
    raise(marks, {
      ...parseOrigin(origin),
      version: stamp,
      latest: latest === undefined ? stamp : BigInt(latest),
    })
  }
  return marks
}

function raise(marks: Map<string, Mark>, mark: Mark): void {
  const known = marks.get(mark.lineage)
  if (known === undefined) {
    marks.set(mark.lineage, mark)
    return
  }
  const latest = known.latest > mark.latest ? known.latest : mark.latest
  marks.set(mark.lineage, { ...later(known, mark), latest })
}

function later(a: Mark, b: Mark): Mark {
  if (a.generation !== b.generation) return a.generation > b.generation ? a : b
  return a.version > b.version ? a : b
}

function encode(marks: ReadonlyMap<string, Mark>): string {
  return lasting([...marks.values()])
    .sort((a, b) => (a.lineage < b.lineage ? -1 : 1))
    .map((mark) => {
      const { version, latest } = mark
      return `${version}${latest > version ? `/${latest}` : ''}@${formatOrigin(mark)}`
    })
    .join(',')
}

/** Of too many, those whose stamps pass last; the same ones on every node. */
function lasting(marks: Mark[]): Mark[] {
  if (marks.length <= MAX_MARKS) return marks
  return marks
    .sort((a, b) =>
      a.latest !== b.latest ? (a.latest > b.latest ? -1 : 1) : a.lineage < b.lineage ? -1 : 1,
    )
    .slice(0, MAX_MARKS)
}
