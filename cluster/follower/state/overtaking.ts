/** What a follower tells its leader of changes that later ones go up before (see `core/data/overtaken.ts`). Pure. */
import { MAX_OVERTAKEN } from '../../../src/core/data/overtaken.ts'

/** Names, and whether the leader has been told on this connection. The oldest are forgotten first. */
export type Overtaking = ReadonlyMap<string, boolean>

export function noteOvertaken(known: Overtaking, names: readonly string[]): Overtaking {
  const fresh = names.filter((name) => !known.has(name))
  if (fresh.length === 0) return known
  const all = [...known, ...fresh.map((name) => [name, false] as const)]
  return new Map(all.slice(-MAX_OVERTAKEN))
}

/** Those to be told with the next push. */
export function unsent(known: Overtaking): readonly string[] {
  return [...known].flatMap(([name, isSent]) => (isSent ? [] : [name]))
}

export function asSent(known: Overtaking): Overtaking {
  return new Map([...known].map(([name]) => [name, true]))
}
