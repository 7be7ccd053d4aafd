/**
 * A candidate that was away while the leader decided, and that is elected when the leader is lost: another
 * node holds what was decided, and the new leader has to know it before it decides anything.
 */
import { waitFor } from '../../../support/wait.ts'
import { conditionOf } from '../load.ts'
import type { OperationLine } from '../record.ts'
import type { Round, RoundKind } from '../round.ts'
import type { Member } from '../world.ts'
import { candidates, decisionAck, leaderAmong, waitForLeader } from './election.ts'
import { ask, waitUntilSeen } from './scripted.ts'

const KEY = 'once/n'
const INCREMENTS = 10
const DEADLINE_MS = 30_000

export const ABSENT_CANDIDATE: RoundKind = {
  name: 'absent-candidate',
  about: 'a candidate that was away while the leader decided is elected next',
  needs: ['redis'],
  async play(round) {
    const nodes = await candidates(round, ['p', 'q', 'r'])
    await Promise.all(nodes.map((node) => node.start()))
    const x = await waitForLeader(round)
    const [y, z] = nodes.filter((node) => node !== x)
    if (y === undefined || z === undefined) throw new Error('three candidates are needed')
    const condition = { tag: undefined, expects: null }
    const create = async (): Promise<OperationLine | undefined> => {
      const made = await ask(round, x, { op: 'set', key: KEY, condition })
      return made.outcome === 'ok' ? made : undefined
    }
    // It decides once another voter has said that it holds what that one held.
    const created = await waitFor(create, {
      ...{ deadlineMs: DEADLINE_MS, intervalMs: 20, what: 'the first decision' },
    })
    for (const node of [y, z]) await waitUntilSeen(round, node, KEY, created.value)
    const ack = await decisionAck(round, x)
    round.owesConfirmed(ack)

    await y.kill()
    for (let i = 0; i < INCREMENTS; i++) await increment(round, x, ack)
    // Only the one that was away can get the lease now; the other one can be reached.
    z.redis.set('cut')
    await x.kill()
    await y.start()
    const leads = async (): Promise<boolean> => (await leaderAmong([y])) === y
    await waitFor(leads, { deadlineMs: DEADLINE_MS, intervalMs: 10, what: 'the new leader' })
    await waitFor(() => increment(round, y, 'local'), {
      deadlineMs: DEADLINE_MS,
      intervalMs: 20,
      what: 'a decision of the new leader',
    })
  },
}

/** Whether it was decided. */
async function increment(round: Round, node: Member, ack: string): Promise<boolean> {
  const read = await ask(round, node, { op: 'read', key: KEY })
  const operation = { op: 'set', key: KEY, condition: conditionOf(read), ack } as const
  return (await ask(round, node, operation)).outcome === 'ok'
}
