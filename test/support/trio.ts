/** A leader and two followers as real processes, and the questions that tests ask of them. */

import { afterEach, beforeAll } from 'vitest'
import { prepareBuild } from './built.ts'
import { type ClusterOptions, ProcessCluster, type ProcessNode } from './process-cluster.ts'
import { dataByPath } from './subscriber.ts'
import { waitForValue } from './wait.ts'

/** Long: that nodes become equal after an outage is tested, how soon is measured by the benchmarks. */
export const CATCH_UP_MS = 60_000

export interface Trio {
  readonly leader: ProcessNode
  readonly a: ProcessNode
  readonly b: ProcessNode
  readonly all: readonly ProcessNode[]
}

/**
 * For the top of a test file: builds the command once, and gives what makes the cluster of a test.
 * After each test its cluster is ended; a failed one's output is shown.
 */
export function useClusters(): (options?: ClusterOptions) => ProcessCluster {
  const made: ProcessCluster[] = []
  beforeAll(prepareBuild, 300_000)
  afterEach(async ({ task }) => {
    for (const cluster of made.splice(0)) {
      if (task.result?.state === 'fail') process.stderr.write(`${cluster.output()}\n`)
      await cluster.cleanup()
    }
  })
  return (options) => {
    const cluster = new ProcessCluster(options)
    made.push(cluster)
    return cluster
  }
}

/** A leader and two followers, started and joined. */
export async function startTrio(cluster: ProcessCluster): Promise<Trio> {
  const leader = await cluster.start({ name: 'leader' })
  const [a, b] = await Promise.all([
    cluster.start({ name: 'a', follows: leader }),
    cluster.start({ name: 'b', follows: leader }),
  ])
  const all = [leader, a, b]
  await settle(all, 'joined')
  return { leader, a, b, all }
}

/** Writes a marker on the first node and waits until all have it: the links are up. */
export async function settle(nodes: readonly ProcessNode[], marker: string): Promise<void> {
  await nodes[0]?.post('settings', { marker })
  for (const node of nodes) {
    await waitForValue(() => dataOf(node, 'settings'), { marker }, { what: `${node.name} linked` })
  }
}

/** The data of a key at a node; throws when it is absent. */
export async function dataOf(node: ProcessNode, key: string): Promise<unknown> {
  const answer = await node.get(key)
  if (answer.status !== 200) throw new Error(`GET ${key} on ${node.name}: ${answer.status}`)
  return (JSON.parse(answer.body) as { data: unknown }).data
}

/** The data of a list at a node, by path. */
export async function listOf(
  node: ProcessNode,
  glob = 'items/*',
): Promise<Record<string, unknown>> {
  const answer = await node.get(glob)
  if (answer.status !== 200) throw new Error(`GET ${glob} on ${node.name}: ${answer.status}`)
  return dataByPath(JSON.parse(answer.body))
}

/** The names of the nodes that answer the key with anything but 404. */
export async function holdersOf(nodes: readonly ProcessNode[], key: string): Promise<string[]> {
  const answers = await Promise.all(nodes.map((node) => node.get(key)))
  return nodes.filter((_, i) => answers[i]?.status !== 404).map(({ name }) => name)
}
