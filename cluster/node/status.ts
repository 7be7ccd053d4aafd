/** How a node stands in its cluster, in full: what `GET /-/cluster` answers. */
import type { HybridClock } from '../../src/core/data/clock.ts'
import { versionOf } from '../../src/core/data/entry.ts'
import { withoutAddresses } from '../../src/core/errors.ts'
import { NS_PER_MS } from '../../src/core/ports/time.ts'
import type { BusSide } from '../../src/fanout/bus.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import type { Scope } from '../members/placement.ts'
import type { ClusterEngine } from './engine.ts'
import type { ClusterStatus } from './engine-status.ts'
import type { LinkReport } from './monitor.ts'

/** A scope as this node sees it. */
export interface ScopeReport {
  readonly path: string
  /** `leader`: this node leads it. */
  readonly role: 'leader' | 'follower'
  /** URL of its leader; undefined when it is this node. */
  readonly leader: string | undefined
  /** Life of the change log that is followed or led; undefined before the leader was heard. */
  readonly epoch: string | undefined
  /** Up to where the leader's log is held here. */
  readonly cursor: number
  readonly state: LinkReport['state']
  readonly lagRows: number
  readonly lagMs: number | undefined
}

/** A link with the age of what it has not delivered. */
export interface LinkDetails extends LinkReport {
  /** Milliseconds since the oldest change that the leader has not acknowledged; undefined: none. */
  readonly outboxAgeMs: number | undefined
}

export interface ClusterReport extends Omit<ClusterStatus, 'scopes' | 'links'> {
  readonly scopes: readonly ScopeReport[]
  readonly links: readonly LinkDetails[]
}

/** @throws StateError of the store when the outbox can not be read. */
export async function reportCluster(
  engine: Pick<ClusterEngine, 'status'>,
  store: ReplicationStore,
  clock: HybridClock,
): Promise<ClusterReport> {
  const status = engine.status()
  const links = await Promise.all(
    status.links.map(async (link): Promise<LinkDetails> => {
      const [oldest] = link.outbox === 0 ? [] : await store.pending(link.url, 1, new Set())
      const ageNs = oldest && clock.physicalNs() - versionOf(oldest.record)
      const outboxAgeMs = ageNs === undefined ? undefined : Math.max(0, Number(ageNs / NS_PER_MS))
      return { ...link, outboxAgeMs }
    }),
  )
  return { ...status, links, scopes: status.scopes.map((scope) => describeScope(scope, status)) }
}

/** For those who are no members: not where the bus is. */
export function withoutBusAddress(report: ClusterReport): ClusterReport {
  const { bus } = report
  if (bus === undefined) return report
  const shown = (side: BusSide): BusSide =>
    side.lastError === undefined ? side : { ...side, lastError: withoutAddresses(side.lastError) }
  const sides = { publishing: shown(bus.publishing), subscribing: shown(bus.subscribing) }
  return { ...report, bus: { ...bus, ...sides, address: undefined } }
}

function describeScope({ path, leader }: Scope, status: ClusterStatus): ScopeReport {
  const link = status.links.find(({ url }) => url === leader)
  if (leader === undefined || link === undefined) {
    const { epoch, head } = status
    return {
      path,
      role: 'leader',
      leader: undefined,
      epoch,
      cursor: head,
      state: 'live',
      lagRows: 0,
      lagMs: 0,
    }
  }
  const { epoch, cursor, state, lagRows, lagMs } = link
  return { path, role: 'follower', leader, epoch, cursor, state, lagRows, lagMs }
}
