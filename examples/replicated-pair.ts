/** How do two nodes keep the same state, each writable? */
import { createServer, type Server } from 'ooo-cluster'
import { createClient } from 'ooo-cluster/client'
import { cluster } from 'ooo-cluster/cluster'
import { MemoryStorage } from 'ooo-cluster/storage/memory'
import WebSocket from 'ws'

const leader = await startNode()
const follower = await startNode(leader.address?.url)

// Written on the follower: it answers at once and passes the change on to its leader.
const here = createClient({ url: follower.address?.url ?? '', WebSocket })
const there = createClient({ url: leader.address?.url ?? '', WebSocket })
const { path } = await here.push('items/*', { made: 'on the follower' })

await appears(path)
console.log('read on the leader:', (await there.get(path))?.data)

here.close()
there.close()
await follower.close()
await leader.close()

/** A node that replicates `items/*`; without a leader to follow it leads. */
async function startNode(clusterUrl?: string): Promise<Server> {
  const replication = cluster({
    keys: [{ path: 'items/*' }],
    ...(clusterUrl === undefined ? {} : { clusterUrl }),
  })
  const server = createServer({ storage: new MemoryStorage(), port: 0, plugins: [replication] })
  await server.open()
  return server
}

/** Waits until the leader's list holds the key. */
function appears(key: string): Promise<void> {
  return new Promise((resolve) => {
    there.subscribe('items/*', {
      onState: (items) => {
        if (items.some((item) => item.path === key)) resolve()
      },
    })
  })
}
