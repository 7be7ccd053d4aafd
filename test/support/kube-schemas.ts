/** Checks objects against the schemas of the Kubernetes API: what a server would refuse. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Manifest } from './kustomize.ts'

const ROOT = resolve(import.meta.dirname, '../..')

interface Model {
  validate(): void
}

/** What is wrong with the values of one object: types, formats, missing fields. Empty: nothing. */
export async function schemaErrors(manifest: Manifest): Promise<string[]> {
  const models = (await import(moduleOf(manifest))) as Record<
    string,
    (new (data: Manifest) => Model) | undefined
  >
  const Model = models[manifest.kind]
  if (Model === undefined) return [`${manifest.apiVersion} has no ${manifest.kind}`]
  try {
    new Model(manifest).validate()
    return []
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)]
  }
}

/**
 * Fields that the API does not know, and values outside of its enumerations, as the type checker finds them
 * in object literals; one check for all objects, since it takes seconds. Empty: none.
 */
export function unknownFields(manifests: readonly Manifest[]): string[] {
  const cache = join(ROOT, 'node_modules/.cache')
  mkdirSync(cache, { recursive: true })
  // In the project, from where the types are found.
  const folder = mkdtempSync(join(cache, 'ooo-k8s-'))
  try {
    const lines = manifests.map(
      (item, i) =>
        `export const m${i}: import('${moduleOf(item)}').I${item.kind} = ${JSON.stringify(item)}`,
    )
    writeFileSync(join(folder, 'manifests.ts'), lines.join('\n'))
    const options = [
      '--ignoreConfig',
      '--noEmit',
      '--strict',
      '--skipLibCheck',
      '--noErrorTruncation',
      '--pretty',
      'false',
    ]
    const result = spawnSync(
      process.execPath,
      [
        join(ROOT, 'node_modules/typescript/bin/tsc'),
        ...options,
        ...['--module', 'nodenext', '--types', '', 'manifests.ts'],
      ],
      { cwd: folder, encoding: 'utf8', timeout: 120_000 },
    )
    if (result.status === 0) return []
    const found = `${result.stdout}${result.stderr}`.split('\n').filter((line) => line !== '')
    return found.length === 0 ? [`the type checker ended with ${result.status}`] : found
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function moduleOf({ apiVersion }: Manifest): string {
  return `kubernetes-models/${apiVersion}`
}
