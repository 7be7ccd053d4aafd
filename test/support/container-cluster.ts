/**
 * Nodes as containers of the built image, run as strictly as deploy/compose.yaml runs them: read-only
 * file system, no capabilities. They reach each other over a network of their own, from which a test
 * can cut them off, and the test reaches them through published ports that stay the same.
 */
import { randomBytes } from 'node:crypto'
import type { Container, ContainerInspectInfo, Network } from 'dockerode'
import {
  GenericContainer,
  getContainerRuntimeClient,
  type StartedTestContainer,
  Wait,
} from 'testcontainers'
import { freePort } from './free-port.ts'
import { type Answer, type RequestOptions, request } from './http.ts'
import { waitFor } from './wait.ts'

const START_MS = 120_000
const ANSWER_MS = 60_000
const PORT = 8800

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

  /**
   * Starts a node; resolves when it serves. It is of `OOO_TEST_PREVIOUS_IMAGE` where that is given,
   * so that tests which replace nodes upgrade them.
   */
  async start(spec: ContainerNodeSpec): Promise<ContainerNode> {
    const { name } = spec
    const env = { ...this.#env, OOO_NAME: name, OOO_ADVERTISE: `${name}:${PORT}`, ...spec.env }
    const volume = `${this.#id}-${name}`
    const node = new ContainerNode(name, await freePort(), env, volume, this.#network)
    this.#nodes.push(node)
    await node.run(process.env.OOO_TEST_PREVIOUS_IMAGE ?? this.#image)
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

/** A node: its address, its volume and its name stay, whatever container runs it. */
export class ContainerNode {
  readonly name: string
  readonly url: string
  readonly #port: number
  readonly #env: Readonly<Record<string, string>>
  readonly #volume: string
  readonly #network: Network
  #container: StartedTestContainer | undefined

  constructor(
    name: string,
    port: number,
    env: Readonly<Record<string, string>>,
    volume: string,
    network: Network,
  ) {
    this.name = name
    this.url = `http://127.0.0.1:${port}`
    this.#port = port
    this.#env = env
    this.#volume = volume
    this.#network = network
  }

  /** Starts a new container of that image on the node's volume; resolves when it serves. */
  async run(image: string): Promise<void> {
    this.#container = await new StrictContainer(image)
      .withEnvironment({ ...this.#env })
      .withExposedPorts({ container: PORT, host: this.#port })
      .withBindMounts([{ source: this.#volume, target: '/data' }])
      .withNetworkMode(this.#network.id)
      .withNetworkAliases(this.name)
      .withWaitStrategy(Wait.forLogMessage(/ serving /))
      .withStartupTimeout(START_MS)
      .start()
    await this.#serving()
  }

  /** Replaces the container, which ends cleanly, by one of that image. Gives the exit code of the old one. */
  async replace(image: string): Promise<number> {
    const code = await this.stop()
    await this.#started.stop()
    await this.run(image)
    return code
  }

  /** SIGTERM. Gives the exit code. */
  async stop(): Promise<number> {
    const handle = await this.#handle()
    await handle.stop({ t: 30 })
    return (await handle.inspect()).State.ExitCode
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    const handle = await this.#handle()
    await handle.kill()
    await handle.wait()
  }

  /** Starts the container that was stopped or killed; resolves when it serves. */
  async restart(): Promise<void> {
    await (await this.#handle()).start()
    await this.#serving()
  }

  /** Takes it out of the network of the nodes; the test still reaches it. */
  async disconnect(): Promise<void> {
    await this.#network.disconnect({ Container: this.#started.getId() })
  }

  /** Puts it back, perhaps under another address. */
  async connect(): Promise<void> {
    const EndpointConfig = { Aliases: [this.name] }
    await this.#network.connect({ Container: this.#started.getId(), EndpointConfig })
  }

  /** Runs a program in the container. */
  async exec(command: readonly string[]): Promise<{ exitCode: number; output: string }> {
    return await this.#started.exec([...command])
  }

  /** What the engine knows of the container. */
  async inspect(): Promise<ContainerInspectInfo> {
    return await (await this.#handle()).inspect()
  }

  get(key: string, options?: RequestOptions): Promise<Answer> {
    return request('GET', `${this.url}/${key}`, options)
  }

  /** A write that must be taken. */
  async post(key: string, value: unknown, options: RequestOptions = {}): Promise<void> {
    const body = JSON.stringify(value)
    const answer = await request('POST', `${this.url}/${key}`, { ...options, body })
    if (answer.status === 200) return
    throw new Error(`POST ${key} on ${this.name}: ${answer.status} ${answer.body}`)
  }

  async output(): Promise<string> {
    if (this.#container === undefined) return '(never started)'
    const log = await (await this.#handle()).logs({ stdout: true, stderr: true })
    return log.toString('utf8').slice(-20_000)
  }

  /** Removes container and volume. */
  async remove(): Promise<void> {
    await this.#container?.stop({ timeout: 0 })
    const { container } = await getContainerRuntimeClient()
    await container.dockerode.getVolume(this.#volume).remove()
  }

  get #started(): StartedTestContainer {
    if (this.#container === undefined) throw new Error(`${this.name} was never started`)
    return this.#container
  }

  async #handle(): Promise<Container> {
    const { container } = await getContainerRuntimeClient()
    return container.getById(this.#started.getId())
  }

  async #serving(): Promise<void> {
    const ready = async (): Promise<boolean> => (await this.get('-/readyz')).status === 200
    await waitFor(ready, { deadlineMs: ANSWER_MS, intervalMs: 50, what: `${this.name} to serve` })
  }
}

/** As deploy/compose.yaml runs it; the builder has no word for a read-only file system. */
class StrictContainer extends GenericContainer {
  constructor(image: string) {
    super(image)
    this.hostConfig.ReadonlyRootfs = true
    this.withDroppedCapabilities('ALL').withSecurityOpt('no-new-privileges:true')
  }
}
