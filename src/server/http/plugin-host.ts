/** What plugins registered, and the host they registered it with. */
import { StateError } from '../../core/errors.ts'
import type { LeaderOf } from '../../store/types/store-options.ts'
import type {
  ManagementProvider,
  MemberLocator,
  PluginHost,
  PluginRoute,
  WarningProvider,
  WriteGuard,
} from '../contract/plugin.ts'
import type { Replication } from '../contract/replication.ts'
import { hostNameOf } from '../doors/host-name.ts'
import type { CredentialCheck } from '../doors/page-guard.ts'
import { isOwnApi } from '../management/management.ts'

/** Names of either kind that are remembered. */
const MAX_HOST_NAMES = 1000

/** Routes of all plugins of one `open`. */
export interface PluginRoutes {
  readonly rows: PluginRoute[]
  /** By the name of the management API. */
  readonly management: Map<string, ManagementProvider>
  readonly warnings: WarningProvider[]
  /** Names of this node, also for pages. */
  readonly ownNames: Set<string>
  /** Names by which requests may call it. */
  readonly hostNames: Set<string>
  readonly credentials: CredentialCheck[]
  readonly guards: WriteGuard[]
  readonly locators: MemberLocator[]
  /** What replicates; undefined on a node that stands alone. */
  replication: Replication | undefined
}

export function createPluginRoutes(): PluginRoutes {
  return {
    rows: [],
    management: new Map(),
    warnings: [],
    ownNames: new Set(),
    hostNames: new Set(),
    credentials: [],
    guards: [],
    locators: [],
    replication: undefined,
  }
}

/**
 * The host given to each plugin's `setup`; it fills `routes`.
 * `route` throws `invalid_option` for a path that a key could have, and for a door that is not asked at; `management` for
 * a name that is taken.
 */
export function createPluginHost(
  services: Omit<
    PluginHost,
    | 'addLeaderOf'
    | 'route'
    | 'management'
    | 'warnings'
    | 'replicate'
    | 'hostName'
    | 'credential'
    | 'guardWrites'
    | 'locateMembers'
    | 'replicate'
  >,
  routes: PluginRoutes,
): PluginHost {
  const leaders: LeaderOf[] = []
  return {
    ...services,
    addLeaderOf: (leaderOf) => {
      leaders.push(leaderOf)
      services.replicationStore.setLeaderOf((key) => firstLeader(leaders, key))
    },
    route: (route) => {
      assertRoute(route)
      routes.rows.push(route)
    },
    management: (name, provider) => {
      if (isOwnApi(name) || routes.management.has(name)) {
        throw new StateError('invalid_option', `ooo: management API "${name}" is taken`)
      }
      routes.management.set(name, provider)
    },
    warnings: (provider) => {
      routes.warnings.push(provider)
    },
    hostName: (authority, { isOwn }) => {
      const name = hostNameOf(authority)
      const names = isOwn ? routes.ownNames : routes.hostNames
      if (name !== undefined && names.size < MAX_HOST_NAMES) names.add(name)
    },
    credential: (check) => {
      routes.credentials.push(check)
    },
    guardWrites: (guard) => {
      routes.guards.push(guard)
    },
    locateMembers: (locate) => {
      routes.locators.push(locate)
    },
    replicate: (replication) => {
      if (routes.replication !== undefined) {
        throw new StateError('invalid_option', 'ooo: another plugin replicates already')
      }
      routes.replication = replication
    },
  }
}

function firstLeader(leaders: readonly LeaderOf[], key: string): string | undefined {
  for (const leaderOf of leaders) {
    const leader = leaderOf(key)
    if (leader !== undefined) return leader
  }
  return undefined
}

function assertRoute({ path, who, authorize }: PluginRoute): void {
  const refuse = (why: string): never => {
    throw new StateError('invalid_option', `ooo: plugin path "${path}" ${why}`)
  }
  if (!/^\/(?:_|-\/)./.test(path) || path.endsWith('/')) {
    refuse('must start with /_ or /-/ and not end with /')
  }
  // A row that claims a door and does not ask would be open to every client.
  if (who !== 'anyone' && who !== 'client' && authorize === undefined) {
    refuse(`is for "${who}" and has no authorize`)
  }
}
