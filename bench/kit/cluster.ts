/** A leader and its followers, each a process, with a list of a chosen length. */
import { Agent } from 'node:http'
import { request } from '../../test/support/http.ts'
import { waitFor } from '../../test/support/wait.ts'
import { CountingLink } from './counting-link.ts'
import { type Running, startNode } from './target.ts'

/** Milliseconds for what grows with the data: opening, first copies. */
const DEADLINE_MS = 300_000
/** Most that one batch request takes. */
const BATCH = 1000
const SCOPE = ['--key', 'items/*', '--durability', 'process']

export interface ClusterSpec {
  readonly entries: number
  readonly followers: number
  /** Whether the followers' bytes are counted, by a program between them and the leader. */
  readonly counted: boolean
  /** More arguments of every node. */
  readonly args?: readonly string[]
}

export interface RunningCluster {
  readonly leader: Running
  readonly followers: readonly Running[]
  readonly link: CountingLink | undefined
  end(): Promise<void>
}

/** Starts the nodes and writes the list; resolves when every follower is live and has all of it. */
export async function startCluster(spec: ClusterSpec): Promise<RunningCluster> {
  const { entries, followers: count, counted, args = [] } = spec
  const parts: (() => Promise<void>)[] = []
  const end = async (): Promise<void> => {
    for (const part of parts.splice(0).reverse()) await part()
  }
  try {
    const leader = await startNode([...SCOPE, ...args], { deadlineMs: DEADLINE_MS })
    parts.push(leader.stop)
    await writeEntries(leader, 0, entries)
    const link = counted ? await CountingLink.start(leader.port) : undefined
    if (link !== undefined) parts.push(() => link.end())
    const followers: Running[] = []
    for (let i = 0; i < count; i++) {
      const follower = await startFollower(link?.url ?? urlOf(leader), args)
      followers.push(follower)
      parts.push(follower.stop)
    }
    for (const follower of followers) await caughtUp(follower)
    return { leader, followers, link, end }
  } catch (error) {
    await end()
    throw error
  }
}

export function startFollower(leaderUrl: string, args: readonly string[] = []): Promise<Running> {
  return startNode([...SCOPE, '--cluster-url', leaderUrl, ...args])
}

/** Writes entries of 200 bytes, `from` up to `to`, in batches; `mark` tells one writing from another. */
export async function writeEntries(
  { port }: Pick<Running, 'port'>,
  from: number,
  to: number,
  mark: string = 'first',
): Promise<void> {
  const agent = new Agent({ keepAlive: true })
  const text = 'x'.repeat(160)
  try {
    for (let first = from; first < to; first += BATCH) {
      const count = Math.min(BATCH, to - first)
      const operations = Array.from({ length: count }, (_, i) => ({
        op: 'set',
        path: keyOf(first + i),
        data: { mark, number: first + i, text },
      }))
      const body = JSON.stringify({ operations })
      const url = `http://127.0.0.1:${port}/-/batch`
      const answer = await request('POST', url, { agent, body, timeoutMs: DEADLINE_MS })
      if (answer.status !== 200) throw new Error(`a batch: ${answer.status} ${answer.body}`)
    }
  } finally {
    agent.destroy()
  }
}

export function keyOf(number: number): string {
  return `items/e${String(number).padStart(7, '0')}`
}

/** Resolves when a follower says that it has everything its leader has. */
export async function caughtUp(follower: Running): Promise<void> {
  const isLive = async (): Promise<boolean> => {
    const answer = await request('GET', `${urlOf(follower)}/-/cluster`)
    const { links = [] } = JSON.parse(answer.body) as {
      links?: readonly { readonly state: string; readonly lagRows: number }[]
    }
    return links.length > 0 && links.every((link) => link.state === 'live' && link.lagRows === 0)
  }
  await waitFor(isLive, { deadlineMs: DEADLINE_MS, intervalMs: 20, what: 'a follower to be live' })
}

/** Resolves when a node holds an entry with this mark. */
export async function holds(node: Running, key: string, mark: string): Promise<void> {
  const agent = new Agent({ keepAlive: true })
  const isThere = async (): Promise<boolean> => {
    const answer = await request('GET', `${urlOf(node)}/${key}`, { agent })
    return answer.status === 200 && answer.body.includes(`"mark":"${mark}"`)
  }
  try {
    const what = `${key} at a follower`
    await waitFor(isThere, { deadlineMs: DEADLINE_MS, intervalMs: 5, what })
  } finally {
    agent.destroy()
  }
}

function urlOf({ port }: Pick<Running, 'port'>): string {
  return `http://127.0.0.1:${port}`
}
