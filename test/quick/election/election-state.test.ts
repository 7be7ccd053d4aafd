import { describe, expect, it } from 'vitest'
import { type LeaseView, NO_MARK } from '../../../cluster/election/lease/lease.ts'
import {
  type ElectionEvent,
  type ElectionState,
  type ElectionStep,
  electionTimes,
  initialElection,
  leadsAt,
  stepElection,
} from '../../../cluster/election/state.ts'

const SELF = { id: 'me', url: 'http://me:1' }
const OTHER = { id: 'other', url: 'http://other:1' }
const THIRD = { id: 'third', url: 'http://third:1' }
const RULES = { times: electionTimes(5000), self: SELF }
const S = 1_000_000_000n

const view = (fields: Partial<LeaseView>): LeaseView => ({
  holder: undefined,
  token: 7,
  isMine: false,
  heldForMs: 0,
  mark: NO_MARK,
  ...fields,
})
const held = (holder = OTHER, token = 7): LeaseView => view({ holder, token, heldForMs: 4000 })

const KNOWN = { seen: 7, heldUntilNs: 100n * S }
const STATES = {
  unknown: { kind: 'unknown', seen: 7, heldUntilNs: 0n },
  candidate: { kind: 'candidate', forgot: false, ...KNOWN },
  follower: { kind: 'follower', holder: OTHER, ...KNOWN },
  leader: { kind: 'leader', validUntilNs: 99n * S, ...KNOWN },
  demoting: { kind: 'demoting', ...KNOWN },
  yielding: { kind: 'yielding', untilNs: 100n * S, ...KNOWN },
  closed: { kind: 'closed' },
} satisfies Record<ElectionState['kind'], ElectionState>

const told = (asked: 'look' | 'take' | 'renew', answer: LeaseView): ElectionEvent => ({
  type: 'answered',
  asked,
  view: answer,
  sentNs: 97n * S,
  nowNs: 98n * S,
})

const EVENTS = {
  'wake while held': { type: 'wake', nowNs: 98n * S },
  'wake after it': { type: 'wake', nowNs: 101n * S },
  'told: mine': told('take', view({ holder: SELF, isMine: true, token: 8, heldForMs: 5000 })),
  'told: renewed': told('renew', view({ holder: SELF, isMine: true, heldForMs: 5000 })),
  'told: mine, seen only': told('look', view({ holder: SELF, isMine: true, heldForMs: 5000 })),
  'told: mine, too late': {
    ...told('renew', view({ holder: SELF, isMine: true })),
    sentNs: 90n * S,
  } as ElectionEvent,
  'told: other': told('look', held()),
  'told: another': told('look', held(THIRD, 8)),
  'told: other of before': told('look', held(THIRD, 6)),
  'told: own past': told('look', held(SELF)),
  // Of a node that was copied with its data, or came back at another address.
  'told: own id elsewhere': told('look', held({ ...SELF, url: 'http://old:1' })),
  'told: same address': told('look', held({ id: 'twin', url: SELF.url })),
  'told: free': told('look', view({})),
  'told: free after a take': told('take', view({})),
  'told: forgotten': told('look', view({ token: 0 })),
  failed: { type: 'failed' },
  'lapse too early': { type: 'lapse', nowNs: 98n * S },
  lapse: { type: 'lapse', nowNs: 99n * S },
  yield: { type: 'yield', nowNs: 98n * S },
  close: { type: 'close' },
} satisfies Record<string, ElectionEvent>

/** The state that follows, and the effects, in short. */
function short({ state, effects }: ElectionStep): string {
  const told = effects.map((effect) => {
    switch (effect.type) {
      case 'ask':
        return `${effect.question} ${effect.token}`
      case 'wake':
        return effect.isJittered ? 'poll' : `wake ${effect.afterMs}`
      case 'watch':
        return `watch ${Number(effect.untilNs) / 1e9}`
      case 'decision':
        return `${effect.decision.kind} ${effect.decision.token}`
      case 'release':
        return `release ${effect.token}`
      default:
        return effect
    }
  })
  const seen = state.kind === 'closed' ? '' : ` ${state.seen}`
  return `${state.kind}${seen}: ${told.join(', ')}`
}

// A new leader renews at once, so that the lease keeps its ceiling.
const LEADS_8 = 'leader 8: watch 100.75, leader 8, wake 0'
const LEADS_7 = 'leader 7: watch 100.75, leader 7, wake 0'
const LATE = 'demoting 7: wake 250'

