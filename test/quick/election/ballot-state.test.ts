import { describe, expect, it } from 'vitest'
import {
  type BallotContext,
  type BallotEvent,
  type BallotPhase,
  type BallotState,
  type BallotStep,
  counts,
  done,
  keeps,
  stepBallot,
} from '../../../cluster/election/voters/ballot-state.ts'
import { isLaterList, isMajority, type VoterList } from '../../../src/core/voter-list.ts'
import type { Vote } from '../../../src/core/wire/voting.ts'
import { SeededRandom } from '../../support/seeded-random.ts'

const LIST: VoterList = { voters: ['a', 'b', 'c'], lease: 1, change: 4 }
const LATER: VoterList = { voters: ['b', 'c'], lease: 5, change: 5 }
const FOUNDER: VoterList = { voters: ['a', 'b', 'c'], lease: 7, change: 1 }
const CHANGING: VoterList = {
  ...{ voters: ['a', 'b', 'c', 'd'], before: ['a', 'b', 'c'], lease: 7, change: 5 },
}

const context = (cursors: Record<string, number> = {}): BallotContext => ({
  head: 9,
  cursorOf: (id) => cursors[id] ?? 0,
})
const CAUGHT_UP = context({ 's-b': 9, 's-c': 9, 's-d': 9 })

const vote = (name: string, more: Partial<Vote> = {}): Extract<BallotEvent, { type: 'vote' }> => ({
  type: 'vote',
  id: `s-${name}`,
  node: `n-${name}`,
  vote: {
    ...{ t: 'vote', n: 7, name, held: true, whole: true, durable: true, refused: 0 },
    ...{ voters: LIST, ceiling: 0n },
    ...more,
  },
})

const gathering: BallotState = {
  phase: 'gathering',
  n: 7,
  self: 'a',
  isWhole: true,
  list: LIST,
  isSaved: false,
  founder: undefined,
  said: new Map(),
  connected: new Map(),
  issuedAt: undefined,
  isEarly: false,
  hasFounded: false,
  isWaiting: false,
}
const fresh: BallotState = {
  ...{ ...gathering, list: undefined, isWhole: false, founder: FOUNDER, isEarly: true },
}

/** It begins a list for itself, and waits for others to be in it. */
const waiting: BallotState = {
  ...{ ...fresh, founder: { ...FOUNDER, voters: ['a'], isOpen: true }, isWaiting: true },
}

/** The state after events, each of which may be anything that was under way. */
function run(state: BallotState, ...events: BallotEvent[]): BallotState {
  return events.reduce((before, event) => stepBallot(before, event, CAUGHT_UP).state, state)
}

const founding = run(fresh, vote('b', { voters: undefined, whole: false }))
const marking = run(
  founding,
  { type: 'saved', list: { ...FOUNDER, isFounding: true } },
  vote('b', { voters: { ...FOUNDER, isFounding: true } }),
)
const deciding = run(gathering, vote('b'), { type: 'saved', list: LIST })
const STATES: Record<BallotPhase, BallotState> = { gathering, founding, marking, deciding }

const EVENTS = {
  'vote: held': vote('b'),
  'vote: not held': vote('b', { held: false }),
  'vote: not whole': vote('b', { whole: false }),
  'vote: nothing stored': vote('c', { voters: undefined, whole: false }),
  'vote: of an earlier grant': vote('b', { n: 6 }),
  'vote: later list': vote('b', { voters: LATER }),
  'vote: own name': vote('a'),
  left: { type: 'left', id: 's-b', name: 'b' },
  progress: { type: 'progress' },
  saved: { type: 'saved', list: LIST },
  marked: { type: 'marked', list: FOUNDER },
  add: { type: 'change', how: 'add', name: 'd' },
  'add: there': { type: 'change', how: 'add', name: 'b' },
  remove: { type: 'change', how: 'remove', name: 'c' },
  found: { type: 'found', voters: ['a'] },
  settled: { type: 'settled' },
  gathered: { type: 'gathered' },
} satisfies Record<string, BallotEvent>

