/** The component that adds a Service for the leader, on every overlay that elects one. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { serveConfig } from '../../cli/settings/config.ts'
import { electionOf } from '../../cli/settings/groups/election.ts'
import { named, podEnv, type Workload } from '../support/kube-pods.ts'
import { schemaErrors, unknownFields } from '../support/kube-schemas.ts'
import { builtByProgram, idOf, kustomize, type Manifest } from '../support/kustomize.ts'
import { type Env, readProjectFile } from '../support/manifests.ts'

const SECRETS: Env = { 'ooo-postgres/url': 'postgres://u:p@db/ooo' }
const made: string[] = []

afterAll(() => {
  for (const folder of made) rmSync(folder, { recursive: true })
})

/** A folder as a user would have it, with the component on that overlay. */
function withComponent(overlay: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'ooo-leader-'))
  made.push(folder)
  const at = (path: string): string => relative(folder, resolve(path))
  writeFileSync(
    join(folder, 'kustomization.yaml'),
    `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [${at(`k8s/overlays/${overlay}`)}]
components: [${at('k8s/components/leader-service')}]
`,
  )
  return folder
}

const sorted = (manifests: readonly Manifest[]): Manifest[] =>
  manifests.toSorted((a, b) => (idOf(a) < idOf(b) ? -1 : 1))

it('is the one component, of which the manual tells', () => {
  expect(readdirSync('k8s/components')).toEqual(['leader-service'])
  expect(readProjectFile('docs/kubernetes.md')).toContain('- ../k8s/components/leader-service')
})

describe.each(['cluster', 'redis', 'postgres'])('the leader’s Service on %s', (overlay) => {
  const folder = withComponent(overlay)
  const manifests = kustomize(folder)
  const set = named(manifests, 'StatefulSet', 'ooo') as Workload

  it('adds a Service and the right to label pods to what the overlay has', () => {
    const before = kustomize(`k8s/overlays/${overlay}`).map(idOf)
    const added = manifests.map(idOf).filter((id) => !before.includes(id))
    expect(added).toEqual(['Service/ooo-leader', 'Role/ooo-pod-label', 'RoleBinding/ooo-pod-label'])
  })

  it('is built to the same by kustomize', (context) => {
    const built = builtByProgram(folder)
    if (built === undefined) context.skip('neither kustomize nor kubectl is on PATH')
    expect(sorted(built ?? [])).toEqual(sorted(manifests))
  })

  it('holds objects as the API has them', async () => {
    for (const manifest of manifests) {
      expect([idOf(manifest), await schemaErrors(manifest)]).toEqual([idOf(manifest), []])
    }
    expect(unknownFields(manifests)).toEqual([])
  }, 120_000)

  it('selects the label that the leader of these pods puts on its own, which it may', async () => {
    const service = named(manifests, 'Service', 'ooo-leader') as Manifest & {
      spec: { selector: Env }
    }
    const env = podEnv(set, 2, manifests, SECRETS)
    const config = serveConfig({ flags: new Map(), positionals: [], help: false }, env)
    const { leader } = await electionOf(config, env)
    const { podLabel } = leader as { podLabel: { pod: string; name: string; value: string } }
    const { name, value, pod } = podLabel
    expect(service.spec.selector).toEqual({ ...set.spec.selector.matchLabels, [name]: value })
    // Nobody has it from the beginning.
    expect(set.spec.template.metadata.labels).not.toHaveProperty(name)
    expect(pod).toBe('ooo-2')
    const pods = Array.from({ length: 9 }, (_, i) => `ooo-${i}`)
    expect(named(manifests, 'Role', 'ooo-pod-label').rules).toEqual([
      { apiGroups: [''], resources: ['pods'], resourceNames: pods, verbs: ['patch'] },
    ])
    expect(named(manifests, 'RoleBinding', 'ooo-pod-label')).toMatchObject({
      roleRef: { kind: 'Role', name: 'ooo-pod-label' },
      subjects: [{ kind: 'ServiceAccount', name: set.spec.template.spec.serviceAccountName }],
    })
  })
})
