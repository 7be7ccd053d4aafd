import { describe, expect, it } from 'vitest'
import { backupRoutes } from '../../../backup/routes.ts'
import { cluster } from '../../../cluster/index.ts'
import type { LogFields, Logger } from '../../../src/core/ports/logger.ts'
import type { ServerOptions } from '../../../src/server/contract/options.ts'
import { type Answer, request } from '../../support/http.ts'
import { findNginx, startNginx } from '../../support/nginx-program.ts'
import { afterTest, exchange, handshake, serve, type TestServer } from '../serve.ts'

const TOKEN = 'a-token'
const FOREIGN = 'https://evil.example'

/** A node of a cluster: it has a token, and names. */
function member(options: Partial<ServerOptions> = {}): Promise<TestServer> {
  const advertise = { host: 'Node-1.example', port: 8800 }
  const plugin = cluster({ keys: [{ path: 'items/*' }], token: TOKEN, advertise })
  return serve({ plugins: [plugin, backupRoutes()], ...options })
}

const post = (node: TestServer, headers: Record<string, string>): Promise<Answer> =>
  node.request('POST', '/a', '1', { headers })

const socketStatus = async (node: TestServer, headers: Record<string, string>): Promise<number> => {
  try {
    const { socket } = await node.subscribe('/a', { headers })
    socket.terminate()
    return 101
  } catch (error) {
    return Number(/response: (\d+)/.exec(String(error))?.[1])
  }
}

/** A logger that keeps warnings. */
function keptWarnings(): { logger: Logger; lines: { message: string; fields: LogFields }[] } {
  const lines: { message: string; fields: LogFields }[] = []
  const nothing = (): void => undefined
  const logger: Logger = {
    debug: nothing,
    info: nothing,
    error: nothing,
    warn: (message, fields = {}) => lines.push({ message, fields }),
  }
  return { logger, lines }
}

