import { describe, expect, test } from 'vitest'
import { readCorpus } from './corpus.ts'
import { generate, kindsNamed, play } from './simulation.ts'

describe('histories that failed once pass', () => {
  test.each(readCorpus())('$kind, seed $seed: $note', async ({ kind, seed, history }) => {
    if (history !== undefined) await play(history)
    const [known] = kindsNamed(kind)
    expect(known, `a kind of history named "${kind}"`).toBeDefined()
    if (known !== undefined) await play(generate(known, seed))
  })
})
