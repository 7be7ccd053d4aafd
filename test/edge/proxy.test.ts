/** Nodes that reach their leader through an HTTP proxy only: the leader's name means nothing without it. */
import { afterEach, describe, expect, it } from 'vitest'
import { outgoingOf } from '../../cli/start/outgoing.ts'
import { cluster } from '../../cluster/index.ts'
import { ProxyAgents } from '../../src/server/dial/agents.ts'
import { createWsTransport } from '../../src/server/dial/ws-transport.ts'
import { createServer } from '../../src/server/server.ts'
import { MemoryStorage } from '../../storage-adapters/memory/memory.ts'
import { startNode, TestNode } from '../cluster/nodes.ts'
import { CertificateFolder, NO_OPENSSL } from '../support/certificates.ts'
import { waitFor } from '../support/wait.ts'
import { startPortal, startProxy, type TestProxy } from './gateway.ts'

const WAIT = { deadlineMs: 20_000 }
/** A name that no resolver knows (RFC 6761). */
const LEADER = 'http://leader.invalid:8800'

const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

/** A follower of `LEADER`, with what the command makes of these settings. */
async function follow(
  settings: { proxy?: string; tlsCa?: string },
  env: Record<string, string> = {},
  clusterUrl = LEADER,
): Promise<TestNode> {
  const { proxy, tlsCa } = settings
  const outgoing = await outgoingOf({ tlsCa, proxy }, env)
  const transport = createWsTransport(outgoing)
  const plugin = cluster({
    keys: [{ path: 'items/*' }, { path: 'settings' }],
    clusterUrl,
    limits: { reconnectInitialMs: 20, reconnectMaxMs: 50 },
    ...outgoing,
  })
  const plugins = [plugin]
  const server = createServer({ storage: new MemoryStorage(), port: 0, plugins, transport })
  await server.open()
  closers.push(() => server.close())
  return new TestNode(server, plugin)
}

async function site(): Promise<{ leader: TestNode; proxy: TestProxy }> {
  const leader = await startNode()
  const proxy = await startProxy(() => Number(new URL(leader.url).port))
  return { leader, proxy }
}

const data = async (node: TestNode, key: string): Promise<string | undefined> =>
  (await node.server.store.get(key))?.data

describe('through a proxy', () => {
  it.each([
    ['--proxy', (url: string) => ({ proxy: url }), () => ({})],
    ['HTTP_PROXY', () => ({}), (url: string) => ({ HTTP_PROXY: url })],
    ['all_proxy', () => ({}), (url: string) => ({ all_proxy: url.replace('http://', '') })],
  ])('given by %s the stream and what is passed on get to the leader', async (_, flags, env) => {
    const { leader, proxy } = await site()
    const node = await follow(flags(proxy.url), env(proxy.url))
    await node.live()
    await node.request('POST', '/items/a', '1')
    await waitFor(async () => (await data(leader, 'items/a')) === '1', WAIT)
    const passed = await node.request('POST', '/items/b', '2', { 'if-none-match': '*' })
    expect([passed.status, await data(leader, 'items/b')]).toEqual([200, '2'])
    expect(passed.headers['ooo-answered-by']).toBe(LEADER)
    expect(new Set(proxy.tunnels)).toEqual(new Set(['leader.invalid:8800']))
    expect(proxy.others).toEqual([])
  })

  it('shows it the name and the password of its URL', async () => {
    const { proxy } = await site()
    const node = await follow({ proxy: proxy.url.replace('//', '//me:p%40ss@') })
    await node.live()
    expect(proxy.authorization).toBe(`Basic ${Buffer.from('me:p@ss').toString('base64')}`)
  })

  it('that refuses, goes silent or is a portal nothing counts as delivered, until it opens', async () => {
    const { leader, proxy } = await site()
    proxy.mood = 'refuse'
    const node = await follow({ proxy: proxy.url })
    const error = (): string => node.plugin.status()?.links[0]?.lastError ?? ''
    await waitFor(() => error().includes('407'), WAIT)
    await node.request('POST', '/items/a', '1')
    const refused = await node.request('POST', '/items/b', '2', { 'if-none-match': '*' })
    expect([refused.status, refused.body]).toEqual([
      502,
      expect.stringMatching(/the proxy answered 407.*it was not asked/),
    ])
    proxy.mood = 'silent'
    await waitFor(() => /opened no tunnel|no connection within/.test(error()), WAIT)
    expect(node.plugin.status()?.links[0]?.outbox).toBeGreaterThan(0)
    proxy.mood = 'open'
    await node.live()
    await waitFor(async () => (await data(leader, 'items/a')) === '1', WAIT)
  }, 60_000)

  it.skipIf(NO_OPENSSL !== undefined)(
    'TLS goes to the leader itself, which is checked',
    async () => {
      const certificates = new CertificateFolder()
      closers.push(async () => certificates.remove())
      const leader = createServer({
        storage: new MemoryStorage(),
        port: 0,
        plugins: [cluster({ keys: [{ path: 'items/*' }] })],
        tls: certificates.issue('leader'),
      })
      await leader.open()
      closers.push(() => leader.close())
      const proxy = await startProxy(() => leader.address?.port ?? 0)
      const { caFile: tlsCa } = certificates
      const node = await follow({ proxy: proxy.url, tlsCa }, {}, 'https://localhost:8800')
      await node.live()
      const passed = await node.request('POST', '/items/a', '1', { 'if-none-match': '*' })
      expect([passed.status, (await leader.store.get('items/a'))?.data]).toEqual([200, '1'])
      const other = await follow({ proxy: proxy.url, tlsCa }, {}, 'https://leader.invalid:8800')
      const error = (): string => other.plugin.status()?.links[0]?.lastError ?? ''
      await waitFor(() => /leader\.invalid\.? is not in the cert/.test(error()), WAIT)
      expect(new Set(proxy.tunnels)).toEqual(new Set(['localhost:8800', 'leader.invalid:8800']))
    },
  )

  it('that never answers no connection is left open', async () => {
    const { proxy } = await site()
    proxy.mood = 'silent'
    const agents = new ProxyAgents(() => proxy.url, { tunnelTimeoutMs: 100 })
    const transport = createWsTransport({ agentFor: (url) => agents.agentFor(url) })
    const reason = await new Promise<string>((resolve) => {
      const close = (info: { reason: string }): void => resolve(info.reason)
      const handlers = { message: () => undefined, close }
      transport.dial({ url: 'ws://leader.invalid:8800/' }, () => undefined, handlers)
    })
    expect(reason).toBe('the proxy opened no tunnel within 100 ms')
    await waitFor(() => proxy.open.size === 0, WAIT)
    expect(proxy.tunnels).toHaveLength(1)
    agents.close()
  })

  it('a portal behind it is no leader', async () => {
    const portal = await startPortal()
    const proxy = await startProxy(() => portal.port)
    const node = await follow({ proxy: proxy.url })
    await node.request('POST', '/items/a', '1')
    await waitFor(() => portal.asked.length > 2, WAIT)
    expect(node.plugin.status()?.links[0]?.outbox).toBeGreaterThan(0)
    const passed = await node.request('POST', '/items/b', '2', { 'if-none-match': '*' })
    expect(passed.status).toBe(502)
  })
})
