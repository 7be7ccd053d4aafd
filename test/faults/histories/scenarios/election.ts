/** Nodes that elect their leader by a lease in Redis: killed, frozen, half-connected. */
import { request } from '../../../support/http.ts'
import { waitFor } from '../../../support/wait.ts'
import { perform } from '../client.ts'
import { allGood, badLink, disturb, type Fault, frozen, killed, spoil, stopped } from '../faults.ts'
import type { Round, RoundKind } from '../round.ts'
import type { Member } from '../world.ts'
import { clockIsSetRight, clockJumps } from './clocks.ts'
import { loaded } from './loaded.ts'

const NO_PROCESS = -1
const LEADER_DEADLINE_MS = 60_000

/** Candidates that are not started yet. */
export async function candidates(
  { world, machine, seed }: Round,
  names: readonly string[],
): Promise<Member[]> {
  if (machine.redis === undefined) throw new Error('an election needs a Redis')
  const lease = `histories-${process.pid}-${seed}-${names.join('')}-${Math.round(performance.now())}`
  const members: Member[] = []
  for (const name of names) {
    const member = await world.add(name)
    await member.elect({ redis: machine.redis, lease })
    // The first leader may be killed before the others have become voters by themselves.
    member.extra = ['--voters', names.join(',')]
    members.push(member)
  }
  return members
}

/** The node that says that it leads. */
export async function waitForLeader({ world }: Round): Promise<Member> {
  const options = { deadlineMs: LEADER_DEADLINE_MS, intervalMs: 100, what: 'a leader' }
  return waitFor(() => leaderAmong(world.nodes), options)
}

/** The first of them that says that it leads now. */
export async function leaderAmong(nodes: readonly Member[]): Promise<Member | undefined> {
  for (const node of nodes) {
    const { status } = await request('GET', `${node.url}/-/leader`, { timeoutMs: 2000 })
    if (status === 200) return node
  }
  return undefined
}

/** What conditional writes wait for: a majority where the nodes know that, else one other node. */
export async function decisionAck(round: Round, node: Member): Promise<string> {
  if (round.majority === 'off') return '1'
  const operation = { op: 'set', key: 'items/asked', ack: 'majority' } as const
  const { status } = await perform(round.record, NO_PROCESS, node, operation)
  if (status !== 400) return 'majority'
  if (round.majority === 'on') throw new Error('the nodes do not know ?ack=majority')
  return '1'
}

/** The way of others to a node, or its way to Redis, is bad: it is half connected. */
const halfConnected: Fault = async (context) => {
  const node = context.random.pick(context.world.nodes.filter(({ isCandidate }) => isCandidate))
  if (context.random.chance(0.5)) await spoil(context, node.front, `others to ${node.name}`)
  else await spoil(context, node.redis, `${node.name} to redis`)
}

const FAULTS: readonly Fault[] = [
  ...[halfConnected, halfConnected, halfConnected],
  ...[killed, killed, frozen, stopped, allGood, allGood],
]

/** Three candidates, followers of theirs where `join` starts any, a load, and faults until the time is over. */
async function playElection(
  round: Round,
  faults: readonly Fault[],
  join?: (nodes: readonly Member[]) => Promise<void>,
): Promise<void> {
  const nodes = await candidates(round, ['x', 'y', 'z'])
  await Promise.all(nodes.map((node) => node.start()))
  const options = { conditionalAck: await decisionAck(round, await waitForLeader(round)) }
  round.owesConfirmed(options.conditionalAck)
  await join?.(nodes)
  const act = async (_load: unknown, untilMs: number): Promise<void> => {
    await disturb(round, faults, untilMs)
  }
  await loaded(round, act, options)
}

export const REDIS: RoundKind = {
  name: 'redis',
  about: 'three nodes that elect their leader, killed, frozen and half-connected',
  needs: ['redis'],
  play: (round) => playElection(round, FAULTS),
}

export const REDIS_TREE: RoundKind = {
  name: 'redis-tree',
  about:
    'three nodes that elect their leader, and a follower of one of them with a follower of its own',
  needs: ['redis'],
  play: (round) =>
    playElection(round, [...FAULTS, badLink, badLink, badLink], async ([x]) => {
      const r = await round.world.add('r')
      const e = await round.world.add('e')
      await r.follow(x)
      await e.follow(r)
    }),
}

export const REDIS_CLOCKS: RoundKind = {
  name: 'redis-clocks',
  about: 'three nodes with wrong clocks that elect their leader, and a follower of one of them',
  needs: ['redis', 'faketime'],
  play: (round) =>
    playElection(
      round,
      [...FAULTS, badLink, clockJumps, clockJumps, clockJumps, clockIsSetRight],
      async ([x]) => (await round.world.add('r')).follow(x),
    ),
}
