/**
 * The answers of the Kubernetes API that the lease and the labels rely on. Given by the fake of the other
 * tests, and, with `KUBECONFIG`, by a real one: the table is what both must do.
 */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { KubeApi, type KubeRequest } from '../../../cluster/election/lease/kube-api.ts'
import { KUBECONFIG, makePod, realConfig, remove } from '../../support/kube-cluster.ts'
import { LeaseApi } from '../../support/lease-api.ts'

interface Metadata {
  readonly resourceVersion: string
  readonly uid: string
  readonly labels?: Readonly<Record<string, string>>
}

interface Stored {
  readonly metadata: Metadata
}

interface Change {
  readonly spec?: Readonly<Record<string, unknown>>
  readonly meta?: Readonly<Record<string, unknown>>
}

/** A change of a lease that is there, and what is answered. */
interface UpdateCase {
  readonly what: string
  readonly change: (now: Metadata) => Change
  readonly status: number
}

const AT = '2026-01-01T00:00:00.000000Z'
const OTHER_UID = 'dcb3bbde-0000-4000-8000-000000000000'

const CREATIONS: readonly (readonly [what: string, change: Change, status: number])[] = [
  ['that is new', {}, 201],
  ['that nobody holds', { spec: { holderIdentity: '' } }, 201],
  ['of a field that is not known', { spec: { more: 1 } }, 201],
  ['with a version', { meta: { resourceVersion: '5' } }, 500],
  ['for another namespace than that of the address', { meta: { namespace: 'kube-public' } }, 400],
  ['by a name that is none', { meta: { name: 'A_b' } }, 422],
  ['of no seconds', { spec: { leaseDurationSeconds: 0 } }, 422],
  ['of part of a second', { spec: { leaseDurationSeconds: 1.5 } }, 400],
  ['with a number below 0', { spec: { leaseTransitions: -1 } }, 422],
  ['with a number of more than 31 bits', { spec: { leaseTransitions: 2 ** 31 } }, 400],
  ['with a time of milliseconds', { spec: { renewTime: '2026-01-01T00:00:00.000Z' } }, 400],
  ['with an annotation that is no text', { meta: { annotations: { 'ooo-cluster/x': 3 } } }, 400],
  ['with an annotation of a bad name', { meta: { annotations: { 'ooo cluster/x': '' } } }, 422],
]

const UPDATES: readonly UpdateCase[] = [
  {
    what: 'with the version that it has',
    change: ({ resourceVersion }) => ({ meta: { resourceVersion }, spec: { holderIdentity: 'b' } }),
    status: 200,
  },
  {
    what: 'with an older version',
    change: () => ({ meta: { resourceVersion: '1' } }),
    status: 409,
  },
  {
    what: 'with a version that is none',
    change: () => ({ meta: { resourceVersion: 'x' } }),
    status: 500,
  },
  { what: 'without a version', change: () => ({}), status: 422 },
  {
    what: 'of another life',
    change: ({ resourceVersion }) => ({ meta: { resourceVersion, uid: OTHER_UID } }),
    status: 409,
  },
  {
    what: 'under another name',
    change: ({ resourceVersion }) => ({ meta: { resourceVersion, name: 'other' } }),
    status: 400,
  },
]

