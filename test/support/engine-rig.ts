/**
 * Sync engines in one process, over memory and a network that loses nothing: timers run on a virtual
 * clock, messages arrive in order as soon as the event loop turns.
 */

import type { ClusterLimits } from '../../cluster/config/options.ts'
import { resolveClusterOptions } from '../../cluster/config/options.ts'
import { planPlacement, scopeOf } from '../../cluster/members/placement.ts'
import { ClusterEngine } from '../../cluster/node/engine.ts'
import { HybridClock } from '../../src/core/data/clock.ts'
import type { MessageSocket, SocketHandlers, Transport } from '../../src/core/ports/transport.ts'
import { ReplicationStore } from '../../src/store/replication-store.ts'
import { MemoryStorage } from '../../storage-adapters/memory/memory.ts'
import { FakeTime } from './fake-time.ts'
import { SeededRandom } from './seeded-random.ts'
import { waitFor } from './wait.ts'

export interface RigPlan {
  readonly host: string
  /** Key paths that it replicates. Default `items/*`. */
  readonly keys?: readonly string[]
  /** Host of its leader. */
  readonly follows?: string
  readonly limits?: Partial<ClusterLimits>
  /** Opens connections in place of the rig's network. */
  readonly transport?: Transport
  /** Fills the store before the engine starts. */
  readonly fill?: (store: ReplicationStore) => Promise<void>
}

export interface RigNode {
  readonly host: string
  readonly store: ReplicationStore
  readonly engine: ClusterEngine
}

export class EngineRig {
  readonly time: FakeTime = new FakeTime()
  readonly #nodes: RigNode[] = []
  readonly #hosts = new Map<string, ClusterEngine>()
  readonly #pipes = new Set<() => void>()
  #ids = 0

  /** Opens a node's store and starts its engine. */
  async add(plan: RigPlan): Promise<RigNode> {
    const { host, follows } = plan
    const paths = (plan.keys ?? ['items/*']).map((path) => ({ path }))
    const clock = new HybridClock(this.time)
    const newId = (): string => `${host}-${this.#ids++}`
    const store = new ReplicationStore({
      adapter: new MemoryStorage(),
      clock,
      newId,
      time: this.time,
    })
    const placement = planPlacement(paths, follows, 'nodes/*')
    store.setLeaderOf((key) => scopeOf(placement, key)?.leader)
    await store.open()
    await plan.fill?.(store)
    const random = new SeededRandom(1).next
    const options = resolveClusterOptions({
      keys: paths,
      name: host,
      random,
      ...(follows === undefined ? {} : { clusterUrl: follows }),
      ...(plan.limits === undefined ? {} : { limits: plan.limits }),
    })
    const engine = new ClusterEngine({
      options,
      placement,
      store,
      clock,
      time: this.time,
      random,
      transport: plan.transport ?? this.transport(host),
      newId,
    })
    const node = { host, store, engine }
    this.#nodes.push(node)
    this.#hosts.set(host, engine)
    await engine.start()
    return node
  }

  /** Breaks every connection; until `plug`, no other is made. */
  unplug(host: string): void {
    this.#hosts.delete(host)
    for (const reset of this.#pipes) reset()
  }

  plug(node: RigNode): void {
    this.#hosts.set(node.host, node.engine)
  }

  /** Lets virtual time pass, a little at a time, until the condition holds. */
  async until(condition: () => boolean, what: string, deadlineMs = 60_000): Promise<void> {
    await waitFor(
      async () => {
        if (condition()) return true
        await this.time.advanceAsync(5)
        return condition()
      },
      { what, deadlineMs, intervalMs: 0 },
    )
  }

  /** Until every link of `node` is live, has nothing to push and lacks nothing it knows of. */
  async untilInStep(node: RigNode, deadlineMs?: number): Promise<void> {
    const inStep = (): boolean =>
      node.engine
        .status()
        .links.every(
          ({ state, outbox, lagRows }) => state === 'live' && outbox === 0 && lagRows === 0,
        )
    await this.until(inStep, `${node.host} to be in step`, deadlineMs)
  }

  async close(): Promise<void> {
    for (const { engine, store } of this.#nodes.splice(0).reverse()) {
      await engine.stop()
      await store.close()
    }
  }

  /** The rig's network, as `from` dials it. */
  transport(from: string): Transport {
    return {
      dial: ({ url }, opened, handlers) => {
        const pipe = new Pipe(handlers, () => this.#pipes.delete(reset))
        const reset = (): void => pipe.reset()
        this.#pipes.add(reset)
        setImmediate(() => {
          const engine = this.#hosts.get(new URL(url).host)
          if (engine === undefined) pipe.reset()
          else pipe.open(engine.accept(pipe.server, from), opened)
        })
        return pipe.client
      },
    }
  }
}

class Pipe {
  readonly client: MessageSocket
  readonly server: MessageSocket
  readonly #client: SocketHandlers
  readonly #gone: () => void
  #server: SocketHandlers | undefined
  #isOpen = true

  constructor(client: SocketHandlers, gone: () => void) {
    this.#client = client
    this.#gone = gone
    this.client = this.#end((text) => this.#server?.message(text))
    this.server = this.#end((text) => this.#client.message(text))
  }

  open(server: SocketHandlers, opened: () => void): void {
    this.#server = server
    if (this.#isOpen) opened()
  }

  reset(code = 1006, reason = 'reset'): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#gone()
    this.#client.close({ code, reason })
    this.#server?.close({ code, reason })
  }

  #end(deliver: (text: string) => void): MessageSocket {
    const later = (action: () => void): void => {
      setImmediate(() => {
        if (this.#isOpen) action()
      })
    }
    return {
      bufferedBytes: 0,
      send: (text) => later(() => deliver(text)),
      close: (code, reason) => later(() => this.reset(code, reason)),
      terminate: () => this.reset(),
    }
  }
}
