/** The settings of `ooo serve` about who leads. */
import { hostname } from 'node:os'
import { isPodLabel } from '../../../cluster/election/options.ts'
import type {
  KubernetesLeaderOptions,
  LeaderOptions,
  VoterOptions,
} from '../../../cluster/index.ts'
import { StateError } from '../../../src/core/errors.ts'
import type { Logger } from '../../../src/core/ports/logger.ts'
import { isVoterName, MAX_VOTERS, VOTER_NAME_RULE } from '../../../src/core/voter-list.ts'
import { loadTrustedCas } from '../../../src/server/contract/tls.ts'
import type { Resolved } from '../reading/resolve.ts'
import {
  type Kind,
  named,
  oneOf,
  type SettingsTable,
  TEXT,
  wholeNumber,
} from '../reading/setting.ts'
import type { BusConfig } from './bus.ts'

export interface ElectionConfig {
  /** `static`: by `clusterUrl`. */
  readonly leader: LeaderKind
  readonly leaseName: string
  readonly leaseSeconds: number
  /** undefined: that of the pod. */
  readonly leaseNamespace: string | undefined
  /** Of the pod of the leader; undefined: pods are not labelled. */
  readonly leasePodLabel: PodLabelSetting | undefined
  /** Names of the nodes that vote; empty: those that run for the lease first. */
  readonly voters: readonly string[]
  /** undefined: the node's name is that of its pod. */
  readonly leasePod: string | undefined
}

interface PodLabelSetting {
  readonly name: string
  readonly value: string
}

type LeaderKind = 'static' | 'redis' | 'kubernetes'

const LEASE_NAME: Kind<string> = {
  placeholder: 'NAME',
  allowed: 'a name of small letters, digits, - and . such as ooo-cluster',
  parse: (text) => (/^[a-z0-9]([-a-z0-9.]{0,200}[a-z0-9])?$/.test(text) ? text : undefined),
}

const VOTERS: Kind<readonly string[]> = {
  placeholder: 'NAME,…',
  allowed: `names of nodes, separated by commas: ${VOTER_NAME_RULE}`,
  parse: (text) => {
    const names = text.split(',').map((name) => name.trim())
    const isRight = names.every(isVoterName) && names.length <= MAX_VOTERS
    return isRight && new Set(names).size === names.length ? names : undefined
  },
  join: (values) => [...new Set(values.flat())],
}

const POD_LABEL: Kind<PodLabelSetting> = {
  placeholder: 'KEY=VALUE',
  allowed: 'a label of Kubernetes such as ooo-cluster/role=leader',
  parse: (text) => {
    const [name = '', value = '', ...more] = text.split('=')
    return more.length === 0 && isPodLabel(name, value) ? { name, value } : undefined
  },
}

export const ELECTION_SETTINGS: SettingsTable<ElectionConfig> = {
  leader: {
    flag: 'leader',
    env: 'OOO_LEADER',
    kind: oneOf<LeaderKind>(['static', 'redis', 'kubernetes']),
    fallback: 'static',
    meaning:
      'who leads: static (as --cluster-url says), or whoever holds a lease, kept in the Redis of --redis or in Kubernetes',
  },
  leaseName: {
    flag: 'lease-name',
    env: 'OOO_LEASE_NAME',
    kind: LEASE_NAME,
    fallback: 'ooo-cluster',
    meaning: 'name of the lease, the same for all nodes that elect one leader',
  },
  leaseSeconds: {
    flag: 'lease-seconds',
    env: 'OOO_LEASE_SECONDS',
    kind: wholeNumber(1, 600),
    fallback: 5,
    meaning: 'a leader that was not heard of for so long is replaced; the same for all nodes',
  },
  leaseNamespace: {
    flag: 'lease-namespace',
    env: 'OOO_LEASE_NAMESPACE',
    kind: named(TEXT, 'NAME'),
    fallback: undefined,
    fallbackText: 'that of the pod',
    meaning: 'Kubernetes namespace of the lease',
  },
  voters: {
    flag: 'voters',
    env: 'OOO_VOTERS',
    kind: VOTERS,
    fallback: [],
    fallbackText: 'the nodes that run for the lease first',
    meaning:
      'names (--name) of the nodes of which a majority must say that a leader holds what they held, before it decides; for the first start, see ooo voters',
  },
  leasePodLabel: {
    flag: 'lease-pod-label',
    env: 'OOO_LEASE_POD_LABEL',
    kind: POD_LABEL,
    fallback: undefined,
    fallbackText: 'none',
    meaning: 'label that the pod of this node carries while it leads, in Kubernetes',
  },
  leasePod: {
    flag: 'lease-pod',
    env: 'OOO_LEASE_POD',
    kind: named(TEXT, 'NAME'),
    fallback: undefined,
    fallbackText: 'that of --name',
    meaning: 'pod of this node, for --lease-pod-label',
  },
}

