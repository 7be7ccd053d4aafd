/** What the leader of a node is made of. */
import type { HybridClock } from '../src/core/clock.ts'
import type { Logger } from '../src/core/logger.ts'
import type { TimeSource } from '../src/core/time.ts'
import type { ConflictLog } from '../src/store/conflict-log.ts'
import type { Store } from '../src/store/store.ts'
import type { BusPublisher } from './bus-publisher.ts'
import type { CloneGuard } from './clone-guard.ts'
import type { DigestTable } from './digest-table.ts'
import type { Ballot } from './election/ballot.ts'
import type { FollowerProgress } from './follower-progress.ts'
import type { ClusterLimits } from './options.ts'
import type { PartialValues } from './pieces/partial-values.ts'
import type { Placement } from './placement.ts'

export interface LeaderOptions {
  readonly store: Store
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
