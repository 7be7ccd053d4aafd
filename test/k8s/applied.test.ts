/**
 * The manifests at a real API: the cluster that `KUBECONFIG` names, in a namespace of their own whose pods
 * are held to the restricted standard. Nothing of them runs there.
 */
import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { KUBECONFIG, kubectl } from '../support/kube-cluster.ts'
import { kustomize } from '../support/kustomize.ts'

const FOLDERS = ['k8s/base', ...readdirSync('k8s/overlays').map((name) => `k8s/overlays/${name}`)]
const COMPONENT = 'k8s/components/leader-service'

describe.skipIf(KUBECONFIG === '')('at the cluster of KUBECONFIG', () => {
  const namespace = `ooo-test-${randomUUID().slice(0, 8)}`
  const folder = mkdtempSync(join(tmpdir(), 'ooo-applied-'))

  beforeAll(() => {
    const levels = ['enforce', 'warn'].map((mode) => [
      `pod-security.kubernetes.io/${mode}`,
      'restricted',
    ])
    kubectl(['create', '--filename', '-'], {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: namespace, labels: Object.fromEntries(levels) },
    })
  })

  afterAll(() => {
    kubectl(['delete', 'namespace', namespace, '--wait=false'])
    rmSync(folder, { recursive: true })
  })

  /** What kubectl warns of, and whether it was refused. */
  const apply = (path: string, ...options: string[]): { status: number | null; said: string } => {
    const args = [
      '--namespace',
      namespace,
      'apply',
      '--server-side',
      ...options,
      '--kustomize',
      path,
    ]
    const { status, stderr } = spawnSync('kubectl', args, { encoding: 'utf8', timeout: 60_000 })
    return { status, said: stderr }
  }

  it.each(FOLDERS)('%s is taken without a warning', (path) => {
    expect(apply(path, '--dry-run=server')).toEqual({ status: 0, said: '' })
  })

  it.each([
    { what: 'the election', component: false },
    { what: 'the election and the Service of the leader', component: true },
  ])(
    'the account of the nodes may do what $what needs, and nothing more',
    ({ component }) => {
      const path = join(folder, component ? 'with' : 'without')
      const parts = kustomize('k8s/overlays/cluster')
        .concat(component ? accessOf(COMPONENT) : [])
        .filter(({ kind }) => ['ServiceAccount', 'Role', 'RoleBinding'].includes(kind))
      const file = `${path}.json`
      writeFileSync(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: parts }))
      kubectl(['--namespace', namespace, 'apply', '--filename', file])
      const as = `--as=system:serviceaccount:${namespace}:ooo`
      const may = (...question: string[]): boolean => {
        const args = ['--namespace', namespace, 'auth', 'can-i', as, ...question]
        return spawnSync('kubectl', args, { encoding: 'utf8', timeout: 60_000 }).status === 0
      }
      const verbs = ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete']
      const allowed = (resource: string): string[] => verbs.filter((verb) => may(verb, resource))
      expect(allowed('leases.coordination.k8s.io/ooo-cluster')).toEqual(['get', 'create', 'update'])
      expect(allowed('leases.coordination.k8s.io/other')).toEqual(['create'])
      expect(allowed('pods/ooo-0')).toEqual(component ? ['patch'] : [])
      for (const other of ['pods/other', 'secrets/ooo-cluster', 'configmaps', 'endpointslices']) {
        expect([other, allowed(other)]).toEqual([other, []])
      }
    },
    60_000,
  )
})

function accessOf(component: string): ReturnType<typeof kustomize> {
  const folder = mkdtempSync(join(tmpdir(), 'ooo-access-'))
  try {
    writeFileSync(
      join(folder, 'kustomization.yaml'),
      `kind: Kustomization\nresources: [${process.cwd()}/k8s/overlays/cluster]\ncomponents: [${process.cwd()}/${component}]\n`,
    )
    return kustomize(folder).filter(({ metadata }) => metadata.name === 'ooo-pod-label')
  } finally {
    rmSync(folder, { recursive: true })
  }
}
