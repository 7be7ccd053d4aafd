/**
 * Plays histories on an engine with a planted bug. The bug is put in while the sources are loaded;
 * no file changes.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Plugin, runnerImport } from 'vite'
import { readCorpus } from './corpus.ts'
import type { Mutant } from './mutants.ts'
import type * as Simulation from './simulation.ts'

const ROOT = join(import.meta.dirname, '..', '..')

/** What became of a mutant. */
export interface Verdict {
  readonly mutant: string
  /** How it was noticed; undefined when it was not. */
  readonly caught:
    | { readonly kind: string; readonly seed: number; readonly error: string }
    | undefined
  /** Histories played. */
  readonly played: number
}

/** @throws Error unless the text to replace occurs exactly once. */
export function assertFits({ name, file, find }: Mutant): void {
  const times = readFileSync(join(ROOT, file), 'utf8').split(find).length - 1
  if (times === 1) return
  throw new Error(`mutant "${name}": the text to replace occurs ${times} times in ${file}`)
}

/**
 * Plays what failed once of these kinds, then the same seed of all of them, seed after seed, until one fails or
 * `seeds` have been played.
 */
export async function catchMutant(mutant: Mutant, seeds: number): Promise<Verdict> {
  assertFits(mutant)
  const { module } = await runnerImport<typeof Simulation>(
    join(ROOT, 'test/simulation/simulation.ts'),
    { plugins: [planted(mutant)], logLevel: 'silent' },
  )
  const failures = new Failures()
  try {
    return await playAll(mutant, module, seeds, failures)
  } finally {
    failures.end()
  }
}

async function playAll(
  mutant: Mutant,
  simulation: typeof Simulation,
  seeds: number,
  failures: Failures,
): Promise<Verdict> {
  let played = 0
  for (const { kind, seed, history } of histories(mutant, simulation, seeds)) {
    played++
    const failure = await simulation.failureOf(history)
    const error = failure ?? failures.take()
    if (error === undefined) continue
    const caught = { kind, seed, error: error.message.slice(0, 200) }
    return { mutant: mutant.name, caught, played }
  }
  return { mutant: mutant.name, caught: undefined, played }
}

interface Candidate {
  readonly kind: string
  readonly seed: number
  readonly history: Simulation.History
}

function* histories(
  { kinds: wanted = '' }: Mutant,
  simulation: typeof Simulation,
  seeds: number,
): Generator<Candidate> {
  const kinds = simulation.kindsNamed(wanted)
  for (const { kind: name, seed, history } of readCorpus()) {
    const kind = kinds.find((each) => each.name === name)
    if (kind !== undefined)
      yield { kind: name, seed, history: history ?? simulation.generate(kind, seed) }
  }
  for (let seed = 1; seed <= seeds; seed++) {
    for (const kind of kinds) {
      yield { kind: kind.name, seed, history: simulation.generate(kind, seed) }
    }
  }
}

/** Promises that an engine with a bug leaves unhandled count as noticed. */
class Failures {
  #error: Error | undefined
  readonly #hear = (error: unknown): void => {
    this.#error ??= error instanceof Error ? error : new Error(String(error))
  }

  constructor() {
    process.on('unhandledRejection', this.#hear)
  }

  take(): Error | undefined {
    const error = this.#error
    this.#error = undefined
    return error
  }

  end(): void {
    process.off('unhandledRejection', this.#hear)
  }
}

function planted({ file, find, replace }: Mutant): Plugin {
  const path = join(ROOT, file)
  return {
    name: 'planted-bug',
    enforce: 'pre',
    transform: (code, id) => (id === path ? code.replace(find, () => replace) : undefined),
  }
}
