/**
 * Nodes as real processes of the built command, each with a port and a data folder that stay the
 * same over restarts. Everything it started is ended by `cleanup`, by process id.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OOO_COMMAND } from './built.ts'
import { freePort } from './free-port.ts'
import { type Answer, type RequestOptions, request } from './http.ts'
import { Subscriber } from './subscriber.ts'
import { waitFor } from './wait.ts'

const START_DEADLINE_MS = 60_000
const STOP_DEADLINE_MS = 60_000
/** Characters of output kept of one node for failure messages. */
const MAX_OUTPUT = 200_000

export interface NodeSpec {
  readonly name: string
  /** The node to follow. Default: none, the node leads. */
  readonly follows?: ProcessNode
  /** More arguments of the command, such as `['--cluster-token', 'secret']`. */
  readonly args?: readonly string[]
  /** Program and arguments that run the command. Default: none. */
  readonly enter?: readonly string[]
}

export interface ClusterOptions {
  /** Key paths that the nodes replicate. Default `settings` and `items/*`. */
  readonly keys?: readonly string[]
  /** Arguments of every node. */
  readonly args?: readonly string[]
}

/** The nodes of one test. */
export class ProcessCluster {
  readonly #keys: readonly string[]
  readonly #args: readonly string[]
  readonly #nodes: ProcessNode[] = []
  #root: string | undefined

  constructor(options: ClusterOptions = {}) {
    this.#keys = options.keys ?? ['settings', 'items/*']
    this.#args = options.args ?? []
    if (!existsSync(OOO_COMMAND))
      throw new Error(`${OOO_COMMAND} is missing: run "npm run build" first`)
  }

