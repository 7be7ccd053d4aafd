/** What the manifests say is true of the program that they run, in every overlay. */
import { readdirSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  configFrom,
  SERVE_SETTINGS,
  type ServeConfig,
  serveConfig,
  serveVariables,
} from '../../cli/settings/config.ts'
import {
  imageCommand,
  named,
  ofKind,
  podEnv,
  type Workload,
  workloads,
} from '../support/kube-pods.ts'
import { kustomize, type Manifest } from '../support/kustomize.ts'
import { type Env, readProjectFile as read } from '../support/manifests.ts'

const OVERLAYS = readdirSync('k8s/overlays').toSorted()
/** What people are told to create, by `name/key`. */
const SECRETS: Env = {
  'ooo-cluster/token': 'given',
  'ooo-postgres/url': 'postgres://u:p@db/ooo',
}
/** Longest close of a node: its drain (`deadlineMs`, default), and what comes after. */
const CLOSE_SECONDS = 10 + 10

interface Service extends Manifest {
  readonly spec: {
    readonly clusterIP?: string
    readonly publishNotReadyAddresses?: boolean
    readonly selector: Env
    readonly ports: readonly { readonly targetPort: string }[]
  }
}

interface NetworkPolicy extends Manifest {
  readonly spec: {
    readonly podSelector: { readonly matchLabels: Env }
    readonly policyTypes: readonly string[]
  }
}

function nodesOf(manifests: readonly Manifest[]): Workload {
  return named(manifests, 'StatefulSet', 'ooo') as Workload
}

function configOf(manifests: readonly Manifest[], ordinal: number): ServeConfig {
  const env = podEnv(nodesOf(manifests), ordinal, manifests, SECRETS)
  // As the command reads it, contradictions included.
  return serveConfig({ flags: new Map(), positionals: [], help: false }, env)
}

/** The one container of a pod. */
function containerOf({
  spec,
}: Workload): Workload['spec']['template']['spec']['containers'][number] {
  const { containers } = spec.template.spec
  const [container] = containers
  if (container === undefined || containers.length !== 1) throw new Error('not one container')
  return container
}

it('there are the overlays that the manual tells of', () => {
  expect(OVERLAYS).toEqual(['cluster', 'edge', 'postgres', 'redis', 'single', 'static'])
  const manual = read('docs/kubernetes.md')
  for (const name of OVERLAYS) expect(manual).toContain(`k8s/overlays/${name}`)
})

