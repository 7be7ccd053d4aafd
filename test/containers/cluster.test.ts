/** Four containers of the image, a bus, and one node in PostgreSQL: outages, and a rolling upgrade. */
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { ContainerCluster, type Member } from '../support/container-cluster.ts'
import type { ContainerNode } from '../support/container-node.ts'
import { useNodeImage } from '../support/node-image.ts'
import { waitUntilEqual } from '../support/process-cluster.ts'
import { dataByPath, Subscriber } from '../support/subscriber.ts'
import { waitFor, waitForValue } from '../support/wait.ts'
import { WriteLoad } from '../support/write-load.ts'

const DEADLINE_MS = 60_000
const TEST_MS = 180_000
/** An image to upgrade from, where one is named. */
const PREVIOUS_IMAGES = [process.env.OOO_TEST_PREVIOUS_IMAGE ?? []].flat()

interface BusWays {
  readonly publishing: { readonly state: string }
  readonly subscribing: { readonly state: string }
}

const image = useNodeImage()
let cluster: ContainerCluster | undefined
let redis: Member
let nodes: readonly ContainerNode[]
let leader: ContainerNode
let follower: ContainerNode

image.prepare(async (tag) => {
  cluster = await ContainerCluster.create(tag, {
    OOO_KEYS: 'settings,items/*',
    OOO_CLUSTER_TOKEN: 'secret',
    OOO_REDIS_URL: 'redis://bus',
  })
  redis = await cluster.startMember({
    image: 'redis:8-alpine',
    name: 'bus',
    command: ['redis-server', '--save', '', '--appendonly', 'no'],
    ready: [/Ready to accept connections/, 1],
  })
  await cluster.startMember({
    image: 'postgres:17-alpine',
    name: 'database',
    env: { POSTGRES_HOST_AUTH_METHOD: 'trust' },
    command: ['-c', 'fsync=off'],
    ready: [/database system is ready to accept connections/, 2],
  })
  const follows = { OOO_CLUSTER_URL: 'http://leader:8800' }
  const inDatabase = { OOO_DATA: '', OOO_POSTGRES_URL: 'postgres://postgres@database/postgres' }
  leader = await cluster.start({ name: 'leader' })
  follower = await cluster.start({ name: 'follower-1', env: follows })
  nodes = [
    leader,
    follower,
    await cluster.start({ name: 'follower-2', env: follows }),
    await cluster.start({ name: 'follower-3', env: { ...follows, ...inDatabase } }),
  ]
})
afterAll(async () => await cluster?.end())

// A test may have failed in the middle of an outage.
beforeEach(async ({ onTestFailed }) => {
  onTestFailed(async () => console.log(await cluster?.output()))
  await redis.restart()
  for (const node of nodes) {
    if (!(await node.inspect()).State.Running) await node.restart()
    await node.connect()
  }
  await waitUntilEqual(nodes, undefined, DEADLINE_MS)
})

