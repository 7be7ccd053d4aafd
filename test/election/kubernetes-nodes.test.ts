/** Servers that elect their leader by a lease in Kubernetes, which is reached as a KUBECONFIG says. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { startNode, type TestNode } from '../cluster/nodes.ts'
import { LeaseApi } from '../support/lease-api.ts'
import { waitFor } from '../support/wait.ts'

let api: LeaseApi
let folder: string

beforeEach(async () => {
  api = new LeaseApi()
  await api.start()
  folder = mkdtempSync(join(tmpdir(), 'kube-'))
})

afterEach(async () => {
  await api.stop()
  rmSync(folder, { recursive: true, force: true })
})

/** Writes the file anew: its token is one that the API takes now. */
function kubeConfig(token: string): string {
  const path = join(folder, 'config')
  writeFileSync(
    path,
    `current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {server: '${api.url}'}}]
users: [{name: u, user: {token: ${token}}}]
`,
  )
  return path
}

const holder = (): unknown =>
  (api.object('test')?.spec as { holderIdentity?: string })?.holderIdentity

/** Resolves when one of the nodes leads, by the Lease too, and the other follows it live. */
function settled(one: TestNode, other: TestNode): Promise<TestNode> {
  return waitFor(() => {
    for (const [leader, follower] of [
      [one, other],
      [other, one],
    ] as const) {
      const links = follower.plugin.status()?.links ?? []
      const isLive = links.some(({ url, state }) => url === leader.url && state === 'live')
      if (isLive && leader.plugin.status()?.lease?.state === 'leader' && holder() === leader.id) {
        return leader
      }
    }
    return undefined
  })
}

it('the holder of the Lease leads; a rotated token changes nothing, and another one takes over', async () => {
  const env = { KUBECONFIG: kubeConfig('token-1') }
  const election = { kind: 'kubernetes', name: 'test', durationMs: 6000, env } as const
  const [one, other] = [await startNode({ election }), await startNode({ election })]
  const leader = await settled(one, other)
  const follower = leader === one ? other : one
  await follower.request('POST', '/items/a', '1')
  await waitFor(async () => (await leader.server.store.get('items/a'))?.data === '1')
  api.tokens.clear()
  api.tokens.add('token-2')
  await waitFor(() => follower.plugin.status()?.lease?.lastError?.includes('401'))
  kubeConfig('token-2')
  await waitFor(() => follower.plugin.status()?.lease?.lastError === undefined)
  const now = await settled(one, other)
  const next = now === one ? other : one
  await now.server.close()
  await waitFor(() => next.plugin.status()?.lease?.state === 'leader' && holder() === next.id)
  expect(await next.request('GET', '/-/leader').then(({ status }) => status)).toBe(200)
})

it('a node that finds no Kubernetes does not start, and says what is missing', async () => {
  const election = { kind: 'kubernetes', env: {} } as const
  await expect(startNode({ election })).rejects.toThrow('cluster: no Kubernetes API')
})