function short({ state, effects }: BallotStep): string {
  const told = effects.map((effect) => {
    if (effect.type === 'save')
      return `save ${tellList(effect.list)}${effect.isWhole ? '' : ' lost'}`
    if (effect.type === 'mark') return `mark ${tellList(effect.list)}`
    return effect.type
  })
  return `${state.phase}: ${told.join(', ')}`
}

function tellList({ lease, change, voters, before, isFounding }: VoterList): string {
  const was = before === undefined ? '' : ` before ${before.join('')}`
  return `${lease}.${change} ${voters.join('')}${was}${isFounding ? ' founding' : ''}`
}

const TABLE: Record<BallotPhase, Record<keyof typeof EVENTS, string>> = {
  gathering: {
    'vote: held': 'deciding: save 1.4 abc, report',
    'vote: not held': 'gathering: ',
    'vote: not whole': 'gathering: ',
    'vote: nothing stored': 'gathering: ',
    'vote: of an earlier grant': 'gathering: ',
    'vote: later list': 'gathering: ',
    'vote: own name': 'gathering: twin',
    left: 'gathering: ',
    progress: 'gathering: ',
    saved: 'gathering: ',
    marked: 'gathering: ',
    add: 'gathering: refuse',
    'add: there': 'gathering: refuse',
    remove: 'gathering: refuse',
    found: 'founding: save 7.5 a founding, report',
    settled: 'gathering: ',
    gathered: 'gathering: ',
  },
  founding: {
    // Its own disk was new, or it had known of that list.
    'vote: held': 'gathering: save 1.4 abc lost, report',
    'vote: not held': 'gathering: save 1.4 abc lost, report',
    'vote: not whole': 'gathering: save 1.4 abc lost, report',
    'vote: nothing stored': 'founding: ',
    'vote: of an earlier grant': 'founding: ',
    'vote: later list': 'gathering: save 5.5 bc lost, report',
    'vote: own name': 'founding: twin',
    left: 'founding: ',
    progress: 'founding: ',
    saved: 'founding: ',
    marked: 'founding: ',
    add: 'founding: refuse',
    'add: there': 'founding: refuse',
    remove: 'founding: refuse',
    found: 'founding: save 7.2 a founding, report',
    settled: 'founding: ',
    gathered: 'founding: ',
  },
  marking: {
    'vote: held': 'marking: ',
    'vote: not held': 'marking: ',
    'vote: not whole': 'marking: ',
    'vote: nothing stored': 'marking: ',
    'vote: of an earlier grant': 'marking: ',
    'vote: later list': 'marking: ',
    'vote: own name': 'marking: twin',
    left: 'marking: ',
    progress: 'marking: ',
    saved: 'marking: ',
    marked: 'deciding: save 7.1 abc, report',
    add: 'marking: refuse',
    'add: there': 'marking: refuse',
    remove: 'marking: refuse',
    found: 'founding: save 7.2 a founding, report',
    settled: 'marking: ',
    gathered: 'marking: ',
  },
  deciding: {
    'vote: held': 'deciding: ',
    'vote: not held': 'deciding: ',
    'vote: not whole': 'deciding: ',
    'vote: nothing stored': 'deciding: ',
    'vote: of an earlier grant': 'deciding: ',
    'vote: later list': 'deciding: save 7.6 abc, report',
    'vote: own name': 'deciding: twin',
    left: 'deciding: ',
    progress: 'deciding: ',
    saved: 'deciding: ',
    marked: 'deciding: ',
    // Two of four are no majority.
    add: 'deciding: refuse',
    'add: there': 'deciding: refuse',
    remove: 'deciding: save 7.5 ab before abc',
    found: 'founding: save 7.5 a founding, report',
    settled: 'deciding: ',
    gathered: 'deciding: ',
  },
}

