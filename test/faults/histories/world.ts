/**
 * The nodes of one round: processes with clocks of their own, whose links lead through proxies. Each
 * follower has a proxy before each node that it ever followed. What is done to nodes is in the history.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { runCli } from '../../support/cli-process.ts'
import { freePort } from '../../support/free-port.ts'
import type { Place } from './client.ts'
import { NodeProcess } from './node-process.ts'
import { LinkProxy } from './proxy.ts'
import type { HistoryRecord } from './record.ts'
import { WrongClock } from './wrong-clock.ts'

export interface WorldOptions {
  /** A folder of its own for data and logs. */
  readonly folder: string
  readonly record: HistoryRecord
  /** Library for wrong clocks, where the round wants any. */
  readonly faketime?: string | undefined
  /** Replicated keys. Default: DEFAULT_KEYS. */
  readonly keys?: readonly string[]
}

export interface ElectionOptions {
  /** URL of a Redis; each node reaches it through a proxy of its own. */
  readonly redis: string
  readonly lease: string
}

/** How a follower's setting spells the address of its leader. */
export type Spelling = '127.0.0.1' | 'localhost'

export const DEFAULT_KEYS: readonly string[] = ['settings', 'items/*', 'once/*']

export class World {
  readonly nodes: Member[] = []
  readonly folder: string
  readonly record: HistoryRecord
  readonly #options: WorldOptions
  #backups = 0

  constructor(options: WorldOptions) {
    this.#options = options
    this.folder = options.folder
    this.record = options.record
    mkdirSync(this.folder, { recursive: true })
  }

  /** A node that is not started yet. */
  async add(name: string): Promise<Member> {
    const { faketime, keys = DEFAULT_KEYS } = this.#options
    const clock = new WrongClock(faketime, join(this.folder, `${name}.clock`))
    const directory = join(this.folder, name)
    const process = new NodeProcess({ name, port: await freePort(), directory, clock })
    const member = new Member(this, process, keys)
    this.nodes.push(member)
    return member
  }

  node(name: string): Member {
    const found = this.nodes.find((node) => node.name === name)
    if (found === undefined) throw new Error(`no node is named ${name}`)
    return found
  }

  /** Opens every way, wakes and starts every node. */
  async heal(): Promise<void> {
    for (const proxy of this.#proxies()) proxy.set('open')
    for (const node of this.nodes) node.thaw()
    await Promise.all(this.nodes.map((node) => (node.isRunning ? undefined : node.start())))
    this.record.add({ type: 'healed', time: this.record.now() })
  }

  /** A backup of a running node; gives the path of the file, or undefined when the node did not serve it. */
  async backup(node: Member): Promise<Backup | undefined> {
    this.#backups += 1
    const backup = { id: String(this.#backups), file: join(this.folder, `${this.#backups}.ooo`) }
    // Before it begins: what was acknowledged until now is in it.
    const time = this.record.now()
    const { code } = await runCli(['backup', '--url', node.url, backup.file])
    if (code !== 0) return undefined
    this.record.add({ type: 'event', event: 'backup', node: node.name, time, backup: backup.id })
    return backup
  }

  /** Kills the nodes and ends the proxies. */
  async close(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.process.kill()))
    await Promise.all(this.#proxies().map((proxy) => proxy.close()))
  }

  killNow(): void {
    for (const node of this.nodes) node.process.killNow()
  }

  #proxies(): LinkProxy[] {
    return this.nodes.flatMap((node) => node.proxies())
  }
}

export interface Backup {
  readonly id: string
  readonly file: string
}

/** One node with its place in the cluster. */
export class Member implements Place {
  readonly process: NodeProcess
  /** Replicated keys from the next start on. */
  keys: readonly string[]
  /** More arguments from the next start on. */
  extra: readonly string[] = []
  readonly #world: World
  readonly #links = new Map<string, LinkProxy>()
  #front: LinkProxy | undefined
  #redis: LinkProxy | undefined
  #leader: Member | undefined
  #spelling: Spelling = '127.0.0.1'
  #electionArgs: readonly string[] = []

  constructor(world: World, process: NodeProcess, keys: readonly string[]) {
    this.#world = world
    this.process = process
    this.keys = keys
  }