describe('four containers', { timeout: TEST_MS }, () => {
  it('give what one of them took, whichever it is', async () => {
    for (const node of nodes) await node.post(`items/from-${node.name}`, { by: node.name })
    const all = await listOnAll()
    for (const node of nodes) expect(all[`items/from-${node.name}`]).toEqual({ by: node.name })
  })

  it('go on when one is cut off, which goes on too, and agree when the network is back', async () => {
    const watching = await Subscriber.open(follower.url, 'items/*')
    await follower.disconnect()
    await follower.post('items/cut-off', { by: 'follower' })
    await leader.post('items/both', { by: 'leader' })
    await follower.post('items/both', { by: 'follower' })
    await waitFor(async () => (await follower.get('-/cluster')).body.includes('"offline"'), {
      deadlineMs: DEADLINE_MS,
      what: 'the follower to notice',
    })
    await leader.post('items/meanwhile', { by: 'leader' })
    expect((await leader.get('items/cut-off')).status).toBe(404)
    expect((await follower.get('items/meanwhile')).status).toBe(404)

    await follower.connect()
    const all = await listWith(['items/cut-off', 'items/meanwhile'])
    expect([{ by: 'leader' }, { by: 'follower' }]).toContainEqual(all['items/both'])
    await waitFor(() => Object.keys(watching.dataByPath()).length === Object.keys(all).length)
    expect(watching.dataByPath()).toEqual(all)
    expect(watching.problems).toEqual([])
    watching.close()
  })

  it('lose nothing when the leader is cut off', async () => {
    await leader.disconnect()
    const load = new WriteLoad(nodes, 'items/parted-')
    await load.progress(100)
    await load.stop()
    expect(load.failed).toBe(0)
    await leader.connect()
    await expectAll(load)
  })

  it('lose nothing that was acknowledged when the leader is killed, and a follower with it', async () => {
    const load = new WriteLoad(nodes, 'items/killed-')
    await load.progress(50)
    await Promise.all([leader.kill(), follower.kill()])
    await load.progress(50)
    await Promise.all([leader.restart(), follower.restart()])
    await load.progress(50)
    await load.stop()
    await expectAll(load)
  })

  it('go on without Redis, and with a Redis that is empty again, and lose nothing', async () => {
    const load = new WriteLoad(nodes, 'items/bus-')
    await waitForBus('up')
    await load.progress(50)
    await redis.kill()
    await waitForBus('down')
    await load.progress(50)
    await redis.restart()
    await waitForBus('up')
    await load.progress(50)
    await load.stop()
    expect(load.failed).toBe(0)
    await expectAll(load)
  })

  it('are replaced one after the other by containers of the image, under load, and lose nothing', async () => {
    const load = new WriteLoad(nodes, 'items/rolled-')
    // Followers first, as docs/kubernetes.md and a StatefulSet have it.
    for (const node of [...nodes].reverse()) {
      await load.progress(20)
      expect([node.name, await node.replace(image.tag())]).toEqual([node.name, 0])
    }
    await load.progress(20)
    await load.stop()
    await expectAll(load)
  })
})

it.each(PREVIOUS_IMAGES)(
  'containers of %s are upgraded one after the other, under load, and lose nothing',
  async (tag) => {
    const older = await ContainerCluster.create(tag, {
      OOO_KEYS: 'settings,items/*',
      OOO_CLUSTER_TOKEN: 'secret',
    })
    try {
      const first = await older.start({ name: 'leader' })
      const env = { OOO_CLUSTER_URL: 'http://leader:8800' }
      const all = [
        first,
        await older.start({ name: 'follower-1', env }),
        await older.start({ name: 'follower-2', env }),
      ]
      const load = new WriteLoad(all, 'items/upgraded-')
      for (const node of [...all].reverse()) {
        await load.progress(50)
        expect([node.name, await node.replace(image.tag())]).toEqual([node.name, 0])
        // Works together with those of the other release.
        await node.post(`items/new-${node.name}`, { by: node.name })
        await listWith([`items/new-${node.name}`], all)
      }
      await load.stop()
      await expectAll(load, all)
    } finally {
      await older.end()
    }
  },
  TEST_MS,
)

/** Waits until the leader says that of its way into the bus, and every follower of its way out. */
async function waitForBus(state: string): Promise<void> {
  for (const node of nodes) {
    const way = node === leader ? 'publishing' : 'subscribing'
    const seen = async (): Promise<unknown> => {
      const { body } = await node.get('-/cluster')
      return (JSON.parse(body) as { bus?: BusWays }).bus?.[way].state
    }
    await waitForValue(seen, state, {
      deadlineMs: DEADLINE_MS,
      intervalMs: 50,
      what: `${way} of ${node.name}`,
    })
  }
}

/** The list, once all nodes have the same one. */
async function listOnAll(some = nodes): Promise<Record<string, unknown>> {
  const bodies = await waitUntilEqual(some, ['items/*'], DEADLINE_MS)
  return dataByPath(JSON.parse(bodies['items/*'] ?? '[]'))
}

/** The list once all nodes have the same one with these keys in it: being equal may come before. */
async function listWith(keys: readonly string[], some = nodes): Promise<Record<string, unknown>> {
  let all: Record<string, unknown> = {}
  const complete = async (): Promise<boolean> => {
    all = await listOnAll(some)
    return keys.every((key) => key in all)
  }
  await waitFor(complete, { deadlineMs: DEADLINE_MS, what: `${keys.length} keys on all nodes` })
  return all
}

/** Waits until every node has all that the load saw acknowledged. */
async function expectAll({ acknowledged }: WriteLoad, some = nodes): Promise<void> {
  const all = await listWith([...acknowledged.keys()], some)
  const kept = [...acknowledged.keys()].map((key) => [key, all[key]])
  expect(kept).toEqual([...acknowledged])
}
