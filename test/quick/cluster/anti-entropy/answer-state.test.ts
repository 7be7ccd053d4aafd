import { describe, expect, test } from 'vitest'
import type { AnswerEvent, Answers } from '../../../../cluster/anti-entropy/answer-state.ts'
import { NO_ANSWERS, stepAnswers } from '../../../../cluster/anti-entropy/answer-state.ts'
import type { ComparisonMessage } from '../../../../src/core/wire/comparison.ts'
import { entry, LIMITS } from '../../../cluster/fixtures.ts'
import { SeededRandom } from '../../../support/seeded-random.ts'

const SCOPES = ['items/*']
const set = { path: 'items/*', except: [] }
const want: ComparisonMessage = { t: 'want', n: 2, set, nodes: [''], after: 4, parts: 0 }
const ask: ComparisonMessage = { t: 'ask', n: 1, set, nodes: [''] }
const HASH = '0123456789abcdef'

function step(answers: Answers, event: AnswerEvent) {
  return stepAnswers(answers, event, SCOPES, LIMITS)
}

function hear(answers: Answers, message: ComparisonMessage) {
  return step(answers, { type: 'comparison', message })
}

function page(bytes: number, last = false): Extract<AnswerEvent, { type: 'found' }> {
  const records = last ? [] : [entry('items/a', 1)]
  return { type: 'found', n: 2, head: 9, page: { records, fresh: 0, lacks: '', last, bytes } }
}

describe('refused, with what was wrong', () => {
  const other = { path: 'secrets/*', except: [] }
  const opened = hear(NO_ANSWERS, want).answers
  test.each<[string, Answers, ComparisonMessage, string]>([
    ['two questions at a time', hear(NO_ANSWERS, ask).answers, ask, 'two questions'],
    ['two exchanges at a time', opened, want, 'two exchanges'],
    ['digests of what it does not follow', NO_ANSWERS, { ...ask, set: other }, '"secrets/*"'],
    ['records it does not follow', NO_ANSWERS, { ...want, set: other }, '"secrets/*"'],
    ['too many messages', NO_ANSWERS, { ...want, parts: 65_537 }, 'limit is 65536'],
    ['hashes nobody awaits', opened, { t: 'have', n: 2, hashes: HASH }, 'awaits none'],
    ['hashes without an exchange', NO_ANSWERS, { t: 'have', n: 2, hashes: '' }, 'awaits none'],
    ['a part that was not sent', opened, { t: 'taken', n: 2, part: 1 }, 'only 0 were sent'],
  ])('%s', (_name, answers, message, part) => {
    expect(hear(answers, message).refusal).toContain(part)
  })

  test('more hashes than one exchange may have', () => {
    const opened = hear(NO_ANSWERS, { ...want, parts: 3 }).answers
    const full: ComparisonMessage = { t: 'have', n: 2, hashes: HASH.repeat(65_536) }
    const one: ComparisonMessage = { t: 'have', n: 2, hashes: HASH }
    const gathered = hear(opened, full)
    expect(gathered.refusal).toBeUndefined()
    expect(hear(gathered.answers, one).refusal).toBe('65537 hashes, the limit is 65536')
  })
})

test('the search begins when all hashes have come', () => {
  const opened = hear(NO_ANSWERS, { ...want, parts: 1 })
  expect(opened.effects.map(({ type }) => type)).toEqual(['open'])
  const gathered = hear(opened.answers, { t: 'have', n: 2, hashes: HASH })
  expect(gathered.effects.map(({ type }) => type)).toEqual(['gather', 'search'])
})

test('the last part ends the exchange, so that the next may begin', () => {
  const ended = step(hear(NO_ANSWERS, want).answers, page(0, true))
  expect(ended.answers).toEqual(NO_ANSWERS)
  expect(hear(ended.answers, { t: 'taken', n: 2, part: 1 }).refusal).toBeUndefined()
  expect(hear(ended.answers, { ...want, n: 3 }).refusal).toBeUndefined()
})

test('whatever the follower does, one page is searched for at a time and the window is kept', () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = new SeededRandom(seed)
    let { answers } = hear(NO_ANSWERS, want)
    let searches = 1
    let sent = 0
    let taken = 0
    const sizes: number[] = []
    for (let i = 0; i < 100; i++) {
      const isFound = searches > 0 && random.chance(0.6)
      if (!isFound && taken === sent) continue
      const bytes = random.below(LIMITS.messageBytes)
      if (isFound) {
        searches--
        sent++
        sizes.push(bytes)
      } else taken += 1 + random.below(sent - taken)
      const next = isFound
        ? step(answers, page(bytes))
        : hear(answers, { t: 'taken', n: 2, part: taken })
      answers = next.answers
      searches += next.effects.filter(({ type }) => type === 'search').length
      const open = sizes.slice(taken).reduce((sum, size) => sum + size, 0)
      expect(searches, `seed ${seed}`).toBeLessThanOrEqual(1)
      expect(open, `seed ${seed}`).toBeLessThan(LIMITS.windowBytes + LIMITS.messageBytes)
      if (taken === sent) expect(searches, `seed ${seed}`).toBe(1)
    }
  }
})
