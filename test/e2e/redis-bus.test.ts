/** Nodes as real processes on a real Redis: changes come over it, and without it all goes on. */
import { describe, expect, it } from 'vitest'
import { type ProcessNode, waitUntilEqual } from '../support/process-cluster.ts'
import { useRedis } from '../support/services.ts'
import { listOf, startTrio, useClusters } from '../support/trio.ts'
import { waitFor, waitForValue } from '../support/wait.ts'

const WAIT = { deadlineMs: 30_000 }
const newCluster = useClusters()
const redis = useRedis({ control: true })

interface Report {
  readonly links: readonly { readonly feed: { readonly from: string } }[]
  readonly followers: readonly { readonly name: string; readonly feed: string }[]
  readonly bus?: { readonly publishing: { readonly state: string }; readonly batches: number }
}

async function reportOf(node: ProcessNode): Promise<Report> {
  return JSON.parse((await node.get('-/cluster')).body) as Report
}

async function fedBy(leader: ProcessNode, feed: 'bus' | 'stream'): Promise<void> {
  const feeds = async (): Promise<string[]> =>
    (await reportOf(leader)).followers.map((follower) => follower.feed)
  await waitForValue(feeds, [feed, feed], { ...WAIT, what: `followers fed by the ${feed}` })
}

describe('nodes with --redis', () => {
  it('share changes over it, and lose nothing when it is killed', {
    timeout: 240_000,
  }, async () => {
    const cluster = newCluster({
      args: ['--redis', redis().url, '--cluster-token', 'the-cluster-token'],
    })
    const { leader, a, b, all } = await startTrio(cluster)
    const subscribers = [await a.subscribe('items/*'), await b.subscribe('items/*')]
    await fedBy(leader, 'bus')
    const before = (await reportOf(leader)).bus?.batches ?? 0
    for (let i = 0; i < 20; i++) await leader.post(`items/l-${i}`, { i })
    await waitFor(async () => Object.keys(await listOf(b)).length === 20, WAIT)
    expect((await reportOf(leader)).bus?.batches).toBeGreaterThan(before)

    await redis().control?.kill()
    await fedBy(leader, 'stream')
    for (let i = 0; i < 20; i++) {
      await a.post(`items/a-${i}`, { i })
      await leader.delete(`items/l-${i}`)
    }
    await waitUntilEqual(all)
    await redis().control?.start()
    await fedBy(leader, 'bus')
    await b.post('items/b', { late: true })
    await leader.kill()
    await a.post('items/offline', 1)
    await leader.start()
    await fedBy(leader, 'bus')
    await leader.post('items/last', { last: true })
    await waitUntilEqual(all)
    const final = await listOf(leader)
    expect(Object.keys(final)).toHaveLength(20 + 3)
    for (const subscriber of subscribers) {
      await waitForValue(() => subscriber.dataByPath(), final, WAIT)
      expect(subscriber.problems).toEqual([])
    }
  })

  it('that is nowhere start and replicate without it, and say so', {
    timeout: 240_000,
  }, async () => {
    const args = ['--redis', 'redis://:a-password@127.0.0.1:1']
    const cluster = newCluster({ args })
    const { leader, all } = await startTrio(cluster)
    await leader.post('items/a', 1)
    await waitUntilEqual(all)
    const report = await reportOf(leader)
    expect(report.bus?.publishing.state).toBe('down')
    expect(JSON.stringify(report) + cluster.output()).not.toContain('a-password')
  })
})