/** How the leader is found, for the options of a node's cluster. */
export async function electionOf(
  config: ElectionConfig & BusConfig & { readonly name: string | undefined },
  env: Readonly<Record<string, string | undefined>>,
): Promise<{ readonly leader?: LeaderOptions }> {
  const { leader: kind, leaseName: name, leaseNamespace, redis: url, redisCa } = config
  const lease = { name, durationMs: config.leaseSeconds * 1000, ...votingOf(config) }
  if (kind === 'kubernetes') {
    const namespace = leaseNamespace === undefined ? {} : { namespace: leaseNamespace }
    return { leader: { kind, ...lease, ...namespace, ...podLabelOf(config), env } }
  }
  if (kind === 'static' || url === undefined) return {}
  const ca = redisCa === undefined ? {} : { ca: await loadTrustedCas([redisCa]) }
  return { leader: { kind, ...lease, url, ...ca } }
}

/** Tells a node that is to vote and has no name that voters can have. */
export function warnOfNamelessVoter(
  { leader, name }: ElectionConfig & { readonly name: string | undefined },
  logger: Logger,
): void {
  if (leader === 'static' || (name !== undefined && isVoterName(name))) return
  logger.warn(
    'this node votes by its id, which is lost with its disk: give it a --name of its own that voters can have',
    { name: name ?? 'none', allowed: VOTER_NAME_RULE },
  )
}

/** A name that was not given is the machine's, which other nodes on it have too. */
function votingOf({
  voters,
  name,
}: ElectionConfig & { readonly name: string | undefined }): VoterOptions {
  return {
    ...(voters.length === 0 ? {} : { voters }),
    ...(name === undefined || !isVoterName(name) ? {} : { voter: name }),
  }
}

function podLabelOf({
  leasePodLabel: label,
  leasePod,
  name,
}: ElectionConfig & { readonly name: string | undefined }): Pick<
  KubernetesLeaderOptions,
  'podLabel'
> {
  return label === undefined ? {} : { podLabel: { ...label, pod: leasePod ?? name ?? hostname() } }
}

/** @throws StateError `invalid_option` naming the settings that contradict each other and what to do. */
export function refuseHalfElected(
  values: ElectionConfig &
    BusConfig & {
      readonly clusterUrl: unknown
      readonly keys: readonly unknown[]
      readonly name: string | undefined
    },
  sources: Resolved<ElectionConfig & { readonly clusterUrl: unknown }>['sources'],
): void {
  const { leader, redis, clusterUrl, keys, leasePodLabel, name } = values
  const refuse = (source: string | undefined, reason: string): never => {
    throw new StateError('invalid_option', `${source}: ${reason}`)
  }
  if (sources.leasePod !== undefined && leasePodLabel === undefined) {
    refuse(sources.leasePod, 'no pod is labelled; give --lease-pod-label')
  }
  if (leader === 'static') {
    const { leaseName, leaseSeconds, leaseNamespace, leasePodLabel: label, voters } = sources
    const idle = leaseName ?? leaseSeconds ?? leaseNamespace ?? label ?? voters
    if (idle !== undefined) refuse(idle, 'there is no lease; give --leader redis or kubernetes')
    return
  }
  if (clusterUrl !== undefined) {
    refuse(sources.clusterUrl, `the leader is elected by ${leader}; leave one of them out`)
  }
  if (values.voters.length > 0 && (name === undefined || !isVoterName(name))) {
    refuse(sources.voters, 'voters go by their names; give this node one by --name')
  }
  if (keys.length === 0) {
    refuse(sources.leader, 'what is led are keys to replicate; give at least one --key')
  }
  if (leader === 'redis' && redis === undefined) {
    refuse(sources.leader, 'redis needs a server to keep the lease; give --redis')
  }
  if (leader !== 'kubernetes' && sources.leaseNamespace !== undefined) {
    refuse(sources.leaseNamespace, 'only a lease in Kubernetes has one; give --leader kubernetes')
  }
  if (leader !== 'kubernetes' && leasePodLabel !== undefined) {
    refuse(sources.leasePodLabel, 'pods are labelled in Kubernetes only; give --leader kubernetes')
  }
}