describe.each(OVERLAYS)('k8s/overlays/%s', (overlay) => {
  const manifests = kustomize(`k8s/overlays/${overlay}`)
  const set = nodesOf(manifests)
  const container = containerOf(set)
  const pod = set.spec.template.spec
  const ordinals = [...Array(set.spec.replicas).keys()]

  it('names only variables that the command knows, and gives them values that it takes', () => {
    const names = (container.env ?? []).map(({ name }) => name)
    const known = [...serveVariables(), 'NODE_OPTIONS']
    expect(names.filter((name) => !known.includes(name))).toEqual([])
    expect(new Set(names).size).toBe(names.length)
    for (const ordinal of ordinals) {
      const config = configOf(manifests, ordinal)
      expect(config.keys).toEqual(['settings', 'items/*'])
      expect(config.clusterToken).toBe('given')
      expect([config.host, config.open]).toEqual(['0.0.0.0', true])
    }
  })

  it('runs the image as it is meant to, at the version of the package', () => {
    const { version } = JSON.parse(read('package.json')) as { version: string }
    expect(container.image).toBe(`ooo-cluster:${version}`)
    expect(read('deploy/compose.yaml')).toContain(`image: ${container.image}\n`)
    const user = /^USER (\d+):(\d+)$/m.exec(read('deploy/Dockerfile'))?.slice(1).map(Number)
    const { runAsUser, runAsGroup, fsGroup } = pod.securityContext
    expect([runAsUser, runAsGroup]).toEqual(user)
    expect(fsGroup).toBe(runAsGroup)
    if (container.args !== undefined) {
      expect(container.args.join()).toContain(imageCommand().join(' '))
    }
  })

  it('gives each node a name and an address of its own, which the headless service knows', () => {
    const headless = ofKind<Service>(manifests, 'Service').find(
      ({ spec }) => spec.clusterIP === 'None',
    )
    expect(headless?.metadata.name).toBe(set.spec.serviceName)
    expect(headless?.spec.publishNotReadyAddresses).toBe(true)
    if (overlay === 'edge') return
    for (const ordinal of ordinals) {
      const { name, advertise, port } = configOf(manifests, ordinal)
      expect(name).toBe(`ooo-${ordinal}`)
      expect(advertise).toEqual({ host: `ooo-${ordinal}.${set.spec.serviceName}`, port })
    }
  })

  it('sends services, budget and policy to pods that are there, on ports that they have', () => {
    const all = workloads(manifests)
    for (const { spec } of all)
      expect(spec.selector.matchLabels).toEqual(spec.template.metadata.labels)
    const hit = (selector: Env): Workload[] =>
      all.filter(({ spec }) =>
        Object.entries(selector).every(
          ([name, value]) =>
            spec.template.metadata.labels[name] === value ||
            (name === 'statefulset.kubernetes.io/pod-name' && value === `${set.metadata.name}-0`),
        ),
      )
    for (const { metadata, spec } of ofKind<Service>(manifests, 'Service')) {
      const [target, ...others] = hit(spec.selector)
      expect([metadata.name, others.length]).toEqual([metadata.name, 0])
      const names = target === undefined ? [] : containerOf(target).ports.map(({ name }) => name)
      for (const { targetPort } of spec.ports) expect(names).toContain(targetPort)
    }
    for (const policy of ofKind<NetworkPolicy>(manifests, 'NetworkPolicy')) {
      expect(hit(policy.spec.podSelector.matchLabels)).toHaveLength(1)
      expect(policy.spec.policyTypes).toEqual(['Ingress', 'Egress'])
    }
    expect(ofKind(manifests, 'NetworkPolicy')).toHaveLength(all.length)
    const budget = named(manifests, 'PodDisruptionBudget', 'ooo')
    expect(budget.spec).toEqual({ maxUnavailable: 1, selector: set.spec.selector })
    expect(container.ports).toEqual([{ name: 'http', containerPort: configOf(manifests, 0).port }])
  })

  it('probes the routes that tell what is meant, and has time to close', () => {
    expect(container.startupProbe?.httpGet).toEqual({ path: '/-/healthz', port: 'http' })
    expect(container.readinessProbe.httpGet).toEqual({ path: '/-/readyz', port: 'http' })
    expect(container.livenessProbe.httpGet).toEqual({ path: '/-/healthz', port: 'http' })
    const silent = container.livenessProbe
    expect(silent.periodSeconds * (silent.failureThreshold ?? 3)).toBeGreaterThanOrEqual(60)
    const before = container.lifecycle?.preStop.sleep.seconds ?? 0
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(before + CLOSE_SECONDS)
  })

  it('keeps the data on the claimed volume, or in the database', () => {
    const config = configOf(manifests, 0)
    const claims = (set.spec.volumeClaimTemplates ?? []).map(({ metadata }) => metadata.name)
    const mount = container.volumeMounts.find(({ mountPath }) => mountPath === config.data)
    if (config.postgres === undefined) expect(claims).toEqual([mount?.name])
    else expect([claims, mount]).toEqual([[], undefined])
    const given = [...claims, ...(pod.volumes ?? []).map(({ name }) => name)]
    for (const { name } of container.volumeMounts) expect(given).toContain(name)
  })

  it('holds every pod to the restricted standard, a read-only file system and a memory limit', () => {
    for (const workload of workloads(manifests)) {
      const { securityContext, enableServiceLinks } = workload.spec.template.spec
      const only = containerOf(workload)
      expect(securityContext).toMatchObject({
        runAsNonRoot: true,
        seccompProfile: { type: 'RuntimeDefault' },
      })
      expect(only.securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      })
      expect(enableServiceLinks).toBe(false)
      expect(only.resources.limits.memory).toBeDefined()
      expect(Object.keys(only.resources.requests).sort()).toEqual(['cpu', 'memory'])
    }
  })

  it('asks for secrets only that the manual tells to create', () => {
    const refs = (container.env ?? []).flatMap(({ valueFrom }) => valueFrom?.secretKeyRef ?? [])
    expect(refs.length).toBeGreaterThan(0)
    for (const { name, key } of refs) {
      const command = `create secret generic ${name} --from-file=${key}=/dev/stdin`
      expect(read('docs/kubernetes.md')).toContain(command)
      expect(read('deploy/README.md')).toContain('docs/kubernetes.md')
    }
  })
})

