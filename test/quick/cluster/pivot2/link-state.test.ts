/** When a follower speaks 2.0: the whole table, and walks that keep its invariants. */
import { expect, test } from 'vitest'
import {
  DORMANT,
  type PivotLinkEffect,
  type PivotLinkEvent,
  type PivotLinkState,
  stepPivotLink,
} from '../../../../cluster/pivot2/link/state.ts'
import { SeededRandom } from '../../../support/seeded-random.ts'

const STATES = {
  dormant: DORMANT,
  asking: { kind: 'asking' },
  syncing: { kind: 'syncing', failures: 0, next: undefined },
  waiting: { kind: 'waiting', failures: 0 },
  closed: { kind: 'closed' },
} as const satisfies Record<PivotLinkState['kind'], PivotLinkState>

const EVENTS = {
  streamUp: { type: 'streamUp' },
  dialFailed: { type: 'dialFailed' },
  isPivot: { type: 'answered', isPivot: true },
  isNot: { type: 'answered', isPivot: false },
  wake: { type: 'wake', depth: 'push' },
  timer: { type: 'timer' },
  ok: { type: 'done', isOk: true },
  failed: { type: 'done', isOk: false },
  close: { type: 'close' },
} as const satisfies Record<string, PivotLinkEvent>

type Outcome = `${PivotLinkState['kind']}${'' | ` ${string}`}`

/** The state after each event, and the effects. */
const TABLE: Record<PivotLinkState['kind'], Record<keyof typeof EVENTS, Outcome>> = {
  dormant: {
    streamUp: 'dormant',
    dialFailed: 'asking ask',
    isPivot: 'dormant',
    isNot: 'dormant',
    wake: 'dormant',
    timer: 'dormant',
    ok: 'dormant',
    failed: 'dormant',
    close: 'closed',
  },
  asking: {
    streamUp: 'dormant',
    dialFailed: 'asking',
    isPivot: 'syncing run full',
    isNot: 'dormant',
    wake: 'asking',
    timer: 'asking',
    ok: 'asking',
    failed: 'asking',
    close: 'closed',
  },
  syncing: {
    streamUp: 'dormant',
    dialFailed: 'syncing',
    isPivot: 'syncing',
    isNot: 'syncing',
    wake: 'syncing',
    timer: 'syncing',
    ok: 'waiting wait 0',
    failed: 'waiting wait 1',
    close: 'closed',
  },
  waiting: {
    streamUp: 'dormant stopWaiting',
    dialFailed: 'waiting',
    isPivot: 'waiting',
    isNot: 'waiting',
    wake: 'syncing stopWaiting run push',
    timer: 'syncing run poll',
    ok: 'waiting',
    failed: 'waiting',
    close: 'closed stopWaiting',
  },
  closed: {
    streamUp: 'closed',
    dialFailed: 'closed',
    isPivot: 'closed',
    isNot: 'closed',
    wake: 'closed',
    timer: 'closed',
    ok: 'closed',
    failed: 'closed',
    close: 'closed',
  },
}

function show(effect: PivotLinkEffect): string {
  if (effect.type === 'run') return `run ${effect.depth}`
  return effect.type === 'wait' ? `wait ${effect.failures}` : effect.type
}

test('every event in every state', () => {
  for (const [kind, row] of Object.entries(TABLE)) {
    for (const [name, outcome] of Object.entries(row)) {
      const state = STATES[kind as keyof typeof STATES]
      const step = stepPivotLink(state, EVENTS[name as keyof typeof EVENTS])
      expect([step.state.kind, ...step.effects.map(show)].join(' '), `${name} in ${kind}`).toBe(
        outcome,
      )
    }
  }
})

test('what is asked for during a run is done right after it, the deepest of all', () => {
  let state: PivotLinkState = STATES.syncing
  for (const depth of ['push', 'full', 'poll'] as const) {
    state = stepPivotLink(state, { type: 'wake', depth }).state
  }
  const step = stepPivotLink(state, EVENTS.ok)
  expect(step.effects).toEqual([{ type: 'run', depth: 'full' }])
})

test('after failures a local write waits for the backoff, a call of the leader does not', () => {
  const state: PivotLinkState = { kind: 'waiting', failures: 3 }
  expect(stepPivotLink(state, EVENTS.wake).effects).toEqual([])
  const called = stepPivotLink(state, { type: 'wake', depth: 'poll' })
  expect(called.effects).toEqual([{ type: 'stopWaiting' }, { type: 'run', depth: 'poll' }])
  const timed = stepPivotLink(state, EVENTS.timer)
  expect(timed.effects).toEqual([{ type: 'run', depth: 'full' }])
  expect(stepPivotLink(timed.state, EVENTS.failed).effects).toEqual([{ type: 'wait', failures: 4 }])
})

test('in any order of events, one run or one timer is under way exactly while 2.0 is spoken', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = new SeededRandom(seed)
    const events = Object.values(EVENTS)
    let state: PivotLinkState = DORMANT
    let runs = 0
    let timers = 0
    for (let i = 0; i < 100; i++) {
      const event = events[random.below(events.length - (i < 80 ? 1 : 0))] ?? EVENTS.close
      // The driver reports only what is under way.
      if (event.type === 'done' && runs === 0) continue
      if (event.type === 'timer' && timers === 0) continue
      if (event.type === 'done') runs--
      if (event.type === 'timer') timers--
      const step = stepPivotLink(state, event)
      for (const effect of step.effects) {
        if (effect.type === 'run') runs++
        if (effect.type === 'wait') timers++
        if (effect.type === 'stopWaiting') timers--
      }
      state = step.state
      if (state.kind === 'dormant' || state.kind === 'closed') runs = 0
      const expected = { syncing: [1, 0], waiting: [0, 1] }[state.kind as 'syncing'] ?? [0, 0]
      expect([runs, timers], `seed ${seed}, step ${i}, ${state.kind}`).toEqual(expected)
    }
  }
})
