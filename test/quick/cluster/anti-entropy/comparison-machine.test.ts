import { describe, expect, test } from 'vitest'
import type { Comparison, ComparisonStep } from '../../../../cluster/anti-entropy/comparison.ts'
import {
  beginComparison,
  hasEnded,
  stepComparison,
} from '../../../../cluster/anti-entropy/comparison.ts'
import type {
  ComparisonEffect,
  ComparisonEvent,
} from '../../../../cluster/anti-entropy/comparison-events.ts'
import type { Digest } from '../../../../src/core/data/digest.ts'
import type { Found } from '../../../../src/core/wire/comparison.ts'
import { entry, LIMITS } from '../../../cluster/fixtures.ts'
import { SeededRandom } from '../../../support/seeded-random.ts'

const SETS = [
  { path: 'items/*', except: [] },
  { path: 'users/*', except: ['users/x'] },
]
const context = { limits: LIMITS, applied: 4 }
const A: Digest = { count: 40, high: 1, low: 1 }
const B: Digest = { count: 10, high: 2, low: 2 }
const NONE: Digest = { count: 0, high: 0, low: 0 }

function begin(isFirst = false): ComparisonStep {
  return beginComparison(SETS, isFirst, 0, context)
}

function found(n: number, part: number, last: boolean): ComparisonEvent {
  const records = last ? [] : [entry('items/a', 1)]
  const message: Found = { t: 'found', n, part, head: 9, records, fresh: 0, lacks: '', last }
  return { type: 'found', message }
}

function told(n: number, theirs: Digest, ours: Digest, count = 1): ComparisonEvent {
  const all = (digest: Digest) => Array.from({ length: count }, () => digest)
  return { type: 'digestsReceived', n, theirs: all(theirs), ours: all(ours) }
}

function run(step: ComparisonStep, events: readonly ComparisonEvent[]): ComparisonStep {
  return events.reduce((last, event) => {
    if (last.comparison === undefined) throw new Error('the leader broke the protocol')
    return stepComparison(last.comparison, event, context)
  }, step)
}

describe('a comparison', () => {
  test('of equal sets asks for each root and ends', () => {
    const end = run(begin(), [told(1, A, A), told(2, B, B)])
    expect(end.effects).toEqual([])
    expect(end.comparison && hasEnded(end.comparison)).toBe(true)
    expect(end.comparison?.tally).toMatchObject({ sets: 2, done: 2, differing: 0 })
  })

  test('tells the place that was applied before the hashes were read', () => {
    const hashing = run(begin(), [told(1, A, B)])
    expect(hashing.effects).toMatchObject([{ type: 'hash', n: 2, nodes: [''] }])
    if (hashing.comparison === undefined) throw new Error('ended')
    const event: ComparisonEvent = { type: 'hashed', n: 2, hashes: '0123456789abcdef' }
    const later = stepComparison(hashing.comparison, event, { ...context, applied: 7 })
    expect(later.effects).toMatchObject([
      { message: { t: 'want', n: 2, after: 4, parts: 1 } },
      { message: { t: 'have', n: 2, hashes: '0123456789abcdef' } },
    ])
  })

  test('of what the leader has nothing of asks for all there is, and tells no hash, the first time', () => {
    const first = run(begin(true), [told(1, NONE, A)])
    expect(first.effects).toMatchObject([{ message: { t: 'want', nodes: [''], parts: 0 } }])
    const take = run(first, [found(2, 1, true)])
    expect(take.effects).toMatchObject([{ type: 'take', isAll: true }])
    expect(run(begin(false), [told(1, NONE, A)]).effects).toMatchObject([{ type: 'ask', n: 2 }])
  })

  test('counts what came, what of it was news, and what the leader lacked', () => {
    const took = { type: 'took', n: 2, applied: 1, pending: 0 } as const
    const end = run(begin(), [
      told(1, A, B),
      { type: 'hashed', n: 2, hashes: '' },
      found(2, 1, false),
      { ...took, part: 1, last: false },
      found(2, 2, true),
      { ...took, part: 2, last: true, applied: 0, pending: 3 },
    ])
    expect(end.comparison?.tally).toEqual({
      sets: 2,
      done: 1,
      differing: 1,
      received: 1,
      applied: 1,
      pending: 3,
    })
    expect(end.effects).toMatchObject([
      { message: { t: 'taken', n: 2, part: 2 } },
      { type: 'ask', n: 3, set: SETS[1] },
    ])
  })
})

describe('a reply that was not asked for is a violation', () => {
  const asking = begin()
  const receiving = run(asking, [told(1, A, B), { type: 'hashed', n: 2, hashes: '' }])
  test.each<[string, ComparisonStep, ComparisonEvent]>([
    ['digests of another question', asking, told(9, A, A)],
    ['digests of more nodes than asked', asking, told(1, A, A, 2)],
    ['digests in an exchange', receiving, told(2, A, A)],
    ['records before any exchange', asking, found(1, 1, true)],
    ['records of another exchange', receiving, found(1, 1, true)],
    ['a part left out', receiving, found(2, 2, true)],
    ['a part after the last', run(receiving, [found(2, 1, true)]), found(2, 2, true)],
  ])('%s', (_name, { comparison }, event) => {
    if (comparison === undefined) throw new Error('ended')
    expect(stepComparison(comparison, event, context).comparison).toBeUndefined()
  })
})

test('whatever is found, one thing is under way at a time, numbers rise, and it ends', () => {
  for (let seed = 1; seed <= 500; seed++) {
    const random = new SeededRandom(seed)
    let { comparison, effects } = begin(random.chance(0.5))
    let greatest = 0
    for (let i = 0; !(comparison !== undefined && hasEnded(comparison)); i++) {
      if (comparison === undefined || i > 20_000) throw new Error(`seed ${seed}: it did not end`)
      const begun = effects.filter(isQuestion)
      expect(begun.length, `seed ${seed}`).toBeLessThanOrEqual(1)
      for (const n of begun.map(numberOf)) {
        expect(n, `seed ${seed}`).toBeGreaterThan(greatest)
        greatest = n
      }
      const step: ComparisonStep = stepComparison(comparison, answerTo(comparison, random), context)
      comparison = step.comparison
      effects = step.effects
    }
    expect(comparison.tally.done).toBe(2)
  }
})

/** An effect by which something new begins. */
function isQuestion(effect: ComparisonEffect): boolean {
  return effect.type === 'ask' || effect.type === 'hash'
}

function numberOf(effect: ComparisonEffect): number {
  return effect.type === 'send' ? effect.message.n : effect.n
}

/** What may come next, by the phase that it is in. */
function answerTo({ n, phase }: Comparison, random: SeededRandom): ComparisonEvent {
  switch (phase.kind) {
    case 'asking': {
      const draw = () =>
        phase.walk.asked.map(() => (random.chance(0.8) ? A : random.pick([B, NONE])))
      return { type: 'digestsReceived', n, theirs: draw(), ours: draw() }
    }
    case 'hashing':
      return { type: 'hashed', n, hashes: '0123456789abcdef'.repeat(random.below(60)) }
    case 'receiving': {
      const { part, ended } = phase
      const isTaken = part > 0 && (ended || random.chance(0.5))
      if (isTaken) return { type: 'took', n, part, last: ended, applied: 1, pending: 0 }
      return found(n, part + 1, random.chance(0.5))
    }
  }
}