  get name(): string {
    return this.process.name
  }

  get url(): string {
    return this.process.url
  }

  get isRunning(): boolean {
    return this.process.isRunning
  }

  get leader(): Member | undefined {
    return this.#leader
  }

  /** The way to its leader. */
  get link(): LinkProxy {
    const link = this.#links.get(this.#leader?.name ?? '')
    if (link === undefined) throw new Error(`${this.name} follows nobody`)
    return link
  }

  get isCandidate(): boolean {
    return this.#front !== undefined
  }

  /** The way to it, of all others, where a leader is elected. */
  get front(): LinkProxy {
    if (this.#front === undefined) throw new Error(`${this.name} takes part in no election`)
    return this.#front
  }

  /** Its way to Redis. */
  get redis(): LinkProxy {
    if (this.#redis === undefined) throw new Error(`${this.name} takes part in no election`)
    return this.#redis
  }

  /** From the next start on it follows that node; undefined: it leads. */
  async follow(leader: Member | undefined, spelling: Spelling = '127.0.0.1'): Promise<void> {
    this.#leader = leader
    this.#spelling = spelling
    if (leader === undefined || this.#links.has(leader.name)) return
    this.#links.set(leader.name, await LinkProxy.listen(await freePort(), leader.process.port))
  }

  /** From the next start on it is a candidate. */
  async elect({ redis, lease }: ElectionOptions): Promise<void> {
    this.#front = await LinkProxy.listen(await freePort(), this.process.port)
    this.#redis = await LinkProxy.listen(await freePort(), Number(new URL(redis).port))
    this.#electionArgs = [
      ...['--leader', 'redis', '--lease-name', lease],
      ...['--redis', `redis://127.0.0.1:${this.#redis.port}`],
      ...['--advertise', `127.0.0.1:${this.#front.port}`],
    ]
  }

  async start(): Promise<void> {
    const args = this.keys.flatMap((key) => ['--key', key])
    if (this.#leader !== undefined) {
      args.push('--cluster-url', `http://${this.#spelling}:${this.link.port}`)
    }
    this.process.args = [...args, ...this.#electionArgs, ...this.extra]
    const role =
      this.#leader === undefined ? '' : `follows ${this.#leader.name} at ${this.#spelling}`
    this.#world.record.event('start', this.name, { detail: role })
    await this.process.start()
  }

  async stop(): Promise<void> {
    this.#world.record.event('stop', this.name)
    await this.process.stop()
  }

  async kill(): Promise<void> {
    this.#world.record.event('kill', this.name)
    await this.process.kill()
  }

  freeze(): void {
    this.#world.record.event('freeze', this.name)
    this.process.freeze()
  }

  thaw(): void {
    this.process.thaw()
  }

  /** Loses its disk; it must be down. */
  async wipe(): Promise<void> {
    await this.process.wipe()
    this.#world.record.event('wipe', this.name)
  }

  /** Its folder becomes that of a backup; it must be down. */
  async restore({ id, file }: Backup): Promise<void> {
    const args = ['restore', file, '--data', this.process.directory, '--force']
    const { code, stderr } = await runCli(args)
    if (code !== 0) throw new Error(`restoring ${this.name} failed: ${stderr}`)
    this.#world.record.event('restore', this.name, { backup: id })
  }

  setClock(offsetSeconds: number): void {
    this.process.clock.set(offsetSeconds)
    this.#world.record.event('clock', this.name, { detail: `${offsetSeconds} s` })
  }

  /** The node that decides what is conditional here; told by the header where nodes elect. */
  decider(answeredBy: string | undefined): string {
    let root: Member = this
    for (let depth = 0; root.leader !== undefined; depth++) {
      // While leads move there may be a circle, in which nobody decides.
      if (depth > this.#world.nodes.length) return 'unknown'
      root = root.leader
    }
    if (answeredBy === undefined || root.#front === undefined) return root.name
    const { port } = new URL(answeredBy)
    const found = this.#world.nodes.find((node) => String(node.#front?.port) === port)
    return found?.name ?? 'unknown'
  }

  proxies(): LinkProxy[] {
    const own = [this.#front, this.#redis].filter((proxy) => proxy !== undefined)
    return [...this.#links.values(), ...own]
  }
}
