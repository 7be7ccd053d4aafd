/** What a node does under one placement: its engine, what it speaks of 2.0, and its registration. */
import { errorText, isStateError, StateError } from '../../src/core/errors.ts'
import type { Transport } from '../../src/core/ports/transport.ts'
import { VERSION } from '../../src/core/version.ts'
import { LEAVING, type MemberNode } from '../../src/core/wire/node.ts'
import type { PluginHost, ServerAddress } from '../../src/server/contract/plugin.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import type { DigestTable } from '../anti-entropy/digest-table.ts'
import type { ResolvedClusterOptions } from '../config/options.ts'
import type { Standing } from '../election/voters/standing.ts'
import { advertisedAddress, Registrar } from '../members/membership.ts'
import { inScopes, type Placement } from '../members/placement.ts'
import type { RegisteredFollower } from '../progress/follower-registry.ts'
import { ClusterEngine } from './engine.ts'
import type { ClusterStatus } from './engine-status.ts'
import { followedPath, nodeKey } from './nodes-scope.ts'
import type { PivotNode } from './pivot-info.ts'
import { Pivot2 } from './pivot2.ts'

export interface MemberOptions {
  readonly options: ResolvedClusterOptions
  readonly placement: Placement
  readonly host: PluginHost
  readonly address: ServerAddress
  readonly transport: Transport
  /** That outlive this member; see `EngineOptions`. */
  readonly digests?: DigestTable
  /** See `EngineOptions`. */
  readonly standing?: Standing
  /** Hears that followers may hold more than before. */
  readonly progressed: () => void
  /** The nodes as `GET /?api=pivot` tells them. */
  readonly nodes: () => Promise<readonly PivotNode[]>
  /** Whether the node is ending, and not only what it does under this placement. */
  readonly isEnding: () => boolean
}

export class Member {
  readonly #parts: Pick<MemberOptions, 'host' | 'options' | 'isEnding'>
  /** Records of nodes that are being removed. */
  readonly #removals = new Set<Promise<unknown>>()
  readonly engine: ClusterEngine
  readonly pivot2: Pivot2
  readonly #registrar: Registrar | undefined

  constructor({ options, placement, host, address, ...parts }: MemberOptions) {
    const { transport, digests, standing, progressed, nodes, isEnding } = parts
    const { replicationStore: store, clock, time, newId } = host
    this.#parts = { host, options, isEnding }
    const spoken = { options, placement, store, clock, time, transport }
    this.pivot2 = new Pivot2({ ...spoken, nodes })
    this.engine = new ClusterEngine({
      ...spoken,
      transport: this.pivot2.transport,
      random: options.random,
      url: advertisedAddress({ advertise: options.advertise, address }).url,
      newId,
      node: memberNode(store, options, address),
      narrow: (path) => followedPath(path, options, store.id),
      forgotten: (follower) => this.#removeRecord(follower),
      ...(digests === undefined ? {} : { digests }),
      ...(standing === undefined ? {} : { standing }),
    })
    this.engine.onProgress(progressed)
    this.#registrar = registrarOf(this.engine, host, placement, options, address)
  }

  /** @throws StateError of the storage; the member is stopped then. */
  async start(): Promise<void> {
    try {
      this.pivot2.start()
      await this.engine.start()
      void this.engine.conflicts.trim()
      await this.#registrar?.start()
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  /** Ends all streams, waiting for what they have begun. Idempotent. */
  async stop(): Promise<void> {
    await this.#registrar?.stop()
    await this.pivot2.stop()
    const { host, isEnding } = this.#parts
    await this.engine.stop(isEnding() && !keepsData(host.replicationStore) ? LEAVING : undefined)
    await Promise.all(this.#removals)
  }

  /**
   * Forgets a member that is away, and its record; where it is no member, the record alone.
   * @returns whether there was anything. @throws StateError `invalid_option` while it is connected; of the storage.
   */
  async forget(id: string): Promise<boolean> {
    const { host, options } = this.#parts
    const member = this.engine.members().find((each) => each.id === id)
    if (member?.connected === true) {
      throw new StateError('invalid_option', `nodes: ${id} is connected; stop it first`)
    }
    if (this.engine.forget(id) !== undefined) {
      await Promise.all(this.#removals)
      return true
    }
    if (options.nodesWritable || id === host.replicationStore.id) return false
    return this.#deleteRecord(nodeKey(options.nodesKey, id))
  }

  /** @returns whether it was there. @throws StateError of the storage. */
  async #deleteRecord(key: string): Promise<boolean> {
    try {
      await this.#parts.host.replicationStore.delete(key)
      return true
    } catch (error) {
      if (isStateError(error, 'not_found')) return false
      throw error
    }
  }

  /** What is no member any more is not shown as one, unless what is shown is the application's. */
  #removeRecord({ id, scopes }: RegisteredFollower): void {
    const { options } = this.#parts
    const key = nodeKey(options.nodesKey, id)
    if (options.nodesWritable || !inScopes(scopes, key)) return
    const removal = this.#deleteRecord(key).catch((error: unknown) => {
      options.logger.warn('the record of a node could not be removed', {
        ...{ node: id, error: errorText(error) },
      })
    })
    this.#removals.add(removal)
    void removal.finally(() => this.#removals.delete(removal))
  }

  /** The engine's status, with links that speak 2.0 as they are. */
  status(): ClusterStatus {
    return this.pivot2.view(this.engine).status()
  }
}

function keepsData({ durability }: ReplicationStore): boolean {
  return durability.strongest !== 'memory'
}

function memberNode(
  store: ReplicationStore,
  { advertise }: ResolvedClusterOptions,
  address: ServerAddress,
): MemberNode {
  const { ip: host, port } = advertisedAddress({ advertise, address })
  const isSecure = address.url.startsWith('https:')
  return { host, port, isSecure, version: VERSION, keepsData: keepsData(store) }
}

/** Followers register; a node that leads the nodes scope is known by its address already. */
function registrarOf(
  { name, role }: ClusterEngine,
  { replicationStore: store, time }: PluginHost,
  placement: Placement,
  { nodesKey, nodesWritable, advertise, logger }: ResolvedClusterOptions,
  address: ServerAddress,
): Registrar | undefined {
  if (nodesWritable) return undefined
  const scope = placement.scopes.find(({ path }) => path === nodesKey)
  if (scope?.leader === undefined) return undefined
  return new Registrar({ store, time, logger, nodesKey, name, role, advertise, address })
}
