import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { KubeApi } from '../../../cluster/election/lease/kube-api.ts'
import { type KubeConfig, loadKubeConfig } from '../../../cluster/election/lease/kube-config.ts'
import { kubernetesLease } from '../../../cluster/election/lease/kubernetes-lease.ts'
import { type Candidate, type Lease, NO_MARK } from '../../../cluster/election/lease/lease.ts'
import { createSystemTime } from '../../../src/server/process/system-time.ts'
import { CertificateFolder, NO_OPENSSL } from '../../support/certificates.ts'
import { KUBECONFIG, realConfig, remove } from '../../support/kube-cluster.ts'
import { LeaseApi } from '../../support/lease-api.ts'
import { waitFor } from '../../support/wait.ts'
import { describeLease } from './lease-suite.ts'

const TIME = createSystemTime()

/** Resolves when every candidate sees that nobody holds it, or that its holder does nothing. */
async function lapsed(candidates: readonly Lease[]): Promise<void> {
  for (const lease of candidates) {
    await waitFor(async () => (await lease.look()).heldForMs === 0)
  }
}

function configOf(api: LeaseApi, token = 'token-1'): KubeConfig {
  return {
    namespace: 'default',
    access: () => ({
      server: api.url,
      token,
      ca: undefined,
      cert: undefined,
      key: undefined,
      verifies: true,
    }),
  }
}

function leaseOf(config: KubeConfig, self: Candidate, name = 'test', durationMs = 60_000): Lease {
  const api = new KubeApi(config, 20_000)
  return kubernetesLease({ api, namespace: 'default', name, durationMs, self, time: TIME })
}

const as = (id: string): Candidate => ({ id, url: `http://${id}:1`, session: `of-${id}` })

let api: LeaseApi

beforeEach(async () => {
  api = new LeaseApi()
  await api.start()
})

afterEach(() => api.stop())

describeLease('Kubernetes', async (name, durationMs) => ({
  durationMs,
  candidate: (self) => leaseOf(configOf(api), self, name, durationMs),
  forget: async () => api.delete(name),
  lapse: lapsed,
}))

describe.skipIf(KUBECONFIG === '')('with the cluster of KUBECONFIG', () => {
  const made: string[] = []
  afterAll(() => remove(...made.map((name) => `lease/${name}`)))
  describeLease('the Kubernetes of KUBECONFIG', async (name, durationMs) => {
    made.push(name)
    const config = realConfig()
    const parts = { namespace: config.namespace, name, durationMs, time: TIME }
    return {
      durationMs,
      candidate: (self) => kubernetesLease({ ...parts, api: new KubeApi(config, 20_000), self }),
      forget: async () => remove(`lease/${name}`),
      lapse: lapsed,
    }
  })
})

describe('a lease in Kubernetes', () => {
  it('is a Lease as other tools know it', async () => {
    const lease = leaseOf(configOf(api), as('a'), 'test', 15_000)
    await lease.take(0)
    const first = api.object('test')?.spec as Record<string, unknown>
    await lease.renew(1, NO_MARK)
    const object = api.object('test')
    expect(object).toMatchObject({
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: 'test', namespace: 'default' },
      spec: { holderIdentity: 'a', leaseDurationSeconds: 15, leaseTransitions: 1 },
    })
    expect(object?.spec).toMatchObject({
      acquireTime: first.acquireTime,
    })
    await lease.release(1)
    expect(api.object('test')?.spec).toMatchObject({ holderIdentity: '', leaseTransitions: 1 })
    await lease.close()
  })

  it('is renewed by one request', async () => {
    const lease = leaseOf(configOf(api), as('a'))
    await lease.take(0)
    const before = { ...api.counts }
    await lease.renew(1, NO_MARK)
    await lease.renew(1, NO_MARK)
    expect(api.counts).toEqual({ ...before, 'PUT 200': 2 })
    await lease.close()
  })

  it('does not believe times in the record, only that it does not change', async () => {
    const [a, b] = [leaseOf(configOf(api), as('a')), leaseOf(configOf(api), as('b'))]
    await a.take(0)
    const object = api.object('test') as { spec: Record<string, unknown> }
    object.spec.renewTime = '2001-01-01T00:00:00.000000Z'
    expect(await b.look()).toMatchObject({ holder: { id: 'a' } })
    expect((await b.look()).heldForMs).toBeGreaterThan(30_000)
    expect(await b.take(1)).toMatchObject({ isMine: false })
    await a.close()
    await b.close()
  })

  it('held by another program is not taken and has no address', async () => {
    const lease = leaseOf(configOf(api), as('a'))
    await lease.take(0)
    const object = api.object('test') as {
      spec: Record<string, unknown>
      metadata: Record<string, unknown>
    }
    object.spec.holderIdentity = 'someone'
    delete object.metadata.annotations
    expect(await lease.look()).toMatchObject({ holder: { id: 'someone', url: '' }, isMine: false })
    await lease.close()
  })

  it('fails saying what the API said, and which rights are missing', async () => {
    api.powerless.add('weak')
    const weak = leaseOf(configOf(api, 'weak'), as('a'))
    await expect(weak.take(0)).rejects.toThrow(
      /answers 403: .* needs get, create and update of leases\.coordination\.k8s\.io in "default"/,
    )
    const wrong = leaseOf(configOf(api, 'wrong'), as('a'))
    await expect(wrong.look()).rejects.toThrow('answers 401: Unauthorized')
    api.namespaces.clear()
    const homeless = leaseOf(configOf(api), as('a'))
    await expect(homeless.take(0)).rejects.toThrow('answers 404: namespaces "default" not found')
    for (const lease of [weak, wrong, homeless]) await lease.close()
  })

  it('fails when no answer comes in time, and goes on when one does', async () => {
    const slow = new KubeApi(configOf(api), 100)
    const lease = kubernetesLease({
      api: slow,
      namespace: 'default',
      name: 'test',
      durationMs: 60_000,
      self: as('a'),
      time: TIME,
    })
    api.hold()
    await expect(lease.take(0)).rejects.toThrow('no answer within 100 ms')
    api.release()
    expect((await waitFor(() => lease.take(0))).isMine).toBe(true)
    api.down(true)
    await expect(lease.renew(1, NO_MARK)).rejects.toThrow()
    api.down(false)
    expect((await waitFor(() => lease.renew(1, NO_MARK))).isMine).toBe(true)
    await lease.close()
  })
})

