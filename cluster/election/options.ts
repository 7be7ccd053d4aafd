/** How a node finds out who leads: by configuration, or by a lease. */
import { StateError } from '../../src/core/errors.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import type { Random, TimeSource } from '../../src/core/ports/time.ts'
import { isVoterName, MAX_VOTERS, VOTER_NAME_RULE } from '../../src/core/voter-list.ts'
import type { Candidate, Lease } from './lease/lease.ts'
import type { PodLabelChoice } from './lease/pod-label.ts'
import { electionTimes } from './state.ts'

export interface VoterOptions {
  /**
   * Names of the nodes of which a majority says that a leader holds what they held, before it decides
   * anything. Looked at when the first list is made, and the same for all nodes then; later lists are made
   * by `ooo voters`. Default: the node that leads first, and those that join it while there are fewer
   * than three, or within a minute.
   */
  readonly voters?: readonly string[]
  /**
   * The name of this node in such a list, the same for all its lives, and for no other node. Default: its
   * id, which is lost with its disk.
   */
  readonly voter?: string
}

export interface LeaseOptions extends VoterOptions {
  /**
   * Name of the lease, the same for all nodes of the cluster: small letters, digits, `-` and `.`.
   * Default `ooo-cluster`.
   */
  readonly name?: string
  /**
   * A leader that was not heard of for so long is replaced, milliseconds; it renews five times as often.
   * The same for all nodes. Default 5000, at least 1000.
   */
  readonly durationMs?: number
}

export interface RedisLeaderOptions extends LeaseOptions {
  /** `redis`. */
  readonly kind: 'redis'
  /** `redis://…`, `rediss://…`, or of Sentinel or a Redis Cluster, as for the bus. */
  readonly url: string
  /** Certificate authorities for `rediss://`, PEM. Default: the usual ones. */
  readonly ca?: string | readonly string[]
}

export interface KubernetesLeaderOptions extends LeaseOptions {
  /** `kubernetes`. */
  readonly kind: 'kubernetes'
  /** Where the Lease is. Default: the namespace of the pod, or of the context of `KUBECONFIG`. */
  readonly namespace?: string
  /** Variables that tell where the API is. Default: those of the process. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /**
   * Puts a label on the pod of this node while it leads, for a Service that follows the leader. Needs the
   * right to patch the pods of all nodes. Default: none.
   */
  readonly podLabel?: PodLabelChoice
}

/** A lease of your own making. */
export interface CustomLeaderOptions extends VoterOptions {
  /** `custom`. */
  readonly kind: 'custom'
  /** Makes the lease for this node; closed with the node. */
  readonly make: (self: Candidate) => Lease
}

/** `static`: `clusterUrl` says who leads. */
export type LeaderOptions =
  | { readonly kind: 'static' }
  | RedisLeaderOptions
  | KubernetesLeaderOptions
  | CustomLeaderOptions

/** Who leads by a lease. */
export type ElectedOptions = Exclude<LeaderOptions, { kind: 'static' }>

const DEFAULT_NAME = 'ooo-cluster'
const DEFAULT_MS = 5000
const LEAST_MS = 1000

/**
 * undefined for `static`.
 * @throws StateError `invalid_option` for a bad name or duration, or together with a `clusterUrl`.
 */
export function resolveLeader(
  leader: LeaderOptions | undefined,
  clusterUrl: string | undefined,
): ElectedOptions | undefined {
  if (leader === undefined || leader.kind === 'static') return undefined
  if (clusterUrl !== undefined) {
    throw new StateError(
      'invalid_option',
      `cluster: clusterUrl is ${clusterUrl}, but the leader is elected by ${leader.kind}; give one of them`,
    )
  }
  refuseBadVoters(leader)
  if (leader.kind === 'custom') return leader
  const { name = DEFAULT_NAME, durationMs = DEFAULT_MS } = leader
  if (!/^[a-z0-9]([-a-z0-9.]{0,200}[a-z0-9])?$/.test(name)) {
    throw new StateError(
      'invalid_option',
      `cluster: the name of the lease is "${name}"; it must be of small letters, digits, - and .`,
    )
  }
  if (!Number.isInteger(durationMs) || durationMs < LEAST_MS) {
    throw new StateError(
      'invalid_option',
      `cluster: durationMs of the lease is ${durationMs}, it must be at least ${LEAST_MS}`,
    )
  }
  if (leader.kind === 'kubernetes') refuseBadLabel(leader.podLabel)
  return leader
}

