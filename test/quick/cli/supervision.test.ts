import { describe, expect, it } from 'vitest'
import {
  type ChildEvent,
  type ChildState,
  FIRST_START,
  stepChild,
} from '../../../cli/supervise/supervision.ts'

type Row = Record<ChildEvent['name'], readonly [next: ChildState, ...effects: string[]]>

const starting = (attempt: number): ChildState => ({ name: 'starting', attempt, wasReady: true })
const running = (attempt: number): ChildState => ({ name: 'running', attempt })
const waiting = (attempt: number): ChildState => ({ name: 'waiting', attempt })
const stopping: ChildState = { name: 'stopping' }
const ended = (failed: boolean): ChildState => ({ name: 'ended', failed })

/** Every state with every event. A state or event that is new does not compile without its row. */
const TABLE: Record<ChildState['name'] | 'first', { readonly from: ChildState; readonly on: Row }> =
  {
    first: {
      from: FIRST_START,
      on: {
        ready: [running(0), 'timer stable'],
        exited: [ended(true), 'cancelTimer'],
        stable: [FIRST_START],
        due: [FIRST_START],
        stop: [stopping, 'terminate', 'timer graceOver'],
        graceOver: [FIRST_START],
      },
    },
    starting: {
      from: starting(2),
      on: {
        ready: [running(2), 'timer stable'],
        exited: [waiting(3), 'retryTimer 3'],
        stable: [starting(2)],
        due: [starting(2)],
        stop: [stopping, 'terminate', 'timer graceOver'],
        graceOver: [starting(2)],
      },
    },
    running: {
      from: running(2),
      on: {
        ready: [running(2)],
        exited: [waiting(3), 'retryTimer 3'],
        stable: [running(0)],
        due: [running(2)],
        stop: [stopping, 'terminate', 'timer graceOver'],
        graceOver: [running(2)],
      },
    },
    waiting: {
      from: waiting(2),
      on: {
        ready: [waiting(2)],
        exited: [waiting(2)],
        stable: [waiting(2)],
        due: [starting(2), 'spawn'],
        stop: [ended(false), 'cancelTimer'],
        graceOver: [waiting(2)],
      },
    },
    stopping: {
      from: stopping,
      on: {
        ready: [stopping],
        exited: [ended(false), 'cancelTimer'],
        stable: [stopping],
        due: [stopping],
        stop: [stopping],
        graceOver: [stopping, 'kill'],
      },
    },
    ended: {
      from: ended(false),
      on: {
        ready: [ended(false)],
        exited: [ended(false)],
        stable: [ended(false)],
        due: [ended(false)],
        stop: [ended(false)],
        graceOver: [ended(false)],
      },
    },
  }

describe.each(Object.entries(TABLE))('a child that is %s', (_name, { from, on }) => {
  it.each(Object.entries(on))('on %s', (name, [next, ...effects]) => {
    const step = stepChild(from, { name: name as ChildEvent['name'] })
    expect(step.state).toEqual(next)
    expect(step.effects.map((effect) => Object.values(effect).join(' '))).toEqual(effects)
  })
})

it('after any events, a stop and an exit end it without another spawn', () => {
  const names = Object.keys(TABLE.first.on) as ChildEvent['name'][]
  for (const first of names) {
    for (const second of names) {
      for (const third of names) {
        let state: ChildState = FIRST_START
        for (const name of [first, second, third]) state = stepChild(state, { name }).state
        const stop = stepChild(state, { name: 'stop' })
        const last = stepChild(stop.state, { name: 'exited' })
        expect(last.state.name).toBe('ended')
        const effects = [...stop.effects, ...last.effects].map((effect) => effect.name)
        expect(effects).not.toContain('spawn')
      }
    }
  }
})