describe('who leads', () => {
  const leaders = (overlay: string, count: number): (string | undefined)[] => {
    const manifests = kustomize(`k8s/overlays/${overlay}`)
    return [...Array(count).keys()].map((ordinal) => configOf(manifests, ordinal).clusterUrl)
  }

  it('the one node of single does', () => {
    expect(leaders('single', 1)).toEqual([undefined])
  })

  it('pod 0 of static does, and the others follow it', () => {
    const { port } = configFrom(SERVE_SETTINGS, [], {})
    const leader = `http://ooo-0.ooo-nodes:${port}`
    expect(leaders('static', 11)).toEqual([undefined, ...Array(10).fill(leader)])
  })

  const elected = ['cluster', 'redis', 'postgres']
  it.each(elected)('whoever holds the lease does of %s, and pods may touch no more', (name) => {
    const manifests = kustomize(`k8s/overlays/${name}`)
    const { leader, leaseName, clusterUrl } = configOf(manifests, 1)
    expect([leader, clusterUrl]).toEqual(['kubernetes', undefined])
    const pod = nodesOf(manifests).spec.template.spec
    expect([pod.serviceAccountName, pod.automountServiceAccountToken]).toEqual(['ooo', true])
    expect(named(manifests, 'ServiceAccount', 'ooo').automountServiceAccountToken).toBe(false)
    const lease = { apiGroups: ['coordination.k8s.io'], resources: ['leases'] }
    expect(named(manifests, 'Role', 'ooo-lease').rules).toEqual([
      { ...lease, resourceNames: [leaseName], verbs: ['get', 'update'] },
      { ...lease, verbs: ['create'] },
    ])
    expect(named(manifests, 'RoleBinding', 'ooo-lease')).toMatchObject({
      roleRef: { kind: 'Role', name: 'ooo-lease' },
      subjects: [{ kind: 'ServiceAccount', name: 'ooo' }],
    })
    expect(manifests.filter(({ kind }) => kind.startsWith('ClusterRole'))).toEqual([])
  })

  it.each(['single', 'static', 'edge'])('the pods of %s get no token of the API', (name) => {
    const manifests = kustomize(`k8s/overlays/${name}`)
    expect(nodesOf(manifests).spec.template.spec.automountServiceAccountToken).toBe(false)
    expect(manifests.filter(({ kind }) => kind.startsWith('Role'))).toEqual([])
  })

  it('the leader elsewhere does, of a node at the edge that is careful with its disk', () => {
    const config = configOf(kustomize('k8s/overlays/edge'), 0)
    expect(config.clusterUrl).toBe('https://leader.example.org')
    expect(config.durability).toBe('disk')
  })

  it('pods of redis and postgres use them', () => {
    const postgres = configOf(kustomize('k8s/overlays/postgres'), 1)
    expect([postgres.postgres, postgres.name]).toEqual(['postgres://u:p@db/ooo', 'ooo-1'])
    const redis = kustomize('k8s/overlays/redis')
    const url = new URL(podEnv(nodesOf(redis), 1, redis, SECRETS).OOO_REDIS_URL ?? '')
    const service = named(redis, 'Service', url.hostname) as Service
    expect(service.spec.ports).toMatchObject([{ port: Number(url.port) }])
    // What its image does at the start to answer other pods too is not run: `command` replaces it.
    const server = containerOf(named(redis, 'Deployment', url.hostname) as Workload)
    expect(server.command).toEqual(['redis-server'])
    expect(server.args?.join(' ')).toContain('--protected-mode no')
  })
})
