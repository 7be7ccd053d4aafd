/** The label of the leader's pod, at the fake API of Kubernetes and, with `KUBECONFIG`, at a real one. */
import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { KubeApi } from '../../../cluster/election/lease/kube-api.ts'
import type { KubeConfig } from '../../../cluster/election/lease/kube-config.ts'
import { kubernetesLease } from '../../../cluster/election/lease/kubernetes-lease.ts'
import { type Lease, NO_MARK } from '../../../cluster/election/lease/lease.ts'
import { PodLabel, withPodLabel } from '../../../cluster/election/lease/pod-label.ts'
import { SILENT_LOGGER } from '../../../src/core/ports/logger.ts'
import { createSystemTime } from '../../../src/server/process/system-time.ts'
import { KUBECONFIG, makePod, podLabels, realConfig, remove } from '../../support/kube-cluster.ts'
import { LeaseApi } from '../../support/lease-api.ts'
import { waitFor } from '../../support/wait.ts'

const TIME = createSystemTime()
const NAME = 'ooo-cluster/role'
/** Long enough for nothing to be repeated during a test. */
const NEVER_MS = 600_000

interface Pods {
  readonly config: (token?: string) => KubeConfig
  make(pod: string, labels?: Readonly<Record<string, string>>): void
  /** undefined: there is no such pod. */
  labels(pod: string): Readonly<Record<string, string>> | undefined
  remove(pod: string): void
  /** Removes a lease. */
  forget(lease: string): void
}

const opened: Lease[] = []

afterEach(async () => {
  for (const lease of opened.splice(0)) await lease.close()
})

interface Candidate {
  readonly lease: Lease
  readonly label: PodLabel
}

function candidate(
  { config }: Pods,
  {
    pod,
    lease: name,
    token,
    againMs = NEVER_MS,
    closeMs = 5000,
  }: {
    readonly pod: string
    readonly lease: string
    readonly token?: string
    readonly againMs?: number
    readonly closeMs?: number
  },
): Candidate {
  const access = config(token)
  const { namespace } = access
  const parts = { namespace, time: TIME, random: Math.random, logger: SILENT_LOGGER }
  const api = new KubeApi(access, 20_000)
  const label = new PodLabel({ ...parts, pod, name: NAME, value: 'leader', againMs, closeMs, api })
  // The rights that it lacks are those on pods.
  const leaseApi = new KubeApi(config(), 20_000)
  const self = { id: pod, url: `http://${pod}:1`, session: randomUUID() }
  const notes = (before: Readonly<Record<string, unknown>>) => label.notes(before)
  const lease = withPodLabel(
    kubernetesLease({ ...parts, api: leaseApi, name, durationMs: 300, self, notes }),
    label,
  )
  opened.push(lease)
  return { lease, label }
}

/** Takes the lease once it has lapsed, as the election does, and says so. */
async function lead({ lease }: Candidate): Promise<void> {
  await waitFor(async () => (await lease.take((await lease.look()).token)).isMine)
  lease.stands?.(true)
}

