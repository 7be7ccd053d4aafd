import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { generate, type History, kindsNamed, play } from './simulation.ts'

/** A history that failed once: as its seed, or as it was cut down. */
interface Kept {
  readonly note: string
  readonly kind: string
  readonly seed: number
  readonly history?: History
}

const CORPUS = JSON.parse(
  readFileSync(join(import.meta.dirname, 'corpus.json'), 'utf8'),
) as readonly Kept[]

describe('histories that failed once pass', () => {
  test.each(CORPUS)('$kind, seed $seed: $note', async ({ kind, seed, history }) => {
    if (history !== undefined) await play(history)
    const [known] = kindsNamed(kind)
    expect(known, `a kind of history named "${kind}"`).toBeDefined()
    if (known !== undefined) await play(generate(known, seed))
  })
})