describe('a page', () => {
  it.each([
    ['of another port of the same host', 'http://box.local:3000', 'box.local:8800'],
    ['of the same host over TLS', 'https://box.local', 'box.local:8800'],
    ['of the same address', 'http://10.1.2.3:3000', '10.1.2.3:8800'],
    ['of the same address, IPv6', 'http://[fd00::1]:3000', '[FD00::1]:8800'],
    ['of this machine', 'http://localhost:5173', 'box.local:8800'],
    ['of this machine by address', 'http://127.0.0.2', 'box.local'],
    ['of this machine by IPv6', 'http://[::1]:80', 'box.local'],
    ['of this machine below localhost', 'http://app.localhost:3000', 'box.local'],
    ['of the advertised name', 'https://node-1.example', '10.1.2.3:8800'],
    ['of an allowed host', 'https://shop.example', 'shop.example'],
  ])('%s reads, writes, asks ahead and subscribes', async (_what, origin, host) => {
    const node = await member({ allowedHosts: ['Shop.example'] })
    const headers = { origin, host }
    expect((await post(node, headers)).status).toBe(200)
    const read = await node.get('/a', headers)
    expect(read.status).toBe(200)
    expect(read.headers['access-control-allow-origin']).toBe(origin)
    const asked = { ...headers, 'access-control-request-method': 'PATCH' }
    const ahead = await node.request('OPTIONS', '/a', undefined, { headers: asked })
    expect(ahead.status).toBe(204)
    expect(ahead.headers['access-control-allow-origin']).toBe(origin)
    expect(await socketStatus(node, headers)).toBe(101)
  })

  it.each([
    ['of a stranger', FOREIGN],
    ['without an origin', 'null'],
    ['of a name that only ends like the own', 'http://evil-box.local'],
    ['of a name that starts like loopback', 'http://127.0.0.1.evil.example'],
    ['of a name that starts like localhost', 'http://localhost.evil.example'],
    ['of two origins', 'http://box.local, http://evil.example'],
    ['of no proper origin', 'box.local'],
    ['with a name in the place of the user', 'http://box.local@evil.example'],
    ['with a path in its origin', 'http://evil.example/box.local'],
  ])('%s is refused before anything is done', async (_what, origin) => {
    const node = await member()
    const headers = { origin, host: 'box.local' }
    for (const type of ['application/json', 'text/plain', 'application/x-www-form-urlencoded']) {
      const refused = await post(node, { ...headers, 'content-type': type })
      expect(refused).toMatchObject({ status: 403 })
      expect(refused.body).toContain(`--allow-origin ${origin}`)
      expect(refused.headers['access-control-allow-origin']).toBeUndefined()
    }
    for (const path of ['/a', '/', '/?api=keys', '/-/cluster', '/-/backup', '/-/batch']) {
      expect((await node.get(path, headers)).status, path).toBe(403)
    }
    const asked = { ...headers, 'access-control-request-method': 'GET' }
    expect((await node.request('OPTIONS', '/a', undefined, { headers: asked })).status).toBe(403)
    expect(await socketStatus(node, headers)).toBe(403)
    expect((await node.get('/a')).status).toBe(404)
    expect(node.server.socketCount).toBe(0)
  })

  it('of a listed origin is served; wildcards are for requests only', async () => {
    const node = await serve({
      allowedOrigins: ['https://Shop.example', 'https://*.app.example', 'null'],
    })
    for (const origin of ['https://shop.example', 'null']) {
      expect((await post(node, { origin })).status).toBe(200)
      expect(await socketStatus(node, { origin })).toBe(101)
    }
    expect((await post(node, { origin: 'https://a.app.example' })).status).toBe(200)
    expect(await socketStatus(node, { origin: 'https://a.app.example' })).toBe(403)
    expect((await post(node, { origin: 'http://shop.example' })).status).toBe(403)
  })

  it('with a credential of the node is served, and asks ahead for that', async () => {
    const node = await member()
    const host = 'rebound.example'
    const headers = { origin: FOREIGN, host, authorization: `Bearer ${TOKEN}` }
    const written = await post(node, headers)
    expect(written.status).toBe(200)
    expect(written.headers['access-control-allow-origin']).toBe(FOREIGN)
    const asked = { origin: FOREIGN, 'access-control-request-method': 'POST' }
    const ahead = (names: string): Promise<Answer> =>
      node.request('OPTIONS', '/a', undefined, {
        headers: { ...asked, 'access-control-request-headers': names },
      })
    expect((await ahead('content-type, Authorization')).status).toBe(204)
    expect((await ahead('content-type')).status).toBe(403)
    expect((await post(node, { ...headers, authorization: 'Bearer other' })).status).toBe(403)
    const protocols = ['bearer', TOKEN]
    await node.subscribe('/a', { protocols, headers: { origin: FOREIGN, host } })
    await expect(
      node.subscribe('/a', { protocols: ['bearer', 'other'], headers: { origin: FOREIGN, host } }),
    ).rejects.toThrow('403')
  })

  it('gets nothing from a node without credentials by showing one', async () => {
    const node = await serve()
    const headers = { origin: FOREIGN, authorization: 'Bearer ' }
    expect((await post(node, headers)).status).toBe(403)
  })

  it('is never served what only nodes and operators use', async () => {
    const node = await member({ allowedOrigins: ['*'] })
    const origin = 'http://127.0.0.1'
    for (const path of [
      '/_pivot/version',
      '/%5Fpivot/version',
      '/_pivot/pivot/items',
      '/-/restore',
    ]) {
      for (const method of ['GET', 'POST']) {
        const headers = { origin, authorization: `Bearer ${TOKEN}` }
        const { status, body } = await node.request(method, path, undefined, { headers })
        expect([status, body.includes('no option allows it')], path).toEqual([403, true])
      }
    }
    const stream = handshake('/_pivot/stream', { Origin: origin, 'X-Ooo-Cluster-Token': TOKEN })
    expect((await exchange(node.port, stream)).status).toBe(403)
    const shown = { 'x-ooo-cluster-token': TOKEN }
    // What is the page's own comes without an origin.
    for (const site of ['same-origin', 'same-site', 'cross-site']) {
      const headers = { ...shown, 'sec-fetch-site': site }
      expect((await node.get('/_pivot/version', headers)).status).toBe(403)
      expect((await node.get('/*', headers)).status).toBe(200)
    }
    expect((await node.get('/_pivot/version', { ...shown, 'sec-fetch-site': 'none' })).status).toBe(
      200,
    )
    expect((await node.get('/_pivot/version', shown)).status).toBe(200)
  })
})

