import { describe, expect, it } from 'vitest'
import { explainRefusal } from '../../../cluster/members/token.ts'
import { linkWarnings } from '../../../cluster/node/warnings.ts'

const LIVE = {
  url: 'http://leader:8800',
  state: 'live',
  lagRows: 0,
  lagMs: 0,
  outbox: 0,
  refused: 0,
  unproven: 0,
  lastError: undefined,
  lastCheckMs: 1_700_000_000_000,
} as const

describe('what there is to say of a link to a leader', () => {
  it.each([
    ['live and in step', {}, undefined],
    ['live and a moment behind', { lagRows: 5, lagMs: 900 }, undefined],
    [
      'live and far behind',
      { lagRows: 5, lagMs: 61_000 },
      '5 changes and 61 s behind http://leader:8800',
    ],
    [
      'live, with rows refused',
      { refused: 2 },
      '2 changes are not replicated by http://leader:8800',
    ],
    [
      'live, and given what it may have deleted',
      { unproven: 2 },
      '2 entries went to http://leader:8800, which may have deleted what it did not know: deletes of that time are forgotten; where its disk was lost that is as it should be',
    ],
    [
      'its first copy',
      { state: 'comparing' },
      'comparing with http://leader:8800: what it has may be missing here',
    ],
    [
      'catching up',
      { state: 'catchingUp', lagRows: 1 },
      'catching up with http://leader:8800: 1 change behind',
    ],
    ['not tried yet', { state: 'offline', lastCheckMs: 0 }, undefined],
    [
      'lost',
      { state: 'offline', lagMs: 4200, lastError: 'refused', outbox: 2 },
      'http://leader:8800 is out of reach, last heard 4 s ago (refused); 2 changes to be sent',
    ],
    [
      'refused as a copy',
      {
        state: 'offline',
        lastError: 'clone: 10.0.0.9:8800 has the id of 10.0.0.7:8800',
        outbox: 2,
      },
      'http://leader:8800 refuses this node (clone: 10.0.0.9:8800 has the id of 10.0.0.7:8800); 2 changes to be sent',
    ],
    [
      'refused for its token',
      {
        state: 'offline',
        lagMs: 4200,
        lastError: explainRefusal('Unexpected server response: 401'),
        outbox: 2,
      },
      "http://leader:8800 refuses the cluster token of this node (Unexpected server response: 401: its cluster token is another one than this node's); 2 changes to be sent",
    ],
    [
      'not let in',
      { state: 'offline', lastError: 'Unexpected server response: 403: its reason' },
      'http://leader:8800 refuses this node (Unexpected server response: 403: its reason); 0 changes to be sent',
    ],
    [
      'never met',
      { state: 'offline', lagMs: undefined },
      'http://leader:8800 is out of reach; 0 changes to be sent',
    ],
  ] as const)('%s', (_, changes, expected) => {
    expect(linkWarnings([{ ...LIVE, ...changes }])).toEqual(
      expected === undefined ? [] : [expected],
    )
  })
})
