/** Servers that elect their leader by a lease in Kubernetes, which is reached as a KUBECONFIG says. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { LeaseApi } from '../../support/lease-api.ts'
import { waitFor } from '../../support/wait.ts'
import { startNode, type TestNode } from '../nodes.ts'

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

it('labels the pod of the leader, through changes of the leader and the end of nodes', async () => {
  const env = { KUBECONFIG: kubeConfig('token-1') }
  const of = (pod: string) => {
    api.pods.set(`default/${pod}`, { app: 'ooo', role: 'leader' })
    const podLabel = { pod, name: 'role', value: 'leader' }
    return { kind: 'kubernetes', name: 'test', durationMs: 6000, env, podLabel } as const
  }
  const one = await startNode({ election: of('one') })
  const other = await startNode({ election: of('other') })
  const labelled = (): string[] =>
    ['one', 'other'].filter((pod) => api.pods.get(`default/${pod}`)?.role === 'leader')
  const leader = await settled(one, other)
  const [pod, next] = leader === one ? (['one', other] as const) : (['other', one] as const)
  await waitFor(() => labelled().join() === pod)
  expect(leader.plugin.status()?.lease?.podLabel).toMatchObject({ pod, label: 'role=leader' })
  const metrics = (await leader.request('GET', '/-/cluster/metrics')).body
  expect(metrics).toContain('ooo_cluster_lease_pod_label_failures_total 0\n')
  await leader.server.close()
  expect(labelled()).not.toContain(pod)
  await waitFor(() => labelled().join() === (pod === 'one' ? 'other' : 'one'))
  await next.server.close()
  expect(labelled()).toEqual([])
})

it('leads all the same when it may not label its pod, and says so', async () => {
  api.podless.add('token-1')
  api.pods.set('default/one', {})
  const env = { KUBECONFIG: kubeConfig('token-1') }
  const podLabel = { pod: 'one', name: 'role', value: 'leader' }
  const { plugin } = await startNode({
    election: { kind: 'kubernetes', name: 'test', durationMs: 6000, env, podLabel },
  })
  await waitFor(() => plugin.status()?.lease?.state === 'leader')
  await waitFor(() => (plugin.status()?.lease?.podLabel?.failures ?? 0) > 1)
  expect(plugin.status()?.lease?.podLabel?.lastError).toContain('needs patch of the pod')
  expect(plugin.status()?.lease).toMatchObject({ state: 'leader', failures: 0 })
})

it.each([
  [{ pod: 'A', name: 'a', value: 'b' }, 'podLabel: "A" is no name of a pod'],
  [{ pod: 'a', name: 'a', value: '' }, 'podLabel: "a=" is no label'],
  [{ pod: 'a', name: 'a/', value: 'b' }, 'podLabel: "a/=b" is no label'],
])('refuses the label %o', async (podLabel, reason) => {
  const election = { kind: 'kubernetes', env: {}, podLabel } as const
  await expect(startNode({ election })).rejects.toThrow(reason)
})

it('a node that finds no Kubernetes does not start, and says what is missing', async () => {
  const election = { kind: 'kubernetes', env: {} } as const
  await expect(startNode({ election })).rejects.toThrow('cluster: no Kubernetes API')
})