function describeLabels(name: string, pods: Pods): void {
  const made: string[] = []
  const newPod = (labels?: Readonly<Record<string, string>>): string => {
    const pod = `test-${randomUUID()}`
    pods.make(pod, labels)
    made.push(pod)
    return pod
  }
  const leases: string[] = []
  const newLease = (): string => {
    const lease = `test-${randomUUID()}`
    leases.push(lease)
    return lease
  }
  const role = (pod: string): string | undefined => pods.labels(pod)?.[NAME]

  describe(name, () => {
    afterAll(() => {
      for (const pod of made) pods.remove(pod)
      for (const lease of leases) pods.forget(lease)
    })

    it('is on the pod while its node leads, and other labels stay', async () => {
      const pod = newPod({ app: 'a' })
      const node = candidate(pods, { pod, lease: newLease() })
      node.lease.stands?.(false)
      await waitFor(() => node.label.report().isSet === false)
      await lead(node)
      await waitFor(() => node.label.report().isSet === true)
      expect(pods.labels(pod)).toMatchObject({ app: 'a', [NAME]: 'leader' })
      node.lease.stands?.(false)
      await waitFor(() => role(pod) === undefined)
      expect(pods.labels(pod)).toMatchObject({ app: 'a' })
    })

    it('of an earlier life is taken off by a node that starts and does not lead', async () => {
      const pod = newPod({ [NAME]: 'leader' })
      candidate(pods, { pod, lease: newLease() }).lease.stands?.(false)
      await waitFor(() => role(pod) === undefined)
    })

    it('of leaders that were lost is taken off by the next one, also over several of them', async () => {
      const [a, b, c] = [newPod(), newPod(), newPod({ app: 'c' })]
      const lease = newLease()
      const first = candidate(pods, { pod: a, lease })
      await lead(first)
      await waitFor(() => role(a) === 'leader')
      // Lost before it could do anything with its grant.
      const second = candidate(pods, { pod: b, lease })
      await waitFor(async () => (await second.lease.take((await second.lease.look()).token)).isMine)
      const third = candidate(pods, { pod: c, lease })
      await lead(third)
      await waitFor(() => third.label.report().others.length === 0)
      expect([role(a), role(b), role(c)]).toEqual([undefined, undefined, 'leader'])
      // The note is cleared with the next renewal, and stays so.
      await third.lease.renew((await third.lease.look()).token, NO_MARK)
      const before = { 'ooo-cluster/labelled': `${a} ${b} ${c}` }
      expect(third.label.notes(before)).toEqual({ 'ooo-cluster/labelled': c })
      expect(third.label.report()).toMatchObject({ others: [], failures: 0, isSet: true })
    })

    it('of a pod that is gone needs no more care', async () => {
      const [a, b] = [newPod(), newPod()]
      const lease = newLease()
      await lead(candidate(pods, { pod: a, lease }))
      await waitFor(() => role(a) === 'leader')
      pods.remove(a)
      const next = candidate(pods, { pod: b, lease })
      await lead(next)
      await waitFor(() => role(b) === 'leader' && next.label.report().others.length === 0)
      expect(next.label.report().failures).toBe(0)
    })

    it('is set again when somebody takes it off, and taken off when somebody sets it', async () => {
      const pod = newPod()
      const node = candidate(pods, { pod, lease: newLease(), againMs: 100 })
      await lead(node)
      await waitFor(() => role(pod) === 'leader')
      pods.remove(pod)
      await waitFor(() => node.label.report().lastError?.includes('404'))
      pods.make(pod)
      await waitFor(() => role(pod) === 'leader')
      expect(node.label.report().failures).toBeGreaterThan(0)
      node.lease.stands?.(false)
      await waitFor(() => role(pod) === undefined)
    })

    it('is taken off when the node closes', async () => {
      const pod = newPod()
      const node = candidate(pods, { pod, lease: newLease() })
      await lead(node)
      await waitFor(() => role(pod) === 'leader')
      await node.lease.close()
      expect(role(pod)).toBeUndefined()
    })
  })
}

const fake = new LeaseApi()
await fake.start()
afterAll(() => fake.stop())

const FAKE: Pods = {
  config: (token = 'token-1') => ({
    namespace: 'default',
    access: () => {
      const nothing = { ca: undefined, cert: undefined, key: undefined }
      return { server: fake.url, token, ...nothing, verifies: true }
    },
  }),
  make: (pod, labels = {}) => fake.pods.set(`default/${pod}`, labels),
  labels: (pod) => fake.pods.get(`default/${pod}`),
  remove: (pod) => fake.pods.delete(`default/${pod}`),
  forget: (lease) => fake.delete(lease),
}

describeLabels('the label of the leader', FAKE)

describe.skipIf(KUBECONFIG === '')('with the cluster of KUBECONFIG', () => {
  describeLabels('the label of the leader', {
    config: () => realConfig(),
    make: makePod,
    labels: podLabels,
    remove: (pod) => remove(`pod/${pod}`),
    forget: (lease) => remove(`lease/${lease}`),
  })
})