describe('the machine of a ballot', () => {
  for (const [phase, row] of Object.entries(TABLE)) {
    it(`in phase ${phase} does what the table says`, () => {
      const state = STATES[phase as BallotPhase]
      expect(state.phase).toBe(phase)
      const got = Object.entries(EVENTS).map(([name, event]) => [
        name,
        short(stepBallot(state, event, CAUGHT_UP)),
      ])
      expect(Object.fromEntries(got)).toEqual(row)
    })
  }

  it('counts who has said so once, also when it has gone since', () => {
    const list = { ...LIST, voters: ['a', 'b', 'c', 'd', 'e'] }
    const left = { type: 'left', id: 's-b', name: 'b' } as const
    const one = run({ ...gathering, list }, vote('b', { voters: list }), left)
    expect([one.phase, counts(one, 'b'), keeps(one, 'b')]).toEqual(['gathering', true, false])
    expect(run(one, vote('c', { voters: list })).phase).toBe('deciding')
  })

  it('does not count itself when its disk is not whole, and does once it decides', () => {
    const wiped = { ...gathering, isWhole: false }
    const one = run(wiped, vote('b'))
    expect([one.phase, counts(one, 'a')]).toEqual(['gathering', false])
    const both = run(one, vote('c'))
    expect([both.phase, counts(both, 'a')]).toEqual(['deciding', true])
  })

  it('that is of no voter needs a majority of the others', () => {
    const guest = { ...gathering, self: 'x' }
    expect(run(guest, vote('b')).phase).toBe('gathering')
    expect(run(guest, vote('b'), vote('c')).phase).toBe('deciding')
  })

  it('decides alone by a list of itself, once the lease keeps that', () => {
    const alone = { ...FOUNDER, voters: ['a'], isOpen: true as const }
    const start = { ...fresh, founder: alone }
    const founded = { ...alone, isFounding: true as const }
    const events: BallotEvent[] = [
      { type: 'progress' },
      { type: 'saved', list: founded },
      { type: 'marked', list: alone },
    ]
    const steps = events.map((_, i) => run(start, ...events.slice(0, i + 1)))
    expect(steps.map(({ phase }) => phase)).toEqual(['founding', 'marking', 'deciding'])
  })

  it('takes a list from a later grant before it decides, and needs that one’s majority', () => {
    const heard = run(gathering, vote('c', { voters: LATER }))
    expect([heard.phase, heard.list]).toEqual(['gathering', LATER])
    expect(run(heard, vote('b', { voters: LATER })).phase).toBe('deciding')
  })

  it('ends a change once majorities of both lists have stored it and hold what was there', () => {
    const ready = run(deciding, vote('c'), { type: 'change', how: 'add', name: 'd' })
    const saved = run(ready, { type: 'saved', list: CHANGING })
    expect(saved.list).toEqual(CHANGING)
    const two = run(saved, vote('b', { voters: CHANGING }))
    expect(two.list).toEqual(CHANGING)
    // The third of four has stored it, and lacks a row of the log.
    const behind = context({ 's-b': 9, 's-c': 8 })
    const late = stepBallot(two, vote('c', { voters: CHANGING }), behind).state
    expect(late.list).toEqual(CHANGING)
    const { state, effects } = stepBallot(late, { type: 'progress' }, CAUGHT_UP)
    expect(state.list).toEqual(done(CHANGING))
    expect(effects.map(({ type }) => type)).toEqual(['save', 'mark', 'report'])
  })

  it('refuses a change that would leave too few who can vote', () => {
    const { state, effects } = stepBallot(
      deciding,
      { type: 'change', how: 'remove', name: 'b' },
      CAUGHT_UP,
    )
    expect(state).toBe(deciding)
    expect(effects).toMatchObject([
      { type: 'refuse', reason: expect.stringContaining('missing: c') },
    ])
  })

  it('takes in who joins an open list while there are fewer than three, one after the other', () => {
    const alone = { voters: ['a'], lease: 7, change: 1, isOpen: true as const }
    const start: BallotState = { ...deciding, list: alone, said: new Map(), connected: new Map() }
    const joined = run(start, vote('b', { voters: alone }), vote('c', { voters: alone }))
    expect(joined.list).toMatchObject({ voters: ['a', 'b'], before: ['a'] })
    const pair = { ...alone, voters: ['a', 'b'], before: ['a'], change: 2 }
    const stored = run(joined, { type: 'saved', list: pair }, vote('b', { voters: pair }))
    expect(stored.list).toMatchObject({ voters: ['a', 'b'] })
    expect(stored.list?.before).toBeUndefined()
    const third = run(stored, { type: 'saved', list: done(pair) })
    expect(third.list).toMatchObject({ voters: ['a', 'b', 'c'], before: ['a', 'b'] })
    const full = { ...start, list: { ...alone, voters: ['a', 'b', 'c'] } }
    expect(run(full, vote('d', { voters: full.list })).list).toEqual(full.list)
    expect(run({ ...full, isEarly: true }, vote('d', { voters: full.list })).list).toMatchObject({
      voters: ['a', 'b', 'c', 'd'],
    })
  })

  it('begins a list of its own with those who have said what they hold, once they are enough or the time is up', () => {
    const newcomer = (name: string, held = true) => vote(name, { voters: undefined, held })
    const one = run(waiting, newcomer('b'), newcomer('c', false))
    expect(one.phase).toBe('gathering')
    expect(run(one, newcomer('c')).list?.voters).toEqual(['a', 'b', 'c'])
    expect(run(one, { type: 'gathered' }).list).toMatchObject({
      ...{ voters: ['a', 'b'], isFounding: true, isOpen: true },
    })
    const gone = run(one, { type: 'left', id: 's-b', name: 'b' }, { type: 'gathered' })
    expect(gone.list?.voters).toEqual(['a'])
    // Somebody has a list: nothing is begun.
    const known = run(one, vote('d'), { type: 'gathered' })
    expect([known.phase, known.list]).toEqual(['gathering', LIST])
  })

  it('counts one of two nodes that go by one name', () => {
    const one = run(gathering, vote('b', { held: false }))
    const twin = { ...vote('b'), id: 's-x', node: 'n-x' }
    const step = stepBallot(one, twin, CAUGHT_UP)
    expect([step.state.phase, step.effects]).toEqual([
      'gathering',
      [{ type: 'twin', name: 'b', node: 'n-x', id: 's-x' }],
    ])
  })

  it('keeps its invariants, whatever comes in whatever order', () => {
    for (let seed = 1; seed <= 400; seed++) walk(seed)
  })
})

