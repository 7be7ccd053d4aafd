/** How do I serve the state of another server under a path of mine? */
import { createServer } from 'ooo-cluster'
import { type ClientEntry, createClient } from 'ooo-cluster/client'
import { MemoryStorage } from 'ooo-cluster/storage/memory'
import WebSocket from 'ws'

const remote = createServer({ storage: new MemoryStorage(), port: 0 })
await remote.open()
const gateway = createServer({ storage: new MemoryStorage(), port: 0 })

// `devices/kitchen/settings` here is `settings` there; nothing is stored here.
const address = new URL(remote.address?.url ?? '').host
gateway.proxy.route({
  localPath: 'devices/kitchen/*',
  resolve: (localPath) => ({ address, path: localPath.replace('devices/kitchen/', '') }),
  capabilities: { read: true, write: true },
})
await gateway.open()
const client = createClient({ url: gateway.address?.url ?? '', WebSocket })

await client.set('devices/kitchen/settings', { light: 'on' })
console.log('stored on the remote:', (await remote.get('settings'))?.data)

// Subscriptions go through as well.
const seen = new Promise<unknown>((resolve) => {
  client.subscribe('devices/kitchen/settings', {
    onState: (entry: ClientEntry<{ readonly light: string }> | undefined) => {
      if (entry?.data.light === 'off') resolve(entry.data)
    },
  })
})
await remote.patch('settings', { light: 'off' })
console.log('seen through the gateway:', await seen)

const refused = await fetch(`${gateway.address?.url}/devices/kitchen/settings`, {
  method: 'DELETE',
})
console.log('delete:', refused.status)

client.close()
await gateway.close()
await remote.close()