const TABLE: Record<ElectionState['kind'], Record<keyof typeof EVENTS, string>> = {
  unknown: {
    'wake while held': 'unknown 7: look 7',
    'wake after it': 'unknown 7: look 7',
    'told: mine': LEADS_8,
    'told: renewed': LEADS_7,
    'told: mine, seen only': 'unknown 7: take 7',
    'told: mine, too late': LATE,
    'told: other': 'follower 7: follower 7, poll',
    'told: another': 'follower 8: follower 8, poll',
    'told: other of before': 'candidate 7: poll',
    'told: own past': 'candidate 7: take 7',
    'told: own id elsewhere': 'follower 7: follower 7, poll',
    'told: same address': 'candidate 7: poll',
    'told: free': 'candidate 7: take 7',
    'told: free after a take': 'candidate 7: poll',
    'told: forgotten': 'candidate 7: poll',
    failed: 'unknown 7: poll',
    'lapse too early': 'unknown 7: ',
    lapse: 'unknown 7: ',
    yield: 'unknown 7: ',
    close: 'closed: ',
  },
  candidate: {
    'wake while held': 'candidate 7: look 7',
    'wake after it': 'candidate 7: take 7',
    'told: mine': LEADS_8,
    'told: renewed': LEADS_7,
    'told: mine, seen only': 'candidate 7: take 7',
    'told: mine, too late': LATE,
    'told: other': 'follower 7: follower 7, poll',
    'told: another': 'follower 8: follower 8, poll',
    'told: other of before': 'candidate 7: poll',
    'told: own past': 'candidate 7: poll',
    'told: own id elsewhere': 'follower 7: follower 7, poll',
    'told: same address': 'candidate 7: poll',
    'told: free': 'candidate 7: take 7',
    'told: free after a take': 'candidate 7: poll',
    'told: forgotten': 'candidate 7: poll',
    failed: 'candidate 7: poll',
    'lapse too early': 'candidate 7: ',
    lapse: 'candidate 7: ',
    yield: 'candidate 7: ',
    close: 'closed: ',
  },
  follower: {
    'wake while held': 'follower 7: look 7',
    'wake after it': 'follower 7: take 7',
    'told: mine': LEADS_8,
    'told: renewed': LEADS_7,
    'told: mine, seen only': 'follower 7: take 7',
    'told: mine, too late': LATE,
    'told: other': 'follower 7: poll',
    'told: another': 'follower 8: follower 8, poll',
    'told: other of before': 'candidate 7: poll',
    'told: own past': 'candidate 7: poll',
    'told: own id elsewhere': 'follower 7: follower 7, poll',
    'told: same address': 'candidate 7: poll',
    'told: free': 'candidate 7: take 7',
    'told: free after a take': 'candidate 7: poll',
    'told: forgotten': 'candidate 7: poll',
    failed: 'follower 7: poll',
    'lapse too early': 'follower 7: ',
    lapse: 'follower 7: ',
    yield: 'follower 7: ',
    close: 'closed: ',
  },
  leader: {
    'wake while held': 'leader 7: renew 7',
    'wake after it': 'leader 7: renew 7',
    'told: mine': LEADS_8,
    'told: renewed': 'leader 7: watch 100.75, wake 1000',
    'told: mine, seen only': 'leader 7: take 7',
    'told: mine, too late': 'demoting 7: lapsed 7, wake 250',
    'told: other': 'follower 7: lapsed 7, follower 7, poll',
    'told: another': 'follower 8: lapsed 7, follower 8, poll',
    'told: other of before': 'demoting 7: lapsed 7, poll',
    'told: own past': 'candidate 7: lapsed 7, poll',
    'told: own id elsewhere': 'follower 7: lapsed 7, follower 7, poll',
    'told: same address': 'candidate 7: lapsed 7, poll',
    'told: free': 'candidate 7: lapsed 7, take 7',
    'told: free after a take': 'candidate 7: lapsed 7, poll',
    'told: forgotten': 'demoting 7: lapsed 7, poll',
    failed: 'leader 7: wake 250',
    'lapse too early': 'leader 7: watch 99',
    lapse: 'demoting 7: lapsed 7',
    yield: 'yielding 7: lapsed 7, release 7, poll',
    close: 'closed: release 7',
  },
  demoting: {
    'wake while held': 'demoting 7: renew 7',
    'wake after it': 'demoting 7: renew 7',
    'told: mine': LEADS_8,
    'told: renewed': LEADS_7,
    'told: mine, seen only': 'demoting 7: take 7',
    'told: mine, too late': LATE,
    'told: other': 'follower 7: follower 7, poll',
    'told: another': 'follower 8: follower 8, poll',
    'told: other of before': 'demoting 7: poll',
    'told: own past': 'candidate 7: poll',
    'told: own id elsewhere': 'follower 7: follower 7, poll',
    'told: same address': 'candidate 7: poll',
    'told: free': 'candidate 7: take 7',
    'told: free after a take': 'candidate 7: poll',
    'told: forgotten': 'demoting 7: poll',
    failed: 'demoting 7: wake 250',
    'lapse too early': 'demoting 7: ',
    lapse: 'demoting 7: ',
    yield: 'yielding 7: release 7, poll',
    close: 'closed: release 7',
  },
  yielding: {
    'wake while held': 'yielding 7: look 7',
    'wake after it': 'yielding 7: take 7',
    'told: mine': 'yielding 7: release 8, poll',
    'told: renewed': 'yielding 7: release 7, poll',
    'told: mine, seen only': 'yielding 7: release 7, poll',
    'told: mine, too late': 'yielding 7: release 7, poll',
    'told: other': 'follower 7: follower 7, poll',
    'told: another': 'follower 8: follower 8, poll',
    'told: other of before': 'candidate 7: poll',
    'told: own past': 'yielding 7: poll',
    'told: own id elsewhere': 'follower 7: follower 7, poll',
    'told: same address': 'yielding 7: poll',
    'told: free': 'yielding 7: poll',
    'told: free after a take': 'yielding 7: poll',
    'told: forgotten': 'candidate 7: poll',
    failed: 'yielding 7: poll',
    'lapse too early': 'yielding 7: ',
    lapse: 'yielding 7: ',
    yield: 'yielding 7: ',
    close: 'closed: ',
  },
  closed: {
    'wake while held': 'closed: ',
    'wake after it': 'closed: ',
    'told: mine': 'closed: release 8',
    'told: renewed': 'closed: release 7',
    'told: mine, seen only': 'closed: ',
    'told: mine, too late': 'closed: release 7',
    'told: other': 'closed: ',
    'told: another': 'closed: ',
    'told: other of before': 'closed: ',
    'told: own past': 'closed: ',
    'told: own id elsewhere': 'closed: ',
    'told: same address': 'closed: ',
    'told: free': 'closed: ',
    'told: free after a take': 'closed: ',
    'told: forgotten': 'closed: ',
    failed: 'closed: ',
    'lapse too early': 'closed: ',
    lapse: 'closed: ',
    yield: 'closed: ',
    close: 'closed: ',
  },
}

