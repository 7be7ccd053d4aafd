/** What a node does under one placement: its engine, what it speaks of 2.0, and its registration. */
import type { Transport } from '../src/core/transport.ts'
import type { PluginHost, ServerAddress } from '../src/server/plugin.ts'
import type { DigestTable } from './digest-table.ts'
import type { Standing } from './election/standing.ts'
import { ClusterEngine, type ClusterStatus } from './engine.ts'
import { Registrar, whereabouts } from './membership.ts'
import type { ResolvedClusterOptions } from './options.ts'
import type { PivotNode } from './pivot-info.ts'
import { Pivot2 } from './pivot2/pivot2.ts'
import type { Placement } from './placement.ts'

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
}

export class Member {
  readonly engine: ClusterEngine
  readonly pivot2: Pivot2
  readonly #registrar: Registrar | undefined

  constructor({ options, placement, host, address, ...parts }: MemberOptions) {
    const { transport, digests, standing, progressed, nodes } = parts
    const { store, clock, time, newId } = host
    const spoken = { options, placement, store, clock, time, transport }
    this.pivot2 = new Pivot2({ ...spoken, nodes })
    this.engine = new ClusterEngine({
      ...spoken,
      transport: this.pivot2.transport,
      random: options.random,
      url: whereabouts({ advertise: options.advertise, address }).url,
      newId,
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
    await this.engine.stop()
  }

  /** The engine's status, with links that speak 2.0 as they are. */
  status(): ClusterStatus {
    return this.pivot2.view(this.engine).status()
  }
}

/** Followers register; a node that leads the nodes scope is known by its address already. */
function registrarOf(
  { name, role }: ClusterEngine,
  { store, time }: PluginHost,
  placement: Placement,
  { nodesKey, advertise, logger }: ResolvedClusterOptions,
  address: ServerAddress,
): Registrar | undefined {
  const scope = placement.scopes.find(({ path }) => path === nodesKey)
  if (scope?.leader === undefined) return undefined
  return new Registrar({ store, time, logger, nodesKey, name, role, advertise, address })
}
