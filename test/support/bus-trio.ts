/**
 * A leader and two followers on one Redis, under load: writes at all three, subscribers at both
 * followers. In the end all must hold what was acknowledged, and subscribers must have seen it.
 */
import { expect } from 'vitest'
import { redisBus } from '../../cluster/bus/redis.ts'
import { startNode, type TestNode } from '../cluster/nodes.ts'
import { dataByPath, Subscriber } from './subscriber.ts'
import { waitFor, waitForValue } from './wait.ts'

const WAIT = { deadlineMs: 30_000 }

/** Connections to Redis come back soon and are given up soon, as are silent buses. */
const QUICK = { reconnectInitialMs: 10, reconnectMaxMs: 200, timeoutMs: 1000, pingIntervalMs: 300 }
const LIMITS = { busMarkIntervalMs: 100, beatIntervalMs: 1000, compareIntervalMs: 0 } as const

export class BusTrio {
  readonly leader: TestNode
  readonly followers: readonly [TestNode, TestNode]
  readonly #subscribers: readonly Subscriber[]
  /** What was acknowledged, by key. */
  readonly #written = new Map<string, unknown>()
  #writes = 0
  #isWriting = true
  /** Why a writer gave up. */
  #failure: unknown
  readonly #writers: readonly Promise<void>[]

  private constructor(
    leader: TestNode,
    followers: readonly [TestNode, TestNode],
    subscribers: readonly Subscriber[],
  ) {
    this.leader = leader
    this.followers = followers
    this.#subscribers = subscribers
    this.#writers = this.nodes.map((node, i) =>
      this.#write(node, i).catch((error: unknown) => {
        this.#failure ??= error
      }),
    )
  }

  /** Starts all three with these URLs of their Redis: of the leader, of the first, of the second. */
  static async start(urls: readonly [string, string, string], ca?: string): Promise<BusTrio> {
    const bus = (url: string) => redisBus({ url, ...QUICK, ...(ca === undefined ? {} : { ca }) })
    const leader = await startNode({ bus: bus(urls[0]), limits: LIMITS })
    const a = await startNode({ leader, bus: bus(urls[1]), limits: LIMITS })
    const b = await startNode({ leader, bus: bus(urls[2]), limits: LIMITS })
    const subscribers = await Promise.all(
      [a, b].map(({ url }) => Subscriber.open(url, 'items/*', { keepStates: 0 })),
    )
    return new BusTrio(leader, [a, b], subscribers)
  }

  get nodes(): readonly TestNode[] {
    return [this.leader, ...this.followers]
  }

  /** Where each follower's changes come from. */
  get feeds(): (string | undefined)[] {
    return this.followers.map(({ plugin }) => plugin.status()?.links[0]?.feed.from)
  }

  /** Both followers, as both sides see it. */
  async onBus(): Promise<void> {
    const isOnBus = (): boolean =>
      this.feeds.every((from) => from === 'bus' || from === 'fetch') &&
      this.leader.plugin.status()?.followers.every(({ feed }) => feed === 'bus') === true
    await waitFor(isOnBus, { ...WAIT, what: 'both followers on the bus' })
  }

  async onStream(): Promise<void> {
    await waitForValue(() => this.feeds, ['stream', 'stream'], { ...WAIT, what: 'the stream' })
  }

  /** Lets so many more writes happen, by all three together. */
  async writes(count: number): Promise<void> {
    const until = this.#writes + count
    await waitFor(() => this.#writes >= until, { ...WAIT, what: `${count} more writes` })
  }

  /** Ends the load; waits until all hold the same, everything acknowledged, and subscribers know it. */
  async finish(): Promise<void> {
    this.#isWriting = false
    await Promise.all(this.#writers)
    if (this.#failure !== undefined) throw this.#failure
    const expected = Object.fromEntries([...this.#written].sort(([a], [b]) => (a < b ? -1 : 1)))
    for (const node of this.nodes) {
      await waitForValue(() => listOf(node), expected, {
        ...WAIT,
        what: `the state of ${node.url}`,
      })
    }
    for (const [i, subscriber] of this.#subscribers.entries()) {
      await waitForValue(() => subscriber.dataByPath(), expected, {
        ...WAIT,
        what: `subscriber ${i}`,
      })
      expect(subscriber.problems).toEqual([])
      expect(subscriber.snapshots).toBe(1)
      subscriber.close()
    }
  }

  /** Each key has one writer, so the last acknowledged value is what must be there. */
  async #write(node: TestNode, number: number): Promise<void> {
    for (let n = 0; this.#isWriting; n++) {
      const key = `items/w${number}-${n % 25}`
      const value = { n, text: 'x'.repeat(n % 200) }
      const answer = await node.request('POST', `/${key}`, JSON.stringify(value))
      if (answer.status !== 200) throw new Error(`POST ${key}: ${answer.status} ${answer.body}`)
      this.#written.set(key, value)
      this.#writes++
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  }
}

async function listOf(node: TestNode): Promise<Record<string, unknown>> {
  const { body } = await node.request('GET', '/items/*')
  return dataByPath(JSON.parse(body))
}
