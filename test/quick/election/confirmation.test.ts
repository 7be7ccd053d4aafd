/** For how long a node knows who may decide, on a clock that the test moves. */
import { expect, it } from 'vitest'
import { Confirmation } from '../../../cluster/election/confirmation.ts'
import { type LeaseView, NO_MARK } from '../../../cluster/election/lease/lease.ts'
import { electionTimes } from '../../../cluster/election/state.ts'
import { NS_PER_MS } from '../../../src/core/ports/time.ts'
import { FakeTime } from '../../support/fake-time.ts'

const OTHER = { id: 'b', url: 'http://b:1' }
const view = (told: Partial<LeaseView>): LeaseView => ({
  ...{ holder: OTHER, token: 1, isMine: false, heldForMs: 5000, mark: NO_MARK },
  ...told,
})

function setUp() {
  const time = new FakeTime()
  const known = new Confirmation(time, electionTimes(5000))
  return { time, known, nowMs: () => Number(time.wallNs() / NS_PER_MS) }
}

it('a node that has heard nothing knows nothing from its start on', () => {
  const { time, known, nowMs } = setUp()
  const startMs = nowMs()
  time.advance(2000)
  expect(known.report()).toEqual({ validForMs: 0, unconfirmedSinceMs: startMs })
})

it('a holder is believed for as long as it believes in its grant itself', () => {
  const { time, known, nowMs } = setUp()
  known.heard(view({ heldForMs: 4000 }), time.monotonicNs(), true)
  expect(known.report()).toEqual({ validForMs: 2750 })
  time.advance(2750)
  const sinceMs = nowMs()
  time.advance(1000)
  expect(known.report()).toEqual({ validForMs: 0, unconfirmedSinceMs: sinceMs })
  const sentNs = time.monotonicNs()
  time.advance(750)
  known.heard(view({ isMine: true }), sentNs, false)
  expect(known.report()).toEqual({ validForMs: 3000 })
})

it('who knows less takes nothing from it, and who knows nothing does not begin the time anew', () => {
  const { time, known, nowMs } = setUp()
  known.heard(view({}), time.monotonicNs(), true)
  known.heard(view({ confirmedForMs: 100 }), time.monotonicNs(), false)
  known.heard(view({ confirmedForMs: 0 }), time.monotonicNs(), false)
  expect(known.report()).toEqual({ validForMs: 3750 })
  time.advance(3750)
  const sinceMs = nowMs()
  time.advance(5000)
  known.heard(view({ confirmedForMs: 0 }), time.monotonicNs(), false)
  known.heard(view({ heldForMs: 1000 }), time.monotonicNs(), false)
  expect(known.report().unconfirmedSinceMs).toBe(sinceMs)
  known.heard(view({ token: 2, confirmedForMs: 0 }), time.monotonicNs(), true)
  expect(known.report().unconfirmedSinceMs).toBe(nowMs())
})
