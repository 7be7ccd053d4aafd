/** Where a node stands in its cluster: for good, as configured, or as an election has it. */
import { nanoid } from 'nanoid'
import { errorText } from '../../src/core/errors.ts'
import { UNKNOWN_LEADER } from '../../src/core/unknown-leader.ts'
import type { PluginHost, ServerAddress } from '../../src/server/contract/plugin.ts'
import type { DecisionTerms } from '../../src/store/types/store-options.ts'
import { DigestTable } from '../anti-entropy/digest-table.ts'
import { usualSets } from '../anti-entropy/key-set.ts'
import type { ResolvedClusterOptions } from '../config/options.ts'
import type { LeaseReport } from '../election/election.ts'
import { failFast } from '../election/fail-fast.ts'
import { type ElectedOptions, makeLease } from '../election/options.ts'
import { withPeerKnowledge } from '../election/peer-knowledge.ts'
import type { Ballot } from '../election/voters/ballot.ts'
import type { VotersReport } from '../election/voters/report.ts'
import type { LeaderCalls } from '../members/leader-call.ts'
import { advertisedAddress, memberUrl, recordUrl } from '../members/membership.ts'
import { type Placement, planPlacement, scopeOf } from '../members/placement.ts'
import { livedTimeOf } from '../progress/lived-time.ts'
import { horizonAt } from '../progress/retention.ts'
import type { ClusterEngine } from './engine.ts'
import { Leadership } from './leadership.ts'
import { Member } from './member.ts'
import { followsAllNodes, nodeKey } from './nodes-scope.ts'
import type { PivotNode } from './pivot-info.ts'

/** Nodes among which some are asked who leads, when the lease is out of reach. */
const MAX_PEERS = 200

export interface NodeRole {
  /** Who leads what at present. */
  readonly placement: Placement
  /** What runs; undefined before the start, after the end, and while another node takes the lead. */
  readonly member: Member | undefined
  /** Where others reach this node; undefined before the start. */
  readonly url: string | undefined
  /** Whether this node leads what has no leader of its own, and may decide about it right now. */
  readonly leads: boolean
  /** For `PluginHost.addLeaderOf`. */
  leaderOf(key: string): string | undefined
  /** undefined where leaders are configured. */
  lease(): LeaseReport | undefined
  /** Who votes for what an elected leader decides; undefined where leaders are configured. */
  voters(): VotersReport | undefined
  /** Of this node as the elected leader; undefined elsewhere. */
  readonly ballot: Ballot | undefined
  /** Whether the key has an elected leader. */
  isElected(key: string): boolean
  /** For `ReplicationStore.setDecisionTerms`. */
  decisionTerms(key: string): DecisionTerms | undefined
  start(address: ServerAddress): Promise<void>
  stop(): Promise<void>
}

export interface NodeRoleOptions {
  readonly options: ResolvedClusterOptions
  readonly host: PluginHost
  /** Hears that followers may hold more than before. */
  readonly progressed: () => void
  /** The nodes as `GET /?api=pivot` tells them. */
  readonly nodes: () => Promise<readonly PivotNode[]>
  /** Requests to other nodes. */
  readonly calls: Pick<LeaderCalls, 'call' | 'callStranger'>
}

/** @throws StateError `invalid_key` or `invalid_option`: see `planPlacement`. */
export function createNodeRole(parts: NodeRoleOptions): NodeRole {
  const { leader } = parts.options
  return leader === undefined ? fixedRole(parts) : electedRole(parts, leader)
}

function fixedRole(parts: NodeRoleOptions): NodeRole {
  const { options, host } = parts
  const placement = planPlacement(options.keys, options.clusterUrl, options.nodesKey)
  const leadsNodes = leaderOfNodes(placement, options) === undefined
  // While the store is read nothing is written, and its id is not known yet.
  const isOthersRecord = (key: string): boolean => {
    const id = host.replicationStore.meta('id')
    return id !== undefined && !followsAllNodes(options) && key !== nodeKey(options.nodesKey, id)
  }
  let member: Member | undefined
  let url: string | undefined
  let isEnding = false
  return {
    placement,
    get member() {
      return member
    },
    get url() {
      return url
    },
    get leads() {
      return leadsNodes && member !== undefined
    },
    leaderOf: (key) => {
      const scope = scopeOf(placement, key)
      return scope?.path === options.nodesKey && isOthersRecord(key) ? undefined : scope?.leader
    },
    lease: () => undefined,
    voters: () => undefined,
    ballot: undefined,
    isElected: () => false,
    decisionTerms: () => undefined,
    async start(address) {
      url = advertisedAddress({ advertise: options.advertise, address }).url
      // What an earlier release queued of other nodes' records is pending no more.
      if (!followsAllNodes(options)) await host.replicationStore.retarget(() => undefined)
      const ending = { isEnding: () => isEnding }
      const { transport } = host
      const started = new Member({ ...parts, ...ending, placement, address, transport })
      member = started
      await started.start()
    },
    async stop() {
      isEnding = true
      await member?.stop()
      member = undefined
    },
  }
}

