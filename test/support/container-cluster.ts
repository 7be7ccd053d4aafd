/**
 * Nodes as containers that reach each other, and servers beside them, over a network of their own.
 */
import { randomBytes } from 'node:crypto'
import type { Network } from 'dockerode'
import {
  GenericContainer,
  getContainerRuntimeClient,
  type StartedTestContainer,
  Wait,
} from 'testcontainers'
import { ContainerNode, PORT } from './container-node.ts'
import { freePort } from './free-port.ts'

const START_MS = 120_000

export interface ContainerNodeSpec {
  /** Also its host name among the others. */
  readonly name: string
  /** Beside name, address and host. */
  readonly env?: Readonly<Record<string, string>>
}

export interface MemberSpec {
  readonly image: string
  /** Host name among the others. */
  readonly name: string
  readonly env?: Readonly<Record<string, string>>
  readonly command?: readonly string[]
  /** What its log says when it is ready, and how often. */
  readonly ready: readonly [line: RegExp, times: number]
}

/** A server beside the nodes. */
export interface Member {
  /** SIGKILL. */
  kill(): Promise<void>
  /** Starts it when it does not run. */
  restart(): Promise<void>
}

/** The containers of one test file, their network and their volumes. */
export class ContainerCluster {
  readonly #image: string
  readonly #env: Readonly<Record<string, string>>
  readonly #network: Network
  readonly #id: string
  readonly #nodes: ContainerNode[] = []
  readonly #members: StartedTestContainer[] = []

  /** @param env of every node */
  static async create(
    image: string,
    env: Readonly<Record<string, string>>,
  ): Promise<ContainerCluster> {
    const id = `ooo-test-${randomBytes(4).toString('hex')}`
    const client = await getContainerRuntimeClient()
    // Without a way out, so that the ports are published through the engine's own network.
    const network = await client.network.create({ Name: id, Internal: true })
    return new ContainerCluster(image, env, network, id)
  }

  private constructor(
    image: string,
    env: Readonly<Record<string, string>>,
    network: Network,
    id: string,
  ) {
    this.#image = image
    this.#env = env
    this.#network = network
    this.#id = id
  }

  /** Starts a node; resolves when it serves. */
  async start(spec: ContainerNodeSpec): Promise<ContainerNode> {
    const { name } = spec
    const own = { OOO_OPEN: 'true', OOO_NAME: name, OOO_ADVERTISE: `${name}:${PORT}` }
    const env = { ...this.#env, ...own, ...spec.env }
    const volume = `${this.#id}-${name}`
    const node = new ContainerNode(name, await freePort(), env, volume, this.#network)
    this.#nodes.push(node)
    await node.run(this.#image)
    return node
  }

  /** Starts another server in the network of the nodes. */
  async startMember(spec: MemberSpec): Promise<Member> {
    const container = new GenericContainer(spec.image)
      .withEnvironment({ ...spec.env })
      .withNetworkMode(this.#network.id)
      .withNetworkAliases(spec.name)
      .withWaitStrategy(Wait.forLogMessage(...spec.ready))
      .withStartupTimeout(START_MS)
    if (spec.command !== undefined) container.withCommand([...spec.command])
    const started = await container.start()
    this.#members.push(started)
    const { container: engine } = await getContainerRuntimeClient()
    const handle = engine.getById(started.getId())
    return {
      kill: async () => {
        await handle.kill()
        await handle.wait()
      },
      restart: async () => {
        if (!(await handle.inspect()).State.Running) await handle.start()
      },
    }
  }

  /** What every node said, for failure messages. */
  async output(): Promise<string> {
    const texts = this.#nodes.map(async (node) => `--- ${node.name}\n${await node.output()}`)
    return (await Promise.all(texts)).join('\n')
  }

  /** Removes all of it. */
  async end(): Promise<void> {
    await Promise.all([
      ...this.#nodes.map((node) => node.remove()),
      ...this.#members.map((member) => member.stop()),
    ])
    await this.#network.remove()
  }
}