describe('the machine of an election', () => {
  for (const [kind, row] of Object.entries(TABLE)) {
    it(`in state ${kind} does what the table says`, () => {
      const state = STATES[kind as ElectionState['kind']]
      const got = Object.entries(EVENTS).map(([name, event]) => [
        name,
        short(stepElection(state, event, RULES)),
      ])
      expect(Object.fromEntries(got)).toEqual(row)
    })
  }

  it('believes in a grant only from when it asked, and only for a part of the lease', () => {
    const { state } = stepElection(STATES.unknown, EVENTS['told: mine'], RULES)
    expect(leadsAt(state, 97n * S + 3_749_999_999n)).toBe(true)
    expect(leadsAt(state, 97n * S + 3_750_000_000n)).toBe(false)
  })

  it('with a memory of a grant that the lease has lost waits until that grant has lapsed', () => {
    const first = stepElection(initialElection(5), EVENTS['told: forgotten'], RULES).state
    const at = (ns: bigint) => short(stepElection(first, { type: 'wake', nowNs: ns }, RULES))
    expect(at(102n * S)).toBe('candidate 5: look 5')
    expect(at(103n * S)).toBe('candidate 5: claim 5')
    const later = { ...told('look', view({ token: 0 })), nowNs: 100n * S } as ElectionEvent
    const again = stepElection(first, later, RULES)
    expect(again.state).toEqual(first)
    // Out of reach in between it may have been granted and lost again: the wait begins anew.
    const cut = stepElection(first, { type: 'failed' }, RULES).state
    expect(short(stepElection(cut, { type: 'wake', nowNs: 110n * S }, RULES))).toBe(
      'candidate 5: take 5',
    )
    const refused = stepElection(cut, { ...later, nowNs: 110n * S } as ElectionEvent, RULES).state
    expect(refused).toMatchObject({ forgot: true, heldUntilNs: 115n * S })
  })

  it('that has given its grant up for another node takes the lease again once that had its time', () => {
    const { state } = stepElection(STATES.leader, EVENTS.yield, RULES)
    expect(state).toMatchObject({ kind: 'yielding', untilNs: 108n * S })
    const at = (ns: bigint, event: ElectionEvent) =>
      short(stepElection(state, { ...event, nowNs: ns, sentNs: ns } as ElectionEvent, RULES))
    expect(at(107n * S, EVENTS['wake while held'])).toBe('yielding 7: look 7')
    expect(at(107n * S, EVENTS['told: free'])).toBe('yielding 7: poll')
    expect(at(108n * S, EVENTS['wake while held'])).toBe('yielding 7: take 7')
    expect(at(108n * S, EVENTS['told: free'])).toBe('candidate 7: take 7')
    expect(at(108n * S, EVENTS['told: mine'])).toBe('leader 8: watch 111.75, leader 8, wake 0')
  })

  it('without any memory takes a lease that nobody holds at once', () => {
    const answer = told('look', view({ token: 0 }))
    expect(short(stepElection(initialElection(0), answer, RULES))).toBe('candidate 0: take 0')
  })
})