/** Votes of nodes whose disks and lists vary; checks what must hold after every step. */
function walk(seed: number): void {
  const random = new SeededRandom(seed)
  let state: BallotState = random.pick([fresh, gathering, waiting])
  for (let i = 0; i < 60; i++) {
    const cursors = { 's-b': random.below(12), 's-c': random.below(12), 's-d': random.below(12) }
    const event = drawn(random, state)
    const before = state
    const step = stepBallot(state, event, context(cursors))
    state = step.state
    const where = `seed ${seed}, step ${i}, ${event.type}`
    const isForced = event.type === 'found' || before.founder?.isForced === true
    if (before.list !== undefined && state.list !== undefined && state.list !== before.list) {
      const isVoid = before.founder !== undefined || before.hasFounded
      expect(isLaterList(state.list, before.list) || isVoid || isForced, where).toBe(true)
    }
    if (state.phase === 'deciding' && before.phase !== 'deciding') {
      const { list } = state
      expect(list, where).toBeDefined()
      const isMarked = before.phase === 'marking' && event.type === 'marked'
      const hasVoted = list !== undefined && isMajority(list, (name) => counts(state, name))
      expect(isMarked || hasVoted, where).toBe(true)
    }
    const { list } = state
    if (list?.before !== undefined) {
      const added = list.voters.filter((name) => !list.before?.includes(name))
      const removed = list.before.filter((name) => !list.voters.includes(name))
      expect(added.length + removed.length, where).toBe(1)
    }
  }
}

function drawn(random: SeededRandom, { list }: BallotState): BallotEvent {
  const name = random.pick(['b', 'c', 'd'])
  const voters = [undefined, LIST, LATER, list, list][random.below(5)]
  const kind = random.below(10)
  if (kind < 5) {
    return vote(name, { held: random.chance(0.7), whole: random.chance(0.7), voters })
  }
  if (kind === 5) return { type: 'left', id: `s-${name}`, name }
  if (kind === 6 && list !== undefined) return { type: 'saved', list }
  if (kind === 7 && list !== undefined) return { type: 'marked', list: done(list) }
  if (kind === 8) return { type: 'change', how: random.pick(['add', 'remove'] as const), name }
  if (random.chance(0.1)) return { type: 'found', voters: [name] }
  return random.chance(0.2) ? { type: 'gathered' } : { type: 'progress' }
}
