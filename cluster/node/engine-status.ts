/** What a node tells of its replication. */
import type { BusReport } from '../bus/report.ts'
import type { LeaseReport } from '../election/election.ts'
import type { VotersReport } from '../election/voters/report.ts'
import type { CloneReport } from '../incarnation/clone-guard.ts'
import type { RefusalReport } from '../leader/refusals.ts'
import type { Scope } from '../members/placement.ts'
import type { RegisteredFollower } from '../progress/follower-registry.ts'
import type { FollowerReport, LinkReport } from './monitor.ts'

/** `leader`: follows nobody. `follower`: follows for every scope. `mixed`: leads some. */
export type ClusterRole = 'leader' | 'follower' | 'mixed'

export interface ClusterStatus {
  readonly id: string
  readonly name: string
  readonly role: ClusterRole
  readonly epoch: string
  /** Seq of this node's last change. */
  readonly head: number
  readonly scopes: readonly Scope[]
  readonly links: readonly LinkReport[]
  readonly followers: readonly FollowerReport[]
  /** Streams and messages that this node refused since it started. */
  readonly refusals: RefusalReport
  /** Followers that deletions are kept for, connected or away. */
  readonly registered: readonly RegisteredFollower[]
  /** Nodes that are refused because they run from a copy of another one's data. */
  readonly clones: readonly CloneReport[]
  /** Milliseconds added to this node's wall clock to have its leader's; 0 while not measured. */
  readonly clockOffsetMs: number
  /** The lease by which the leader is elected; absent where leaders are configured. */
  readonly lease?: LeaseReport
  /** Who votes for what an elected leader decides; absent where leaders are configured. */
  readonly voters?: VotersReport
  /** The bus between leaders and followers; undefined: there is none. */
  readonly bus: BusReport | undefined
}