  /** A node that is not started yet. */
  async add(spec: NodeSpec): Promise<ProcessNode> {
    this.#root ??= await mkdtemp(join(tmpdir(), 'ooo-cluster-'))
    const port = await freePort()
    const directory = join(this.#root, spec.name)
    const args = ['serve', '--host', '127.0.0.1', '--port', String(port)]
    args.push('--data', directory, '--name', spec.name)
    for (const key of this.#keys) args.push('--key', key)
    if (spec.follows !== undefined) args.push('--cluster-url', spec.follows.url)
    args.push(...this.#args, ...(spec.args ?? []))
    const place = { host: '127.0.0.1', enter: spec.enter ?? [] }
    const node = new ProcessNode(spec.name, port, directory, args, place)
    this.#nodes.push(node)
    return node
  }

  /** Adds and starts a node. */
  async start(spec: NodeSpec): Promise<ProcessNode> {
    const node = await this.add(spec)
    await node.start()
    return node
  }

  /** What every node said, for failure messages. */
  output(): string {
    return this.#nodes.map((node) => `--- ${node.name}\n${node.output}`).join('\n')
  }

  /** Ends subscribers and processes and removes the data. */
  async cleanup(): Promise<void> {
    for (const node of this.#nodes) {
      node.closeSubscribers()
      await node.kill()
    }
    if (this.#root !== undefined) await rm(this.#root, { recursive: true, force: true })
  }
}

/** Where a node runs, when it is not simply on this machine. */
export interface NodePlace {
  /** Address at which the test reaches it. */
  readonly host: string
  /** Program and arguments that run the node there. */
  readonly enter: readonly string[]
}

/** One node: a process when it runs, and its port and data folder always. */
export class ProcessNode {
  readonly name: string
  readonly port: number
  readonly url: string
  readonly directory: string
  /** The last part of what its processes wrote to stdout and stderr. */
  output = ''
  #args: readonly string[]
  readonly #place: NodePlace
  readonly #subscribers: Subscriber[] = []
  #process: ChildProcess | undefined
  #hasServed = false
  #exited: Promise<number | null> = Promise.resolve(null)

  constructor(
    name: string,
    port: number,
    directory: string,
    args: readonly string[],
    place: NodePlace = { host: '127.0.0.1', enter: [] },
  ) {
    this.name = name
    this.port = port
    this.#place = place
    this.url = `http://${place.host}:${port}`
    this.directory = directory
    this.#args = args
  }

  /** Whom it follows from its next start on; undefined: it leads. */
  set follows(leader: ProcessNode | undefined) {
    const at = this.#args.indexOf('--cluster-url')
    const others = at < 0 ? this.#args : this.#args.toSpliced(at, 2)
    this.#args = leader === undefined ? others : [...others, '--cluster-url', leader.url]
  }

  get running(): boolean {
    return this.#process !== undefined
  }

  /** Whether it runs and has said that it serves. */
  get serving(): boolean {
    return this.running && this.#hasServed
  }

  /** Resolves when the node says that it serves. */
  async start(): Promise<void> {
    if (this.#process !== undefined) throw new Error(`${this.name} runs already`)
    const { enter } = this.#place
    const [program = '', ...args] = [...enter, process.execPath, OOO_COMMAND, ...this.#args]
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH ?? '', HOME: this.directory },
    })
    this.#process = child
    this.#hasServed = false
    let said = ''
    const hear = (text: string): void => {
      said += text
      this.output = (this.output + text).slice(-MAX_OUTPUT)
    }
    child.stdout.setEncoding('utf8').on('data', hear)
    child.stderr.setEncoding('utf8').on('data', hear)
    this.#exited = new Promise((settle) => {
      child.once('close', (code, signal) => {
        hear(`[exit ${code ?? signal}]\n`)
        if (this.#process === child) this.#process = undefined
        settle(code)
      })
    })
    try {
      await waitFor(() => said.includes(' serving ') || this.#process !== child, {
        deadlineMs: START_DEADLINE_MS,
        what: `${this.name} to serve`,
      })
      if (this.#process !== child) throw new Error(`${this.name} ended at its start`)
      this.#hasServed = true
    } catch (error) {
      throw new Error(`${String(error)}\n${said}`)
    }
  }

  /** Asks the process to end (SIGTERM) and gives its exit code. */
  async stop(): Promise<number | null> {
    this.#process?.kill('SIGTERM')
    await waitFor(() => this.#process === undefined, {
      deadlineMs: STOP_DEADLINE_MS,
      what: `${this.name} to stop`,
    })
    return this.#exited
  }

  /** Ends the process at once (SIGKILL): nothing of it gets to finish. */
  async kill(): Promise<void> {
    this.#process?.kill('SIGKILL')
    await this.#exited
  }

  /** Stops the process in its tracks (SIGSTOP): its sockets stay open, nothing answers. */
  freeze(): void {
    this.#process?.kill('SIGSTOP')
  }

  /** Lets a frozen process go on. */
  thaw(): void {
    this.#process?.kill('SIGCONT')
  }

  /** Removes the data folder: a lost disk. */
  async wipe(): Promise<void> {
    if (this.running) throw new Error(`${this.name} runs: its disk cannot be lost now`)
    await rm(this.directory, { recursive: true, force: true })
  }

  get(key: string, options?: RequestOptions): Promise<Answer> {
    return request('GET', `${this.url}/${key}`, options)
  }

  /** A write that must be taken; gives the index of the key. */
  async post(key: string, value: unknown, options: RequestOptions = {}): Promise<string> {
    return this.#write('POST', key, { ...options, body: JSON.stringify(value) })
  }

  async patch(key: string, value: unknown): Promise<string> {
    return this.#write('PATCH', key, { body: JSON.stringify(value) })
  }

  async delete(key: string): Promise<void> {
    const answer = await request('DELETE', `${this.url}/${key}`)
    if (answer.status !== 204) throw refusal('DELETE', this, key, answer)
  }

  async subscribe(key: string): Promise<Subscriber> {
    const subscriber = await Subscriber.open(this.url, key)
    this.#subscribers.push(subscriber)
    return subscriber
  }

  closeSubscribers(): void {
    for (const subscriber of this.#subscribers.splice(0)) subscriber.close()
  }

  async #write(method: string, key: string, options: RequestOptions): Promise<string> {
    const answer = await request(method, `${this.url}/${key}`, options)
    if (answer.status !== 200) throw refusal(method, this, key, answer)
    return (JSON.parse(answer.body) as { index: string }).index
  }
}

/** A node in whatever form: a process, a container. */
export interface AnsweringNode {
  readonly name: string
  get(key: string): Promise<Answer>
}

/** Waits until every node answers the same bytes for each key, and gives the bodies by key. */
export async function waitUntilEqual(
  nodes: readonly AnsweringNode[],
  keys: readonly string[] = ['settings', 'items/*'],
  deadlineMs = 60_000,
): Promise<Record<string, string>> {
  const bodies: Record<string, string> = {}
  for (const key of keys) {
    let seen: string[] = []
    const equal = async (): Promise<boolean> => {
      const answers = await Promise.all(nodes.map((node) => node.get(key)))
      seen = answers.map(({ status, body }) => `${status} ${body}`)
      return new Set(seen).size === 1
    }
    try {
      await waitFor(equal, { deadlineMs, intervalMs: 50, what: `${key} to be equal` })
    } catch (error) {
      const shown = nodes.map((node, i) => `${node.name}: ${seen[i]?.slice(0, 1_500)}`)
      throw new Error(`${String(error)}\n${shown.join('\n')}`)
    }
    bodies[key] = (seen[0] ?? '').slice(4)
  }
  return bodies
}

function refusal(method: string, node: ProcessNode, key: string, answer: Answer): Error {
  return new Error(`${method} ${key} on ${node.name}: ${answer.status} ${answer.body}`)
}
