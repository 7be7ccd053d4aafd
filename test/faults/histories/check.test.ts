/**
 * The checker of histories on histories made by hand: each fault that it is there for is flagged, with the
 * operations that show it, and good histories are not.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { askChecker, check, type Verdict, type Violation, whyNoChecker } from './checker.ts'
import { ednHistory } from './edn.ts'
import type { OperationLine } from './record.ts'
import { removeStories, SECOND, Story } from './story.ts'

const obstacle = whyNoChecker()

beforeAll(() => {
  if (obstacle !== undefined && process.env.CI === 'true') throw new Error(obstacle)
})
afterAll(removeStories)
beforeEach((context) => {
  if (obstacle !== undefined) context.skip(obstacle)
})

function found({ counts }: Verdict): Partial<Record<Violation, number>> {
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0))
}

describe('the checker flags', () => {
  it('an acknowledged write that is nowhere in the end', () => {
    const story = new Story()
    story.set('a', 'items/1')
    const verdict = story.end({}).judge()
    expect(found(verdict)).toEqual({ lost: 1 })
    expect(verdict.evidence[0]?.lines[0]).toContain('line 2: set items/1 v1 at a')
  })

  it('a write that lost unseen and that no node reports', () => {
    const story = new Story()
    story.set('a', 'items/1')
    const winner = story.set('b', 'items/1')
    expect(found(story.end({ 'items/1': winner }).judge())).toEqual({ lost: 1 })
    expect(askChecker(story.file)).toEqual([
      { id: 'v1', key: 'items/1', writeId: 'a:v1', node: 'a' },
    ])
  })

  it('a deleted value that came back', () => {
    const story = new Story()
    const value = story.set('a', 'items/1')
    story.read('b', 'items/1', value)
    story.write('b', 'items/1', 'delete')
    const verdict = story.end({ 'items/1': value }).judge()
    expect(found(verdict)).toEqual({ undone: 1 })
    expect(verdict.evidence[0]?.text).toContain('came back')
  })

  it('an update that an earlier value has replaced, over several nodes', () => {
    const story = new Story(['a', 'b', 'c'])
    const first = story.set('a', 'items/1')
    story.read('b', 'items/1', first)
    const second = story.set('b', 'items/1')
    story.read('c', 'items/1', second)
    story.write('c', 'items/1', 'patch')
    expect(found(story.end({ 'items/1': first }).judge())).toEqual({ undone: 1 })
  })

  it('a value that is absent in the end by a delete that was overwritten', () => {
    const story = new Story()
    story.set('a', 'items/1')
    story.write('a', 'items/1', 'delete')
    story.set('a', 'items/1')
    expect(found(story.end({}).judge())).toEqual({ undone: 1 })
  })

  it('a node that shows what it had replaced', () => {
    const story = new Story()
    const first = story.set('a', 'items/1')
    const second = story.set('a', 'items/1')
    story.read('a', 'items/1', first)
    expect(found(story.end({ 'items/1': second }).judge())).toEqual({ wentBack: 1 })
  })

  it('a patch that was made on what its node had replaced', () => {
    const story = new Story()
    const first = story.set('a', 'items/1')
    story.set('a', 'items/1')
    const patch = story.write('a', 'items/1', 'patch')
    story.read('a', 'items/1', patch, { seen: { id: patch, set: first, patch } })
    story.end({ 'items/1': { id: patch, set: first, patch } })
    expect(found(story.judge())).toEqual({ wentBack: 1 })
  })

  it('increments of which two were made on one value', () => {
    const story = new Story(['a', 'b'], { conditionalAck: '1' })
    const created = story.decide('a', 'once/n', null, { acked: '1' })
    const one = story.decide('a', 'once/n', created, { acked: '1' })
    const other = story.decide('b', 'once/n', created, { acked: '1' })
    story.lines.push({ type: 'fate', id: one, answer: { overriddenBy: { version: '1' } } })
    const verdict = story.end({ 'once/n': other }).judge()
    expect(found(verdict)).toEqual({ notLinearizable: 1 })
    expect(verdict.evidence[0]?.lines.join()).toContain(`once/n ${one} if it is ${created}`)
  })

  it('a key that is created twice, and a refusal that nothing explains', () => {
    const twice = new Story()
    twice.decide('a', 'once/n', null)
    const second = twice.decide('a', 'once/n', null)
    expect(found(twice.end({ 'once/n': second }).judge())).toEqual({ notLinearizable: 1 })
    const refused = new Story()
    refused.decide('a', 'once/n', null, { outcome: 'fail', status: 412, acked: null })
    expect(found(refused.end({}).judge())).toEqual({ notLinearizable: 1 })
  })

  it('values that nobody wrote, or that were refused, or that come before their time', () => {
    const foreign = new Story()
    foreign.set('a', 'items/1')
    expect(found(foreign.end({ 'items/1': 'foreign' }).judge())).toMatchObject({ unexplained: 1 })
    const refused = new Story()
    const value = refused.set('a', 'items/1', { outcome: 'fail', status: 400, acked: null })
    expect(found(refused.end({ 'items/1': value }).judge())).toEqual({ unexplained: 1 })
    const early = new Story()
    early.read('a', 'items/1', 'v2')
    const late = early.set('a', 'items/1')
    expect(found(early.end({ 'items/1': late }).judge())).toEqual({ unexplained: 1 })
  })

  it('nodes that differ in the end, are equal too late, or do not answer', () => {
    const differing = new Story()
    const value = differing.set('a', 'items/1')
    differing.end({ 'items/1': value })
    differing.lines.pop()
    differing.endAt('b', {})
    expect(found(differing.judge())).toEqual({ notConverged: 1 })
    const late = new Story()
    late.set('a', 'items/1')
    expect(found(late.end({ 'items/1': 'v1' }, 31).judge())).toEqual({ notConverged: 1 })
    const silent = new Story()
    silent.end({})
    silent.lines.pop()
    expect(found(silent.judge())).toEqual({ notConverged: 1 })
  })

  it('what was lost although only another node lost its disk, or its backup held it', () => {
    const other = new Story()
    other.set('a', 'items/1')
    other.event('wipe', 'b')
    expect(found(other.end({}).judge())).toEqual({ lost: 1 })
    const backed = new Story()
    backed.set('a', 'items/1')
    backed.event('backup', 'a', '1')
    backed.event('restore', 'a', '1')
    expect(found(backed.end({}).judge())).toEqual({ lost: 1 })
    const confirmed = new Story()
    confirmed.set('a', 'items/1', { acked: '1' })
    confirmed.event('wipe', 'a')
    expect(found(confirmed.end({}).judge())).toEqual({ lost: 1 })
  })
})

describe('the checker passes', () => {
  it('later writes, deletes and refusals in any order', () => {
    const story = new Story()
    const first = story.set('a', 'items/1')
    story.read('b', 'items/1', first)
    const last = story.set('b', 'items/1')
    story.read('a', 'items/1', first)
    story.set('a', 'items/2')
    story.write('a', 'items/2', 'delete')
    story.set('b', 'items/2', { outcome: 'fail', status: 400, acked: null })
    expect(found(story.end({ 'items/1': last }).judge())).toEqual({})
  })

  it('a patch made on an earlier value, which another patch had brought back', () => {
    const story = new Story()
    const first = story.set('a', 'items/1')
    story.read('b', 'items/1', first)
    const carrier = story.write('b', 'items/1', 'patch')
    story.set('a', 'items/1')
    story.read('a', 'items/1', carrier, { seen: { id: carrier, set: first, patch: carrier } })
    const patch = story.write('a', 'items/1', 'patch')
    story.end({ 'items/1': { id: patch, set: first, patch } })
    expect(found(story.judge())).toEqual({})
  })

  it('either of two concurrent writes, when the other is in a conflict log or reported', () => {
    for (const winner of ['v1', 'v2', 'v3']) {
      const story = new Story(['a', 'b', 'c'])
      for (const node of ['a', 'b', 'c']) story.set(node, 'items/1')
      const losers = ['v1', 'v2', 'v3'].filter((value) => value !== winner)
      const [logged = '', told = ''] = losers
      const data = { id: logged, set: logged }
      const entries = [{ key: 'items/1', data, writeId: 'x' }]
      story.lines.push({ type: 'conflicts', node: 'a', entries })
      story.lines.push({ type: 'fate', id: told, answer: { overriddenBy: { version: '1' } } })
      expect(found(story.end({ 'items/1': winner }).judge())).toEqual({})
    }
  })

  it('a delete that lost and that a conflict log names by its write', () => {
    const story = new Story()
    const first = story.set('a', 'items/1')
    story.read('b', 'items/1', first)
    const gone = story.write('a', 'items/1', 'delete')
    const winner = story.set('b', 'items/1')
    const entries = [{ key: 'items/1', data: null, writeId: `a:${gone}` }]
    story.lines.push({ type: 'conflicts', node: 'a', entries })
    expect(found(story.end({ 'items/1': winner }).judge())).toEqual({})
  })

  it('a loss that is reported nowhere, where clocks were wrong', () => {
    const story = new Story()
    story.event('clock', 'a')
    story.set('a', 'items/1')
    const winner = story.set('b', 'items/1')
    const verdict = story.end({ 'items/1': winner }).judge()
    expect(found(verdict)).toEqual({})
    expect(verdict.figures.unreportedWrongClock).toBe(1)
  })

  it('unanswered writes, whether they happened or not', () => {
    for (const final of ['v1', 'v2', null]) {
      const story = new Story()
      story.set('a', 'items/1')
      story.set('a', 'items/1', { outcome: 'unknown' })
      story.write('a', 'items/1', 'delete', { outcome: 'unknown' })
      expect(found(story.end({ 'items/1': final }).judge())).toEqual({})
    }
  })

  it('a push without an answer, whose key is known when its value is seen', () => {
    const story = new Story()
    const value = story.write('a', 'items/*', 'push', { outcome: 'unknown', key: null })
    expect(found(story.end({ 'items/18': value }).judge())).toEqual({})
  })

  it('what was only on a disk that was lost, and what a restored node wrote after its backup', () => {
    const wiped = new Story()
    wiped.set('a', 'items/1')
    wiped.event('wipe', 'a')
    expect(found(wiped.end({}).judge())).toEqual({})
    const restored = new Story()
    const first = restored.set('a', 'items/1')
    restored.event('backup', 'a', '1')
    restored.set('a', 'items/1')
    restored.event('restore', 'a', '1')
    restored.read('a', 'items/1', first)
    expect(found(restored.end({ 'items/1': first }).judge())).toEqual({})
  })

  it('increments in an order that only their values tell, with some unanswered', () => {
    const story = new Story()
    const created = story.decide('a', 'once/n', null)
    const maybe = story.decide('b', 'once/n', created, { outcome: 'unknown' })
    story.decide('a', 'once/n', created, { outcome: 'fail', status: 412, acked: null })
    const next = story.decide('a', 'once/n', maybe)
    story.write('a', 'once/n', 'delete', { ifMatch: '"x"', expects: next })
    const again = story.decide('b', 'once/n', null, { at: 'a' })
    expect(found(story.end({ 'once/n': again }).judge())).toEqual({})
  })

  it('concurrent increments of which one is refused, whichever was asked first', () => {
    const story = new Story()
    const created = story.decide('a', 'once/n', null)
    const overlap = { invoke: 10 * SECOND, complete: 12 * SECOND }
    story.decide('a', 'once/n', created, { ...overlap, outcome: 'fail', status: 412 })
    const won = story.decide('b', 'once/n', created, { ...overlap, at: 'a', invoke: 11 * SECOND })
    expect(found(story.end({ 'once/n': won }).judge())).toEqual({})
  })

  it('decisions that were not confirmed as the round asks, and then lost', () => {
    const story = new Story(['a', 'b'], { conditionalAck: '1' })
    const created = story.decide('a', 'once/n', null, { acked: '1' })
    const unconfirmed = story.decide('a', 'once/n', created)
    const next = story.decide('b', 'once/n', created, { acked: '1' })
    story.lines.push({ type: 'fate', id: unconfirmed, answer: { overriddenBy: { version: '1' } } })
    expect(found(story.end({ 'once/n': next }).judge())).toEqual({})
  })
})

describe('the checker itself', () => {
  it('says what it can not read', () => {
    expect(() => check('none.jsonl')).toThrow(/none\.jsonl/)
    const story = new Story()
    story.lines.push({ type: 'nonsense' })
    expect(() => story.judge()).toThrow(/nonsense/)
  })
})

describe('the history for other checkers', () => {
  it('has an invocation and a completion of each operation, in order, by processes that live once', () => {
    const story = new Story()
    const first = story.set('a', 'items/1', { outcome: 'unknown' })
    story.read('b', 'items/1', first)
    story.decide('b', 'items/1', first)
    story.write('a', 'items/1', 'delete')
    const operations = story.lines.filter((line): line is OperationLine => line.type === 'op')
    const lines = ednHistory(operations).trim().split('\n')
    const told = lines.map((line) => {
      const part = (name: string): string | undefined =>
        new RegExp(`:${name} (\\S+),`).exec(line)?.[1]
      return [part('type'), part('process'), /:value (.*), :node/.exec(line)?.[1]]
    })
    expect(told).toEqual([
      [':invoke', '0', '[[:w "items/1" "v1"]]'],
      [':invoke', '10000', '[[:r "items/1" nil]]'],
      [':ok', '10000', '[[:r "items/1" "v1"]]'],
      [':invoke', '10000', '[[:r "items/1" nil] [:w "items/1" "v3"]]'],
      [':ok', '10000', '[[:r "items/1" "v1"] [:w "items/1" "v3"]]'],
      [':invoke', '10000', '"items/1"'],
      [':ok', '10000', '"items/1"'],
      [':info', '0', '[[:w "items/1" "v1"]]'],
    ])
  })
})
