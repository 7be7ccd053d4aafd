/** The manifests are what the Kubernetes API takes, and what kustomize makes of them. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
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

  const patched = 'resources: [a.yaml]\npatches:\n  - {path: p.yaml, target: {kind: Service, name: '
  it.each([
    ['an unknown field', 'resources: [a.yaml]\nnamePrefix: x', {}, /namePrefix: not understood/],
    ['a resource that is missing', 'resources: [a.yaml, b.yaml]', {}, /b\.yaml: not there/],
    ['a file that nothing uses', 'resources: [a.yaml]', { 'b.yaml': 'x: 1' }, /b\.yaml: not used/],
    ['an object twice', 'resources: [a.yaml, a.yaml]', {}, /Service\/a is there twice/],
    [
      'a patch of nothing',
      `${patched}b}}`,
      { 'p.yaml': '[{op: add, path: /x, value: 1}]' },
      /no Service\/b/,
    ],
    [
      'a patch that misses',
      `${patched}a}}`,
      { 'p.yaml': '[{op: remove, path: /spec/x}]' },
      /remove/,
    ],
    [
      'a patch whose test fails',
      `${patched}a}}`,
      { 'p.yaml': '[{op: test, path: /spec/ports/0/port, value: 2}]' },
      /[Tt]est/,
    ],
    [
      'an image that nobody runs',
      'resources: [a.yaml]\nimages: [{name: x, newTag: y}]',
      {},
      /runs x/,
    ],
  ])('refuse %s', (_, kustomization, files, reason) => {
    const folder = mkdtempSync(join(tmpdir(), 'ooo-kustomize-'))
    try {
      writeFileSync(join(folder, 'a.yaml'), JSON.stringify(service))
      writeFileSync(join(folder, 'kustomization.yaml'), `kind: Kustomization\n${kustomization}\n`)
      for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
      expect(() => kustomize(folder)).toThrow(reason)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
