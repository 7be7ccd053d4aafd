/** All that runs histories: what scripts and tests import. */
import { generate } from './generate.ts'
import { type History, tellHistory } from './history.ts'
import { KINDS, type Kind } from './kinds.ts'
import { play } from './play.ts'
import { type Shrunk, shrink } from './shrink.ts'
import type { World } from './world.ts'

export { generate, type History, KINDS, type Kind, play, type Shrunk, shrink, tellHistory }

/** Plays the history of a seed. @throws Error naming the seed and what broke. */
export async function simulate(kind: Kind, seed: number): Promise<World> {
  try {
    return await play(generate(kind, seed))
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`${kind.name}, seed ${seed}: ${text}`, { cause })
  }
}

/** What a history fails with. */
export async function failureOf(history: History): Promise<Error | undefined> {
  try {
    await play(history)
    return undefined
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

/** Kinds whose name contains `part`, whatever the case. */
export function kindsNamed(part: string): readonly Kind[] {
  return KINDS.filter(({ name }) => name.toLowerCase().includes(part.toLowerCase()))
}
