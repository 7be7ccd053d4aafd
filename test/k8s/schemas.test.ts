/** The manifests are what the Kubernetes API takes, and what kustomize makes of them. */
import { readdirSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { schemaErrors, unknownFields } from '../support/kube-schemas.ts'
import { builtByProgram, idOf, kustomize, type Manifest } from '../support/kustomize.ts'

const FOLDERS = ['k8s/base', ...readdirSync('k8s/overlays').map((name) => `k8s/overlays/${name}`)]

const sorted = (manifests: readonly Manifest[]): Manifest[] =>
  manifests.toSorted((a, b) => (idOf(a) < idOf(b) ? -1 : 1))

describe.each(FOLDERS)('%s', (folder) => {
  it('builds, from files that are all used, with patches that all apply', () => {
    expect(kustomize(folder).map(idOf)).toContain('StatefulSet/ooo')
  })

  it('is built to the same by kustomize', (context) => {
    const built = builtByProgram(folder)
    if (built === undefined) context.skip('neither kustomize nor kubectl is on PATH')
    expect(sorted(built ?? [])).toEqual(sorted(kustomize(folder)))
  })

  it('holds objects as the API has them', async () => {
    for (const manifest of kustomize(folder)) {
      expect([idOf(manifest), await schemaErrors(manifest)]).toEqual([idOf(manifest), []])
    }
  })
})

describe('all overlays', () => {
  it('have no field that the API does not know, and no value that it does not allow', () => {
    expect(unknownFields(FOLDERS.flatMap(kustomize))).toEqual([])
  }, 120_000)
})

describe('the checks', () => {
  const service: Manifest = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'a' },
    spec: { ports: [{ port: 1 }] },
  }

  it('find a wrong type, a missing field and a kind that is not there', async () => {
    expect(await schemaErrors(service)).toEqual([])
    const wrong = { ...service, spec: { ports: [{ port: '1' }] } }
    expect((await schemaErrors(wrong)).join()).toMatch(/port must be integer/)
    const missing = { ...service, spec: { ports: [{ name: 'http' }] } }
    expect((await schemaErrors(missing)).join()).toMatch(/port/)
    expect(await schemaErrors({ ...service, kind: 'Sevice' })).toEqual(['v1 has no Sevice'])
  })

  it('find a field that is misspelt, and a value that is not allowed', () => {
    const found = unknownFields([
      { ...service, spec: { ports: [{ port: 1, targetport: 'http' }] } },
      { ...service, spec: { ports: [{ port: 1, protocol: 'TPC' }] } },
    ]).join('\n')
    expect(found).toMatch(/targetport/)
    expect(found).toMatch(/TPC/)
  }, 120_000)
})
