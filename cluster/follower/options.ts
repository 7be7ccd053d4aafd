/** What a follower's link to one leader is made of. */
import type { HybridClock } from '../../src/core/data/clock.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import type { Random, TimeSource } from '../../src/core/ports/time.ts'
import type { Transport } from '../../src/core/ports/transport.ts'
import type { KeySet } from '../../src/core/wire/comparison.ts'
import type { Bus } from '../../src/fanout/bus.ts'
import type { ConflictLog } from '../../src/store/conflicts/conflict-log.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import type { DigestTable } from '../anti-entropy/digest-table.ts'
import type { ClusterLimits } from '../config/options.ts'
import type { Voting } from '../election/voters/voting.ts'
import type { PartialValues } from '../stream/partial-values.ts'
import type { FollowerIdentity, LinkProgress } from './state/link.ts'

export interface FollowerLinkOptions {
  /** The leader, as `http(s)://host:port`. */
  readonly leader: string
  readonly identity: FollowerIdentity
  /** What is compared with the leader. */
  readonly sets: readonly KeySet[]
  /** Hears every commit of the store. */
  readonly digests: DigestTable
  readonly progress: LinkProgress
  /** Takes what the leader refuses for good. */
  readonly conflicts: ConflictLog
  /** What has come of large values. */
  readonly partials: PartialValues
  /** Id of the placement the progress belongs to. */
  readonly placementId: string
  readonly store: ReplicationStore
  /** Corrected to this leader's time; undefined when another link does that. */
  readonly clock: HybridClock | undefined
  readonly time: TimeSource
  readonly random: Random
  readonly transport: Transport
  /** Of a leader that is elected: what this node keeps of its votes. */
  readonly voting?: Voting | undefined
  readonly token: string | undefined
  /** Where the leader's changes are listened to when it publishes them. */
  readonly bus?: Bus | undefined
  readonly limits: ClusterLimits
  /** For how long deletes are kept; 0: for ever. */
  readonly retentionMs: number
  readonly logger: Logger
}