function refuseBadVoters({ voters, voter }: VoterOptions): void {
  const refuse = (reason: string): never => {
    throw new StateError('invalid_option', `cluster: ${reason}`)
  }
  for (const name of [...(voters ?? []), ...(voter === undefined ? [] : [voter])]) {
    if (!isVoterName(name)) refuse(`"${name}" is no name of a voter: ${VOTER_NAME_RULE}`)
  }
  if (voters === undefined) return
  if (voters.length === 0 || voters.length > MAX_VOTERS) {
    refuse(`there are ${voters.length} voters, there must be 1 to ${MAX_VOTERS}`)
  }
  if (new Set(voters).size < voters.length) refuse(`a voter is named twice: ${voters.join(', ')}`)
  if (voter === undefined) refuse('voters are given by name, and this node has none: give voter')
}

/** As Kubernetes has names of pods, and names and values of labels. */
function refuseBadLabel(choice: PodLabelChoice | undefined): void {
  if (choice === undefined) return
  const { pod, name, value } = choice
  if (!/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(pod)) {
    throw new StateError('invalid_option', `cluster: podLabel: "${pod}" is no name of a pod`)
  }
  if (!isPodLabel(name, value)) {
    throw new StateError('invalid_option', `cluster: podLabel: "${name}=${value}" is no label`)
  }
}

/** Whether Kubernetes takes this name and this value, which is not empty, for a label. */
export function isPodLabel(name: string, value: string): boolean {
  const word = /^[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?$/
  const slash = name.indexOf('/')
  const isPrefixed =
    slash === -1 || /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(name.slice(0, slash))
  return isPrefixed && word.test(name.slice(slash + 1)) && word.test(value)
}

/** @throws StateError `invalid_option` when the lease is nowhere to be found. */
export async function makeLease(
  leader: ElectedOptions,
  self: Candidate,
  {
    time,
    random,
    logger,
  }: { readonly time: TimeSource; readonly random: Random; readonly logger: Logger },
): Promise<Lease> {
  if (leader.kind === 'custom') return leader.make(self)
  const { name = DEFAULT_NAME, durationMs = DEFAULT_MS } = leader
  const { timeoutMs } = electionTimes(durationMs)
  // Read when they are needed: other nodes need no client of Redis or Kubernetes in memory.
  if (leader.kind === 'redis') {
    const { redisLease } = await import('./lease/redis-lease.ts')
    const { redisScripts } = await import('./lease/redis-scripts.ts')
    const { url, ca } = leader
    const cas = ca === undefined ? undefined : [ca].flat()
    const scripts = redisScripts({ url, ca: cas, timeoutMs, random })
    return redisLease({ scripts, name, durationMs, self })
  }
  const { KubeApi } = await import('./lease/kube-api.ts')
  const { loadKubeConfig } = await import('./lease/kube-config.ts')
  const { kubernetesLease } = await import('./lease/kubernetes-lease.ts')
  const config = loadKubeConfig({ env: leader.env ?? process.env })
  const namespace = leader.namespace ?? config.namespace
  const api = new KubeApi(config, timeoutMs)
  const options = { api, namespace, name, durationMs, self, time }
  if (leader.podLabel === undefined) return kubernetesLease(options)
  const { PodLabel, withPodLabel } = await import('./lease/pod-label.ts')
  const label = new PodLabel({
    ...leader.podLabel,
    api: new KubeApi(config, timeoutMs),
    namespace: config.namespace,
    againMs: durationMs,
    closeMs: timeoutMs,
    ...{ time, random, logger },
  })
  return withPodLabel(
    kubernetesLease({ ...options, notes: (before) => label.notes(before) }),
    label,
  )
}
