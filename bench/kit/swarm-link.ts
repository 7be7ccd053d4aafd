/** The swarm as a benchmark sees it: one process, or several that share the subscribers. */
import { Child } from './child.ts'
import type { DialectName } from './dialect.ts'
import type { Schedule } from './monotonic.ts'
import type { Receipts } from './stream-pool.ts'

/** Subscribers of one key of one server. */
export interface Room {
  readonly port: number
  readonly key: string
  readonly dialect: DialectName
  readonly subscribers: number
}

export interface Settled {
  /** Per room, in the order in which they were joined. */
  readonly receipts: readonly Receipts[]
  /** Connections that ended though nobody asked for it. */
  readonly lost: number
  /** The first of them. */
  readonly problems: readonly string[]
}

export interface CheckResult {
  /** Subscribers whose state was compared with the server's. */
  readonly checked: number
  readonly different: number
  /** Those that were sent other frames than the rest: fresh snapshots, as a rule. */
  readonly apart: number
}

export class Swarm {
  readonly #children: readonly Child[]

  private constructor(children: readonly Child[]) {
    this.#children = children
  }

  static async start(processes: number = 1): Promise<Swarm> {
    return new Swarm(
      await Promise.all(Array.from({ length: processes }, () => Child.start('swarm.ts'))),
    )
  }

  get pids(): number[] {
    return this.#children.map(({ pid }) => pid)
  }

  /** Opens the subscriptions; resolves when each has its first data. */
  async join(room: Room): Promise<void> {
    const count = this.#children.length
    await Promise.all(
      this.#children.map((child, i) => {
        const share = Math.floor(room.subscribers / count) + (i < room.subscribers % count ? 1 : 0)
        return child.call('join', { ...room, subscribers: share })
      }),
    )
  }

  /** One more subscriber, that never reads. */
  async joinStuck(room: Omit<Room, 'subscribers'>): Promise<void> {
    await this.#children[0]?.call('joinStuck', room)
  }

  /** To be called before the first write of the schedule. */
  async expect(schedule: Schedule): Promise<void> {
    await this.#all('expect', schedule)
  }

  /** Resolves when all have received every write, or with what is missing at the deadline. One element per process. */
  settle(deadlineMs: number): Promise<Settled[]> {
    return this.#all<Settled>('settle', { deadlineMs })
  }

  async check(): Promise<CheckResult> {
    const results = await this.#all<CheckResult>('check')
    const sum = (name: keyof CheckResult): number =>
      results.reduce((total, result) => total + result[name], 0)
    return { checked: sum('checked'), different: sum('different'), apart: sum('apart') }
  }

  /** Closes all subscriptions. */
  async leave(): Promise<void> {
    await this.#all('leave')
  }

  async end(): Promise<void> {
    await Promise.all(this.#children.map((child) => child.end()))
  }

  #all<Result>(call: string, args: object = {}): Promise<Result[]> {
    return Promise.all(this.#children.map((child) => child.call<Result>(call, args)))
  }
}