function electedRole(parts: NodeRoleOptions, leader: ElectedOptions): NodeRole {
  const { options, host } = parts
  const { replicationStore: store, time, clock, newId } = host
  const { random, logger, keys, nodesKey, advertise } = options
  let address: ServerAddress | undefined
  let url: string | undefined
  let kept: KeptDigests | undefined
  let isEnding = false
  const leadership = new Leadership<Member>({
    ...{ store, clock, time, random, newId, logger },
    voter: leader.voter,
    voters: leader.voters,
    plan: (elected) => planPlacement(keys, elected, nodesKey),
    run: async (placement, standing) => {
      if (address === undefined) throw new Error('the server does not listen')
      const transport = failFast(host.transport)
      kept ??= keepDigests(parts, placement)
      const { digests } = kept
      const ending = { isEnding: () => isEnding }
      const running = { placement, address, transport, digests, standing }
      const member = new Member({ ...parts, ...ending, ...running })
      await member.start()
      return member
    },
  })
  return {
    get placement() {
      return leadership.placement
    },
    get member() {
      return leadership.term
    },
    get url() {
      return url
    },
    get leads() {
      return leadership.leads
    },
    leaderOf: (key) => leadership.leaderOf(key),
    lease: () => leadership.report(),
    voters: () => leadership.voters(),
    get ballot() {
      return leadership.leads ? leadership.ballot : undefined
    },
    isElected: (key) => leadership.isElected(key),
    decisionTerms: (key) => leadership.decisionTerms(key),
    async start(listening) {
      address = listening
      url = advertisedAddress({ advertise, address }).url
      const self = { id: store.id, url }
      const candidate = { ...self, session: nanoid() }
      const lease = withPeerKnowledge({
        lease: await makeLease(leader, candidate, { time, random, logger }),
        ...{ self, random, token: options.token, calls: parts.calls },
        peers: () => peersOf(leadership.term?.engine, store, options),
      })
      try {
        await leadership.start(lease, self)
      } catch (error) {
        await lease.close()
        throw error
      }
    },
    async stop() {
      isEnding = true
      await leadership.close()
      kept?.stop()
    },
  }
}

interface KeptDigests {
  readonly digests: DigestTable
  stop(): void
}

/** Counted once, so that a change of leader does not cost a scan of everything. */
function keepDigests({ host, options }: NodeRoleOptions, placement: Placement): KeptDigests {
  const { replicationStore: store, time } = host
  const digests = new DigestTable(store, time, usualSets(placement))
  const unsubscribe = store.onCommit((commit) => digests.committed(commit))
  const oldNs = livedTimeOf({ ...host, store, options }).oldNs('tombstones')
  const horizon = horizonAt(oldNs, options.tombstoneRetentionMs)
  digests.recount(horizon).catch((error: unknown) => {
    // They are counted when they are asked for.
    options.logger.debug('the digests were not counted', { error: errorText(error) })
  })
  return {
    digests,
    stop: () => {
      unsubscribe()
      digests.stop()
    },
  }
}

/**
 * URLs of other nodes: of members that joined here, and of those that members are shown by. What clients may
 * write is not looked at.
 */
async function peersOf(
  engine: Pick<ClusterEngine, 'members'> | undefined,
  store: PluginHost['store'],
  { nodesKey, nodesWritable }: ResolvedClusterOptions,
): Promise<string[]> {
  const members = engine?.members().flatMap(({ node }) => (node ? [memberUrl(node)] : [])) ?? []
  const records = nodesWritable ? [] : await store.list(nodesKey, { limit: MAX_PEERS })
  return [...members, ...records.flatMap((record) => recordUrl(record) ?? [])]
}

/** Who leads what has no leader of its own; undefined: this node. */
export function leaderOfNodes(
  { scopes }: Placement,
  { nodesKey }: Pick<ResolvedClusterOptions, 'nodesKey'>,
): string | undefined {
  const leader = scopes.find(({ path }) => path === nodesKey)?.leader
  return leader === UNKNOWN_LEADER ? undefined : leader
}
