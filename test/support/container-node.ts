/**
 * A node as containers of the built image, run as strictly as deploy/compose.yaml runs them: read-only
 * file system, no capabilities. A test can cut it off from the network of the nodes, and reaches it
 * all the same, through a published port that stays the same.
 */
import type { Container, ContainerInspectInfo, Network } from 'dockerode'
import {
  GenericContainer,
  getContainerRuntimeClient,
  type StartedTestContainer,
  Wait,
} from 'testcontainers'
import { type Answer, type RequestOptions, request } from './http.ts'
import { waitFor } from './wait.ts'

/** The port inside. */
export const PORT = 8800

const START_MS = 120_000
const ANSWER_MS = 60_000
/** Characters of a log that are kept for failure messages. */
const MAX_OUTPUT = 20_000

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
    let said = ''
    const container = new StrictContainer(image)
      .withEnvironment({ ...this.#env })
      .withExposedPorts({ container: PORT, host: this.#port })
      .withBindMounts([{ source: this.#volume, target: '/data' }])
      .withNetworkMode(this.#network.id)
      .withNetworkAliases(this.name)
      .withWaitStrategy(Wait.forLogMessage(/ serving /))
      .withStartupTimeout(START_MS)
      .withLogConsumer((log) => {
        log.on('data', (part) => {
          said = `${said}${part}`.slice(-MAX_OUTPUT)
        })
      })
    try {
      this.#container = await container.start()
      await this.#serving()
    } catch (error) {
      throw new Error(`${this.name} did not start: ${error}\n${said}`, { cause: error })
    }
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

  /** Puts it back where it is not in it, perhaps under another address. */
  async connect(): Promise<void> {
    const networks = Object.values((await this.inspect()).NetworkSettings.Networks)
    if (networks.some(({ NetworkID }) => NetworkID === this.#network.id)) return
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
    return log.toString('utf8').slice(-MAX_OUTPUT)
  }

  /** Removes container and volume. */
  async remove(): Promise<void> {
    await this.#container?.stop({ timeout: 0 })
    const { container } = await getContainerRuntimeClient()
    const removed = container.dockerode.getVolume(this.#volume).remove()
    // A node that did not start may have got as far as its volume, or not.
    await removed.catch((error: unknown) => {
      if (this.#container !== undefined) throw error
    })
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
