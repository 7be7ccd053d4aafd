/** A leader that is gone without a word before it has answered: its end of the connection is no more, and nobody says so. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { expect, it } from 'vitest'
import { WebSocketServer } from 'ws'
import { LinkProxy } from '../../faults/histories/proxy.ts'
import { freePort } from '../../support/free-port.ts'
import { waitFor } from '../../support/wait.ts'
import { startNode } from '../nodes.ts'

it('is dialled again long before it would be called silent', async () => {
  const leader = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  await once(leader, 'listening')
  let greeted = 0
  leader.on('connection', (socket) => socket.once('message', () => greeted++))
  const proxy = await LinkProxy.listen(await freePort(), (leader.address() as AddressInfo).port)
  try {
    const limits = { beatIntervalMs: 200, maxSilentBeats: 10_000 }
    await startNode({ limits, clusterUrl: `http://127.0.0.1:${proxy.port}` })
    await waitFor(() => greeted === 1)
    proxy.set('half-open')
    await waitFor(() => leader.clients.size === 0)
    proxy.set('open')
    await waitFor(() => greeted === 2, { what: 'the next greeting' })
    expect(leader.clients.size).toBe(1)
  } finally {
    await proxy.close()
    leader.close()
  }
})