describe('a label that can not be set', () => {
  it('is told, counted and tried again; the lease is held all the same', async () => {
    FAKE.make('a')
    fake.tokens.add('weak')
    fake.podless.add('weak')
    const node = candidate(FAKE, { pod: 'a', lease: 'weak', token: 'weak' })
    await lead(node)
    await waitFor(() => node.label.report().failures > 1)
    const { isSet, lastError } = node.label.report()
    expect(isSet).toBeUndefined()
    expect(lastError).toMatch(
      /answers 403: .*; the service account needs patch of the pod in "default"/,
    )
    expect((await node.lease.renew(1, NO_MARK)).isMine).toBe(true)
    expect(node.lease.podLabel?.()?.label).toBe('ooo-cluster/role=leader')
    fake.podless.clear()
    await waitFor(() => node.label.report().isSet === true)
    expect(node.label.report().lastError).toBeUndefined()
  })

  it('of another pod does not keep the own one from being set', async () => {
    const lease = 'others'
    for (const pod of ['b', 'c']) FAKE.make(pod)
    const first = candidate(FAKE, { pod: 'b', lease })
    await lead(first)
    await waitFor(() => FAKE.labels('b')?.[NAME] === 'leader')
    const label = new PodLabel({
      ...{ pod: 'c', name: NAME, value: 'leader', namespace: 'default' },
      ...{ againMs: NEVER_MS, closeMs: 1000, time: TIME, random: () => 0, logger: SILENT_LOGGER },
      api: {
        request: async ({ path }) => ({ status: path.endsWith('/c') ? 200 : 500, body: {} }),
        close: () => undefined,
      },
    })
    label.notes({ 'ooo-cluster/labelled': 'b c' })
    label.stands(true)
    await waitFor(() => label.report().failures > 1)
    expect(label.report()).toMatchObject({ isSet: true, others: ['b'] })
    expect(label.notes({ 'ooo-cluster/labelled': 'b c' })['ooo-cluster/labelled']).toBe('b c')
    await label.close()
  })

  it('does not keep a node from closing when no answer comes', async () => {
    FAKE.make('d')
    const node = candidate(FAKE, { pod: 'd', lease: 'hung', closeMs: 50 })
    await lead(node)
    await waitFor(() => FAKE.labels('d')?.[NAME] === 'leader')
    fake.hold()
    try {
      await node.lease.close()
    } finally {
      fake.release()
    }
  })

  it('does nothing any more once it is closed', async () => {
    let requests = 0
    const label = new PodLabel({
      ...{ pod: 'e', name: NAME, value: 'leader', namespace: 'default' },
      ...{ againMs: NEVER_MS, closeMs: 1000, time: TIME, random: () => 0, logger: SILENT_LOGGER },
      api: {
        request: async () => {
          requests++
          return { status: 200, body: {} }
        },
        close: () => undefined,
      },
    })
    label.stands(true)
    await label.close()
    expect(requests).toBe(2)
    label.stands(true)
    await label.close()
    expect(requests).toBe(2)
  })
})

describe('the note of the pods that may carry the label', () => {
  const label = (): PodLabel => candidate(FAKE, { pod: 'me', lease: 'none' }).label
  const noted = (text: unknown): string | undefined =>
    label().notes({ 'ooo-cluster/labelled': text })['ooo-cluster/labelled']

  it('names each pod once, the own one last', () => {
    expect(noted(undefined)).toBe('me')
    expect(noted(7)).toBe('me')
    expect(noted('a me  b a')).toBe('a b me')
  })

  it('is bounded', () => {
    const many = Array.from({ length: 1000 }, (_, i) => `pod-${i}`)
    const names = noted(many.join(' '))?.split(' ') ?? []
    expect(names).toHaveLength(101)
    expect(names.slice(-2)).toEqual(['pod-999', 'me'])
  })
})
