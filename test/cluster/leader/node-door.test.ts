/** The door for nodes: who may join, and who sees and changes data past its filters. */
import { networkInterfaces } from 'node:os'
import { describe, expect, it } from 'vitest'
import { backupRoutes } from '../../../backup/routes.ts'
import { type ClusterOptions, type ClusterPlugin, cluster } from '../../../cluster/index.ts'
import { requireMember } from '../../../cluster/members/token.ts'
import { exchange, handshake, serve, type TestServer } from '../../server/serve.ts'
import type { Answer } from '../../support/http.ts'
import { request } from '../../support/http.ts'
import { waitFor } from '../../support/wait.ts'

const KEYS = [{ path: 'items/*' }]
const SHOWN = { 'x-ooo-cluster-token': 'secret' }
/** What a proxy on this machine says of a request from another one. */
const ELSEWHERE = { 'x-forwarded-for': '10.0.0.9' }

function member(options: Partial<ClusterOptions>): Promise<TestServer> {
  const { token, openCluster = false } = options
  const authorize = (asked: Parameters<typeof requireMember>[0]): void =>
    requireMember(asked, { token, openCluster })
  return serve({
    host: '0.0.0.0',
    open: true,
    plugins: [backupRoutes({ authorize }), cluster({ keys: KEYS, ...options })],
  })
}

async function streamStatus(port: number, headers: Record<string, string>): Promise<number> {
  const protocol = handshake('/_pivot/stream', headers)
  // One that is let in says nothing for a while; a wrong version is refused behind the door.
  return (await exchange(port, protocol.replace('Version: 13', 'Version: 8'))).status
}

const LET_IN = 400

/** This machine as others reach it; what is sent there does not leave it. */
const OUTWARD = Object.values(networkInterfaces())
  .flatMap((list) => list ?? [])
  .find(({ internal, family }) => !internal && family === 'IPv4')?.address

describe('without a token', () => {
  it('nodes of other machines are refused, naming what to do', async () => {
    const node = await member({})
    for (const path of ['/_pivot/version', '/_pivot/health/nodes', '/-/backup']) {
      const { status, body } = await node.get(path, ELSEWHERE)
      expect(status, path).toBe(403)
      expect(body).toContain('--cluster-token-file')
      expect(body).toContain('--open-cluster')
      expect((await node.get(path)).status, path).toBe(200)
    }
    const restore = await node.request('POST', '/-/restore', '', { headers: ELSEWHERE })
    expect(restore.status).toBe(403)
    expect((await node.get('/items/*', ELSEWHERE)).status).toBe(200)
    expect(await streamStatus(node.port, {})).toBe(LET_IN)
  })

  it('they may join a cluster that was opened by name', async () => {
    const node = await member({ openCluster: true })
    expect((await node.get('/_pivot/version', ELSEWHERE)).status).toBe(200)
    expect((await node.get('/-/backup', ELSEWHERE)).status).toBe(200)
  })

  it.skipIf(OUTWARD === undefined)('another address than loopback is another machine', async () => {
    const node = await member({})
    const ask = (host: string): Promise<Answer> =>
      request('GET', `http://${host}:${node.port}/_pivot/version`)
    expect((await ask(OUTWARD ?? '')).status).toBe(403)
    expect((await ask('127.0.0.1')).status).toBe(200)
  })
})

it.skipIf(OUTWARD === undefined)(
  'a follower of another machine is told why its leader does not let it in, and follows an open one',
  async () => {
    const follow = async (leader: TestServer): Promise<ClusterPlugin> => {
      const clusterUrl = `http://${OUTWARD}:${leader.port}`
      const plugin = cluster({ keys: KEYS, clusterUrl })
      await serve({ plugins: [plugin] })
      return plugin
    }
    const refused = await follow(await member({}))
    const reason = await waitFor(() => refused.status()?.links[0]?.lastError, {
      what: 'the reason',
    })
    expect(reason).toContain('403')
    expect(reason).toContain('--open-cluster')
    const followed = await follow(await member({ openCluster: true }))
    await waitFor(() => followed.status()?.links[0]?.state === 'live', { what: 'the link' })
  },
)

describe('with a token', () => {
  it('only who shows it comes in, from this machine too, in the header or as a bearer token', async () => {
    const node = await member({ token: 'secret' })
    const bearer = { authorization: 'Bearer secret' }
    for (const path of ['/_pivot/version', '/-/backup', '/-/conflicts']) {
      expect((await node.get(path)).status, path).toBe(401)
      expect((await node.get(path, { authorization: 'Bearer other' })).status, path).toBe(401)
      expect((await node.get(path, { authorization: 'Basic secret' })).status, path).toBe(401)
      expect((await node.get(path, { ...SHOWN, ...ELSEWHERE })).status, path).toBe(200)
      expect((await node.get(path, bearer)).status, path).toBe(200)
    }
    // It guards no data.
    expect((await node.get('/items/*', ELSEWHERE)).status).toBe(200)
    expect((await node.get('/-/cluster', ELSEWHERE)).status).toBe(200)
  })

  it('conflicts are neither shown, restored nor discarded without it', async () => {
    const node = await member({ token: 'secret' })
    const without = await Promise.all([
      node.get('/-/conflicts?key=items/*'),
      node.request('POST', '/-/conflicts/1/restore'),
      node.request('DELETE', '/-/conflicts/1'),
    ])
    expect(without.map(({ status }) => status)).toEqual([401, 401, 401])
    const shown = { headers: SHOWN }
    expect((await node.request('DELETE', '/-/conflicts/1', undefined, shown)).status).toBe(404)
    const open = await member({})
    expect((await open.get('/-/conflicts')).status).toBe(200)
  })

  it.each(['a\nb', 'secret\r\n', ' secret', 'schlüssel', '', 'x'.repeat(5000)])(
    '%j is refused, as it could not travel in a header',
    (token) => {
      expect(() => cluster({ keys: KEYS, token })).toThrow(/^cluster: token: it must be/)
    },
  )

  it('every character that is taken arrives', async () => {
    const token = String.fromCharCode(...Array.from({ length: 94 }, (_, i) => 33 + i), 32, 33)
    const node = await member({ token })
    const headers = { 'x-ooo-cluster-token': token }
    expect((await node.get('/_pivot/version', headers)).status).toBe(200)
    expect((await node.get('/_pivot/version', { authorization: `Bearer ${token}` })).status).toBe(
      200,
    )
  })

  it('a cluster is not open as well', () => {
    expect(() => cluster({ keys: KEYS, token: 'a', openCluster: true })).toThrow(
      'exclude each other',
    )
  })
})
