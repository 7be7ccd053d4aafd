/** A cluster of Go servers (ooo, ko, pivot), as a peer of `cluster.ts`. */
import { request } from '../../test/support/http.ts'
import { waitFor } from '../../test/support/wait.ts'
import { type ClusterSpec, keyOf, type RunningCluster } from './cluster.ts'
import { READY } from './peers.ts'
import { type Running, startProgram } from './target.ts'

const DEADLINE_MS = 60_000

/** Starts leader and followers, registers the followers and writes the list, one entry after the other. */
export async function startPivotCluster(
  program: string,
  { entries, followers: count }: Pick<ClusterSpec, 'entries' | 'followers'>,
): Promise<RunningCluster> {
  const nodes: Running[] = []
  const end = async (): Promise<void> => {
    for (const node of nodes.splice(0).reverse()) await node.stop()
  }
  try {
    const leader = await startProgram([program], READY)
    nodes.push(leader)
    const address = `127.0.0.1:${leader.port}`
    const followers: Running[] = []
    for (let i = 0; i < count; i++) {
      const follower = await startProgram([program], READY, [address])
      nodes.push(follower)
      followers.push(follower)
      await post(leader, `nodes/n${i}`, { ip: '127.0.0.1', port: follower.port })
    }
    for (let i = 0; i < entries; i++) await post(leader, keyOf(i), { text: 'x'.repeat(160) })
    for (const follower of followers) await has(follower, keyOf(entries - 1))
    return { leader, followers, link: undefined, end }
  } catch (error) {
    await end()
    throw error
  }
}

async function post({ port }: Running, key: string, value: unknown): Promise<void> {
  const url = `http://127.0.0.1:${port}/${key}`
  const answer = await request('POST', url, { body: JSON.stringify(value) })
  if (answer.status !== 200) throw new Error(`${key}: ${answer.status} ${answer.body}`)
}

async function has({ port }: Running, key: string): Promise<void> {
  const isThere = async (): Promise<boolean> =>
    (await request('GET', `http://127.0.0.1:${port}/${key}`)).status === 200
  await waitFor(isThere, { deadlineMs: DEADLINE_MS, intervalMs: 20, what: `${key} at a follower` })
}
