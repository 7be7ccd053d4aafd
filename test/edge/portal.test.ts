/** A captive portal answers everything with 200 and a page: nothing that it answers is an acknowledgement. */
import { describe, expect, it } from 'vitest'
import { createClient } from '../../src/client/index.ts'
import { startNode, type TestNode } from '../cluster/nodes.ts'
import { waitFor } from '../support/wait.ts'
import { type Portal, type Relay, startPortal, startRelay } from './gateway.ts'

const WAIT = { deadlineMs: 20_000 }

interface Site {
  readonly leader: TestNode
  readonly edge: TestNode
  readonly portal: Portal
  readonly relay: Relay
}

/** A follower that reaches its leader through a relay, behind which a portal may come. */
async function site(token: string | undefined): Promise<Site> {
  const shared = token === undefined ? {} : { token }
  const leader = await startNode(shared)
  const relay = await startRelay(leader.url)
  const edge = await startNode({ ...shared, clusterUrl: relay.url })
  await edge.live()
  return { leader, edge, portal: await startPortal(), relay }
}

const outbox = (node: TestNode): number | undefined => node.plugin.status()?.links[0]?.outbox

const data = async (node: TestNode, key: string): Promise<string | undefined> =>
  (await node.server.store.get(key))?.data

describe.each([
  ['with a token', 'secret'],
  ['without one', undefined],
])('behind a captive portal, %s', (_, token) => {
  it('a follower keeps what it has written until the leader itself has it', async () => {
    const { leader, edge, portal, relay } = await site(token)
    relay.switchTo(portal.port)
    expect((await edge.request('POST', '/items/a', '{"n":1.10}')).status).toBe(200)
    await waitFor(() => portal.asked.filter((line) => line.startsWith('UPGRADE')).length > 3, WAIT)
    expect(outbox(edge)).toBeGreaterThan(0)
    expect(edge.plugin.status()?.links[0]?.state).not.toBe('live')
    expect(edge.plugin.status()?.links[0]?.lastError).toMatch(/200/)
    relay.switchTo(Number(new URL(leader.url).port))
    await waitFor(async () => (await data(leader, 'items/a')) === '{"n":1.10}', WAIT)
    await waitFor(() => outbox(edge) === 0, WAIT)
  })

  it('a write that waits for the leader is told that it did not get there', async () => {
    const { edge, portal, relay } = await site(token)
    relay.switchTo(portal.port)
    await waitFor(() => edge.plugin.status()?.links[0]?.state === 'offline', WAIT)
    const answer = await edge.request('POST', '/items/a?ack=leader&ackTimeoutMs=500', '1')
    expect([answer.status, answer.headers['ooo-ack']]).toEqual([504, 'local'])
    const id = String(answer.headers['ooo-write-id'])
    const status = await edge.request('GET', `/-/writes/${id}?key=items/a`)
    expect(JSON.parse(status.body)).toMatchObject({ state: 'local', replicas: 0 })
  })

  it('a write that only the leader may decide fails, and says what answered', async () => {
    const { leader, edge, portal, relay } = await site(token)
    expect((await edge.request('POST', '/items/b', '1')).status).toBe(200)
    relay.switchTo(portal.port)
    const absent = { 'if-none-match': '*' }
    for (const [method, path, body, headers] of [
      ['POST', '/items/a', '1', absent],
      ['DELETE', '/items/b', undefined, { 'if-match': '"1"' }],
    ] as const) {
      const answer = await edge.request(method, path, body, headers)
      expect(answer.status).toBe(502)
      expect(answer.body).toMatch(/not a node's \(200, text\/html\).*portal or a proxy/)
    }
    expect(portal.asked).toContain('POST /items/a')
    relay.switchTo(Number(new URL(leader.url).port))
    expect((await edge.request('POST', '/items/a', '2', absent)).status).toBe(200)
    expect(await data(leader, 'items/a')).toBe('2')
  })

  it('the health answer names the trouble, and the node stays ready', async () => {
    const { edge, portal, relay } = await site(token)
    relay.switchTo(portal.port)
    await edge.request('POST', '/items/a', '1')
    const ready = async (): Promise<{ status: string; reasons: string[] }> => {
      const answer = await edge.request('GET', '/-/readyz')
      expect(answer.status).toBe(200)
      return JSON.parse(answer.body)
    }
    const told = /is out of reach, last heard \d+ s ago \(.*200.*\); \d+ changes? to be sent$/
    await waitFor(async () => told.test((await ready()).reasons[0] ?? ''), WAIT)
    expect((await ready()).status).toBe('ready')
  })
})

describe('a client that meets a captive portal', () => {
  it('takes no page for the answer to a write or a delete', async () => {
    const client = createClient({ url: (await startPortal()).url, retries: 0 })
    await expect(client.set('a', 1)).rejects.toMatchObject({ code: 'invalid_message' })
    await expect(client.push('a/*', 1)).rejects.toMatchObject({ code: 'invalid_message' })
    await expect(client.delete('a')).rejects.toMatchObject({ code: 'invalid_message' })
    await expect(client.get('a')).rejects.toThrow()
    await client.close()
  })
})
