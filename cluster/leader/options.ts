/** What the leader of a node is made of. */
import type { HybridClock } from '../../src/core/data/clock.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import type { TimeSource } from '../../src/core/ports/time.ts'
import type { ConflictLog } from '../../src/store/conflicts/conflict-log.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import type { DigestTable } from '../anti-entropy/digest-table.ts'
import type { BusPublisher } from '../bus/publisher.ts'
import type { ClusterLimits } from '../config/options.ts'
import type { Ballot } from '../election/voters/ballot.ts'
import type { CloneGuard } from '../incarnation/clone-guard.ts'
import type { Placement } from '../members/placement.ts'
import type { FollowerProgress } from '../progress/follower-progress.ts'
import type { PartialValues } from '../stream/partial-values.ts'

export interface LeaderOptions {
  readonly store: ReplicationStore
  readonly placement: Placement
  readonly clock: HybridClock
  readonly time: TimeSource
  readonly digests: DigestTable
  /** Knows how far each follower is, and what is kept for them. */
  readonly followerProgress: FollowerProgress
  /** Lets one node of each id in. */
  readonly guard: CloneGuard
  /** Takes what is lost in concurrent writes of followers. */
  readonly conflicts: ConflictLog
  /** What has come of large values. */
  readonly partials: PartialValues
  /** Publishes what is committed; undefined: nothing does. */
  readonly publisher: BusPublisher | undefined
  /** Of a node that elects its leader: tells those who follow the grant, and counts their votes. */
  readonly ballot?: Pick<Ballot, 'join'> | undefined
  /** Hears that a follower may hold more than before, or is gone. */
  readonly progressed: () => void
  readonly limits: ClusterLimits
  readonly logger: Logger
}