describe('the host name of a request', () => {
  it.each([
    '127.0.0.1:8800',
    '[::1]:8800',
    'localhost',
    'leader:8800',
    'ooo-0.ooo-nodes.default.svc:8800',
    'ooo-0.ooo-nodes.default.svc.cluster.local',
    'box.local.',
    'host.docker.internal:8800',
    'nas.home.arpa',
    'node-1.example:8800',
    'NODE-1.EXAMPLE.',
    'leader.example',
  ])('%s is served', async (host) => {
    const keys = [{ path: 'items/*' }]
    const advertise = { host: 'node-1.example', port: 8800 }
    const plugin = cluster({ keys, clusterUrl: 'http://leader.example:1', advertise })
    const node = await serve({ plugins: [plugin] })
    expect((await node.get('/*', { host })).status).toBe(200)
    expect(await socketStatus(node, { host })).toBe(101)
  })

  it.each([
    'rebound.example:8800',
    'svc',
    'evil.svc.example',
    'localhost.example',
    'a b',
    '127.0.0.1.nip.io',
  ])('%s is refused unless nobody can register it', async (host) => {
    const node = await member()
    const isFree = !host.includes('.') && !host.includes(' ')
    const expected = isFree ? 200 : 403
    const answer = await node.get('/*', { host })
    expect(answer.status).toBe(expected)
    expect(await socketStatus(node, { host })).toBe(isFree ? 101 : 403)
    expect((await post(node, { host })).status).toBe(expected)
    // The page that was rebound calls itself by the same name.
    expect((await node.get('/*', { host, origin: `http://${host}` })).status).toBe(expected)
    if (isFree) return
    expect(answer.body).toContain(`--allow-host ${host.replace(':8800', '')}`)
    expect((await node.get('/-/healthz', { host })).status).toBe(200)
    expect((await node.get('/-/readyz', { host })).status).toBe(200)
    expect((await node.get('/*', { host, 'x-ooo-cluster-token': TOKEN })).status).toBe(200)
  })

  it('is served when it is listed, or when every page is', async () => {
    const listed = await serve({ allowedHosts: ['node.example'] })
    expect((await listed.get('/*', { host: 'NODE.example:99' })).status).toBe(200)
    const open = await serve({ allowedOrigins: ['*'] })
    const answer = await open.get('/*', { host: 'any.example', origin: FOREIGN })
    expect(answer).toMatchObject({ status: 200, headers: { 'access-control-allow-origin': '*' } })
  })

  it('may be the short one of a pod, which the node advertises', async () => {
    const advertise = { host: 'ooo-0.ooo-nodes', port: 8800 }
    const node = await serve({ plugins: [cluster({ keys: [{ path: 'items/*' }], advertise })] })
    expect((await node.get('/*', { host: 'ooo-0.ooo-nodes:8800' })).status).toBe(200)
    const other = await node.get('/*', { host: 'ooo-1.ooo-nodes:8800' })
    expect(other.body).toContain('--allow-host ooo-1.ooo-nodes')
  })

  it('may be the one by which members call the node', async () => {
    const leader = await serve({ plugins: [cluster({ keys: [{ path: 'items/*' }] })] })
    const host = `leader.example:${leader.port}`
    expect((await leader.get('/*', { host })).status).toBe(403)
    const stream = await leader.subscribe('/_pivot/stream', {
      headers: { host },
      expectFrame: false,
    })
    expect((await leader.get('/*', { host })).status).toBe(200)
    // It is a name to be called by, and no reason to serve the pages of a host of that name.
    expect((await leader.get('/*', { origin: 'http://leader.example' })).status).toBe(403)
    stream.socket.terminate()
  })

  it('and origins that could never match are refused at start', async () => {
    await expect(serve({ allowedHosts: ['node.example:80'] })).rejects.toThrow('allowedHosts')
    await expect(serve({ allowedOrigins: ['shop.example'] })).rejects.toThrow('allowedOrigins')
  })
})

describe('a refusal', () => {
  it('is logged once for each origin and host, and for a bounded number of them', async () => {
    const { logger, lines } = keptWarnings()
    const node = await serve({ logger })
    for (let i = 0; i < 3; i++) await post(node, { origin: FOREIGN })
    await socketStatus(node, { origin: FOREIGN })
    for (let i = 0; i < 3; i++) await node.get('/a', { host: 'rebound.example' })
    expect(lines.map(({ fields }) => fields)).toEqual([
      { origin: FOREIGN, advice: expect.stringContaining(`--allow-origin ${FOREIGN}`) },
      { host: 'rebound.example', advice: expect.stringContaining('--allow-host rebound.example') },
    ])
    for (let i = 0; i < 300; i++) await node.get('/a', { origin: `http://${i}.example` })
    expect(lines).toHaveLength(101)
    expect(lines.at(-1)?.message).toContain('more origins and hosts')
  })
})

describe('the web page', () => {
  it('runs only what is its own, and is shown in no frame', async () => {
    const { headers } = await (await serve()).get('/')
    expect(headers['content-security-policy']).toContain("script-src 'self'")
    expect(headers['content-security-policy']).toContain("frame-ancestors 'none'")
    expect(headers['x-content-type-options']).toBe('nosniff')
  })
})

const nginx = findNginx()
if (nginx === undefined) console.log('skipping nginx: it is not installed')

describe.skipIf(nginx === undefined)('behind nginx', () => {
  const ORIGIN = 'https://shop.example'

  async function start(
    options: Partial<ServerOptions>,
    settings: readonly string[],
  ): Promise<(method: string, origin?: string) => Promise<Answer>> {
    const node = await serve(options)
    const { url, end } = await startNginx(nginx ?? '', node.url, settings)
    afterTest(end)
    return (method, origin) =>
      request(method, `${url}/a`, {
        headers: { host: 'shop.example', ...(origin === undefined ? {} : { origin }) },
        ...(method === 'POST' ? { body: '1' } : {}),
      })
  }

  it('without proxy_set_header programs are served, and pages once their origin is listed', async () => {
    const ask = await start({}, [])
    expect((await ask('POST')).status).toBe(200)
    expect((await ask('GET')).status).toBe(200)
    const refused = await ask('POST', ORIGIN)
    expect(refused.status).toBe(403)
    expect(refused.body).toContain(`--allow-origin ${ORIGIN}`)
    const askListed = await start({ allowedOrigins: [ORIGIN] }, [])
    expect((await askListed('POST', ORIGIN)).status).toBe(200)
  })

  it('with the host passed on its name is to be listed', async () => {
    const passed = ['proxy_set_header Host $host;']
    const ask = await start({}, passed)
    expect((await ask('GET')).body).toContain('--allow-host shop.example')
    const askListed = await start({ allowedHosts: ['shop.example'] }, passed)
    expect((await askListed('GET')).status).toBe(404)
    expect((await askListed('POST', ORIGIN)).status).toBe(200)
  })
})
