/** What the server is told of replication: which followers hold what, and calls to leaders. */

import { isOriginOf } from '../../src/core/data/origin.ts'
import { NO_LEADER } from '../../src/core/unknown-leader.ts'
import type { Replication } from '../../src/server/contract/plugin.ts'
import type { Ballot } from '../election/voters/ballot.ts'
import type { FollowerStatus } from '../leader/leader.ts'
import type { LeaderCalls } from '../members/leader-call.ts'
import { inScopes, type Placement, scopeOf } from '../members/placement.ts'
import type { ClusterEngine } from './engine.ts'

export interface ReplicationParts {
  readonly placement: Placement
  /** undefined until the node has started. */
  readonly engine: () => Pick<ClusterEngine, 'followers' | 'ask' | 'conflicts'> | undefined
  /** Whether the key has an elected leader, and so voters. */
  readonly isElected: (key: string) => boolean
  /** Of this node while it leads by a lease that holds. */
  readonly ballot: () => Pick<Ballot, 'isHeldByMajority' | 'unconfirmed'> | undefined
  /** Who hears of progress: to be called by the engine, which comes later than they do. */
  readonly listeners: Set<() => void>
  readonly calls: Pick<LeaderCalls, 'call'>
  readonly forwards: boolean
}

export function replicationOf({
  placement,
  engine,
  isElected,
  ballot,
  listeners,
  calls,
  forwards,
}: ReplicationParts): Replication {
  return {
    forwards,
    isReplicated: (key) => scopeOf(placement, key) !== undefined,
    hasVoters: isElected,
    holders: (key, seq, without) => {
      const found = countHolders(engine()?.followers() ?? [], { key, seq, without })
      if (found.holding < found.following) engine()?.ask(seq)
      if (!isElected(key)) return { ...found, isMajority: false }
      const own = ballot()
      if (own === undefined)
        return { ...found, isMajority: false, unconfirmed: `all; ${NO_LEADER}` }
      if (own.isHeldByMajority(seq)) return { ...found, isMajority: true }
      return { ...found, isMajority: false, unconfirmed: own.unconfirmed(seq) }
    },
    refusalOf: async (key, id) => engine()?.conflicts.refusalOf(key, id),
    call: (leader, request) => calls.call(leader, request),
    onProgress: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

interface Row {
  readonly key: string
  readonly seq: number
  readonly without: string
}

/** A follower holds a row durably when it has acknowledged this node's log up to there. */
export function countHolders(
  followers: readonly Pick<FollowerStatus, 'id' | 'scopes' | 'cursor'>[],
  { key, seq, without }: Row,
): { following: number; holding: number } {
  // A follower that has dialled again may for a while be here twice.
  const cursors = new Map<string, number>()
  for (const { id, scopes, cursor } of followers) {
    if (isOriginOf(id, without) || !inScopes(scopes, key)) continue
    cursors.set(id, Math.max(cursors.get(id) ?? 0, cursor))
  }
  const holding = [...cursors.values()].filter((cursor) => cursor >= seq).length
  return { following: cursors.size, holding }
}