describe('the access to the API', () => {
  let folder: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'kube-'))
  })

  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  const file = (name: string, text: string): string => {
    const path = join(folder, name)
    writeFileSync(path, text)
    return path
  }

  it('of a pod follows its token when that is rotated', async () => {
    file('token', 'token-1\n')
    file('ca.crt', 'none')
    file('namespace', 'default')
    const { hostname, port } = new URL(api.url)
    const env = { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port }
    const config = loadKubeConfig({ env, accountFolder: folder })
    expect(config.namespace).toBe('default')
    expect(config.access()).toMatchObject({ server: api.url.replace('http', 'https') })
    // The fake speaks HTTP; all else is as in a pod.
    const plain = { ...config, access: () => ({ ...config.access(), server: api.url }) }
    const lease = leaseOf(plain, as('a'))
    await lease.take(0)
    api.tokens.clear()
    api.tokens.add('token-2')
    await expect(lease.renew(1, NO_MARK)).rejects.toThrow('answers 401')
    file('token', 'token-2')
    expect(await lease.renew(1, NO_MARK)).toMatchObject({ isMine: true })
    await lease.close()
  })

  it('of a KUBECONFIG shows a token, from the file or one beside it', () => {
    file('secret', 'beside\n')
    const config = (user: string): string =>
      file(
        'config',
        `current-context: c
contexts: [{name: c, context: {cluster: k, user: u, namespace: apps}}]
clusters: [{name: k, cluster: {server: 'https://10.0.0.1:6443/', insecure-skip-tls-verify: true}}]
users: [{name: u, user: ${user}}]
`,
      )
    const first = loadKubeConfig({ env: { KUBECONFIG: config('{token: within}') } })
    expect(first.namespace).toBe('apps')
    expect(first.access()).toMatchObject({
      server: 'https://10.0.0.1:6443',
      token: 'within',
      verifies: false,
    })
    const second = loadKubeConfig({ env: { KUBECONFIG: config('{tokenFile: secret}') } })
    expect(second.access().token).toBe('beside')
    const third = loadKubeConfig({ env: { KUBECONFIG: config('{exec: {command: x}}') } })
    expect(() => third.access()).toThrow('exec or auth-provider are not supported')
  })

  it('is refused naming what is missing', () => {
    expect(() => loadKubeConfig({ env: {}, accountFolder: folder })).toThrow(
      'neither is this a pod with a service account',
    )
    const missing = join(folder, 'none')
    expect(() => loadKubeConfig({ env: { KUBECONFIG: missing } })).toThrow(`cluster: ${missing}:`)
    const bare = file('bare', 'current-context: c\ncontexts: []\n')
    expect(() => loadKubeConfig({ env: { KUBECONFIG: bare } })).toThrow('there is no context "c"')
  })

  it.skipIf(NO_OPENSSL !== undefined)(
    'by HTTPS trusts the authority it was given and shows a certificate',
    async () => {
      const certificates = new CertificateFolder()
      const own = certificates.issue('api')
      const client = certificates.issue('client')
      const ca = readFileSync(certificates.caFile, 'utf8')
      const tls = {
        cert: readFileSync(own.certFile, 'utf8'),
        key: readFileSync(own.keyFile, 'utf8'),
        ca,
      }
      const secure = new LeaseApi({ tls })
      await secure.start()
      secure.tokens.clear()
      mkdirSync(join(folder, 'pki'))
      for (const [name, from] of [
        ['pki/ca.pem', certificates.caFile],
        ['pki/client.pem', client.certFile],
      ] as const) {
        file(name, readFileSync(from, 'utf8'))
      }
      const path = file(
        'config',
        `current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {server: '${secure.url}', certificate-authority: pki/ca.pem}}]
users: [{name: u, user: {client-certificate: pki/client.pem, client-key-data: ${readFileSync(client.keyFile).toString('base64')}}}]
`,
      )
      const lease = leaseOf(loadKubeConfig({ env: { KUBECONFIG: path } }), as('a'))
      expect(await lease.take(0)).toMatchObject({ isMine: true })
      file('pki/ca.pem', '')
      await expect(lease.renew(1, NO_MARK)).rejects.toThrow()
      await lease.close()
      await secure.stop()
      certificates.remove()
    },
  )
})