function describeApi(
  name: string,
  open: () => Promise<{ api: KubeApi; namespace: string; pod: string }>,
  close: (made: readonly string[], pod: string) => Promise<void>,
): void {
  describe(name, () => {
    let api: KubeApi
    let path: string
    let namespace: string
    let pod: string
    const made: string[] = []
    const newName = (): string => {
      const lease = `test-${randomUUID()}`
      made.push(lease)
      return lease
    }
    const lease = (of: string, { spec, meta }: Change = {}): unknown => ({
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: of, namespace, ...meta },
      spec: {
        holderIdentity: 'a',
        leaseDurationSeconds: 5,
        acquireTime: AT,
        renewTime: AT,
        leaseTransitions: 1,
        ...spec,
      },
    })
    const ask = async (request: KubeRequest): Promise<{ status: number; body: Stored }> => {
      const { status, body } = await api.request(request)
      return { status, body: body as Stored }
    }
    const create = (of: string, change?: Change) =>
      ask({ method: 'POST', path, body: lease(of, change) })
    const update = (of: string, change?: Change) =>
      ask({ method: 'PUT', path: `${path}/${of}`, body: lease(of, change) })

    beforeAll(async () => {
      const opened = await open()
      api = opened.api
      namespace = opened.namespace
      pod = opened.pod
      path = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`
    })

    afterAll(async () => {
      api.close()
      await close(made, pod)
    })

    it.each(CREATIONS)('answers the creation of a lease %s', async (_, change, status) => {
      expect((await create(newName(), change)).status).toBe(status)
    })

    it('does not create a lease twice, nor in a namespace that is not there', async () => {
      const one = newName()
      await create(one)
      expect((await create(one)).status).toBe(409)
      const nowhere = path.replace(`/${namespace}/`, '/not-there/')
      const body = lease(newName(), { meta: { namespace: 'not-there' } })
      expect((await ask({ method: 'POST', path: nowhere, body })).status).toBe(404)
    })

    it.each(UPDATES)('answers a change $what', async ({ change, status }) => {
      const one = newName()
      const { metadata } = (await create(one)).body
      expect((await update(one, change(metadata))).status).toBe(status)
    })

    it('finds no lease that is not there, and by PUT makes one unless it was another', async () => {
      const missing = newName()
      expect((await ask({ method: 'GET', path: `${path}/${missing}` })).status).toBe(404)
      const meta = { resourceVersion: '5', uid: OTHER_UID }
      expect((await update(missing, { meta })).status).toBe(409)
      expect((await update(missing, { meta: { resourceVersion: '5' } })).status).toBe(201)
    })

    it('gives a new version to what changes, and keeps that of what does not', async () => {
      const one = newName()
      const first = (await create(one)).body.metadata
      const { resourceVersion } = first
      const same = await update(one, { meta: { resourceVersion } })
      expect([same.status, same.body.metadata.resourceVersion]).toEqual([200, resourceVersion])
      const other = await update(one, { meta: { resourceVersion }, spec: { holderIdentity: 'b' } })
      expect(other.body.metadata.resourceVersion).not.toBe(resourceVersion)
      expect(other.body.metadata.uid).toBe(first.uid)
    })

    it('answers what is not JSON or no lease', async () => {
      const one = newName()
      await create(one)
      const put = (body: unknown) => ask({ method: 'PUT', path: `${path}/${one}`, body })
      expect((await put('text')).status).toBe(400)
      expect((await put({ kind: 'ConfigMap', apiVersion: 'v1' })).status).toBe(400)
    })

    it('sets a label of a pod, and takes it off whether it is there or not', async () => {
      const patch = async (of: string, value: string | null) => {
        const { status, body } = await ask({
          method: 'PATCH',
          path: `/api/v1/namespaces/${namespace}/pods/${of}`,
          body: { metadata: { labels: { 'ooo-cluster/role': value } } },
        })
        return [status, body.metadata.labels?.['ooo-cluster/role']]
      }
      expect(await patch(pod, 'leader')).toEqual([200, 'leader'])
      expect(await patch(pod, 'leader')).toEqual([200, 'leader'])
      expect(await patch(pod, null)).toEqual([200, undefined])
      expect(await patch(pod, null)).toEqual([200, undefined])
      expect((await patch(pod, '-'))[0]).toBe(422)
      expect((await patch('not-there', 'leader'))[0]).toBe(404)
    })
  })
}

const fake = new LeaseApi()
describeApi(
  'the fake API of Kubernetes',
  async () => {
    await fake.start()
    fake.pods.set('default/a', {})
    const { url: server } = fake
    const nothing = { ca: undefined, cert: undefined, key: undefined }
    const access = () => ({ server, token: 'token-1', ...nothing, verifies: true })
    return {
      api: new KubeApi({ namespace: 'default', access }, 20_000),
      namespace: 'default',
      pod: 'a',
    }
  },
  () => fake.stop(),
)

describe.skipIf(KUBECONFIG === '')('with the cluster of KUBECONFIG', () => {
  describeApi(
    'the API of Kubernetes',
    async () => {
      const config = realConfig()
      const pod = `test-${randomUUID()}`
      makePod(pod)
      return { api: new KubeApi(config, 20_000), namespace: config.namespace, pod }
    },
    async (made, pod) => remove(`pod/${pod}`, ...made.map((name) => `lease/${name}`)),
  )
})
