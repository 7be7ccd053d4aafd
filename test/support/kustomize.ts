/**
 * Builds a kustomization as `kubectl kustomize` does, as far as this project uses it, on machines without
 * it. Strict: what is not understood, not there, or changes nothing is an error. Patches are RFC 6902 only.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import jsonPatch, { type Operation } from 'fast-json-patch'
import { parse, parseAllDocuments } from 'yaml'

/** Any object of the Kubernetes API. */
export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; labels?: Record<string, string> }
  readonly [field: string]: unknown
}

interface Patch {
  readonly path: string
  readonly target: { readonly kind: string; readonly name: string }
}

interface Kustomization {
  readonly apiVersion: string
  readonly kind: string
  readonly resources: readonly string[]
  readonly components?: readonly string[]
  readonly patches?: readonly Patch[]
  readonly labels?: readonly { pairs: Record<string, string>; includeSelectors: boolean }[]
  readonly images?: readonly { name: string; newName?: string; newTag: string }[]
}

const FIELDS = ['apiVersion', 'kind', 'resources', 'components', 'patches', 'labels', 'images']
const FILE = 'kustomization.yaml'

/** The objects of the kustomization in `folder`. @throws Error naming the file and what is wrong. */
export function kustomize(folder: string): Manifest[] {
  return build(folder, 'Kustomization', [])
}

/** @param before the objects that a component is added to */
function build(
  folder: string,
  kind: 'Kustomization' | 'Component',
  before: readonly Manifest[],
): Manifest[] {
  const file = join(folder, FILE)
  const given = parse(readFileSync(file, 'utf8')) as Kustomization
  const unknown = Object.keys(given).filter((field) => !FIELDS.includes(field))
  if (unknown.length > 0) throw new Error(`${file}: ${unknown.join(', ')}: not understood`)
  if (given.kind !== kind) throw new Error(`${file}: kind is ${given.kind}`)
  refuseUnused(folder, given)
  let manifests = [...before, ...given.resources.flatMap((path) => load(folder, path))]
  for (const path of given.components ?? []) {
    manifests = build(relative(process.cwd(), resolve(folder, path)), 'Component', manifests)
  }
  const ids = manifests.map(idOf)
  const twice = ids.find((id, i) => ids.indexOf(id) !== i)
  if (twice !== undefined) throw new Error(`${file}: ${twice} is there twice`)
  for (const patch of given.patches ?? []) applyPatch(folder, patch, manifests)
  for (const { pairs, includeSelectors } of given.labels ?? []) {
    if (includeSelectors) throw new Error(`${file}: labels in selectors: not understood`)
    for (const { metadata } of manifests) metadata.labels = { ...metadata.labels, ...pairs }
  }
  for (const image of given.images ?? []) setImage(file, image, manifests)
  return manifests
}

/** What a program of this machine builds of it; undefined where there is none. */
export function builtByProgram(folder: string): Manifest[] | undefined {
  for (const [program, ...args] of [
    ['kustomize', 'build'],
    ['kubectl', 'kustomize'],
  ] as const) {
    const { error, status, stdout, stderr } = spawnSync(program, [...args, folder], {
      encoding: 'utf8',
      timeout: 60_000,
    })
    if (error !== undefined && 'code' in error && error.code === 'ENOENT') continue
    if (status !== 0) throw new Error(`${program} ${args} ${folder}: ${stderr}`)
    return documents(stdout)
  }
  return undefined
}

/** `kind/name`, by which objects are told apart. */
export function idOf({ kind, metadata }: Manifest): string {
  return `${kind}/${metadata.name}`
}

/** A file of the folder that nothing names is one that somebody forgot. */
function refuseUnused(folder: string, { resources, patches }: Kustomization): void {
  const used = [FILE, ...resources, ...(patches ?? []).map(({ path }) => path)]
  const unused = readdirSync(folder).filter((name) => !used.includes(name))
  if (unused.length > 0) throw new Error(`${folder}: ${unused.join(', ')}: not used`)
}

function load(folder: string, path: string): Manifest[] {
  const target = resolve(folder, path)
  if (!existsSync(target)) throw new Error(`${folder}: ${path}: not there`)
  return statSync(target).isDirectory()
    ? kustomize(relative(process.cwd(), target))
    : documents(readFileSync(target, 'utf8'))
}

function documents(text: string): Manifest[] {
  return parseAllDocuments(text).map((document) => {
    const [error] = document.errors
    if (error !== undefined) throw error
    return document.toJS() as Manifest
  })
}

function applyPatch(folder: string, { path, target }: Patch, manifests: Manifest[]): void {
  const operations = parse(readFileSync(join(folder, path), 'utf8')) as Operation[]
  const at = manifests.findIndex((item) => idOf(item) === `${target.kind}/${target.name}`)
  const manifest = manifests[at]
  if (manifest === undefined) throw new Error(`${folder}/${path}: no ${target.kind}/${target.name}`)
  // Validates: a path that is not there, or a test that fails, throws.
  const { newDocument } = jsonPatch.applyPatch(manifest, operations, true, false)
  manifests[at] = newDocument
}

function setImage(
  file: string,
  { name, newName, newTag }: { name: string; newName?: string; newTag: string },
  manifests: readonly Manifest[],
): void {
  let count = 0
  for (const container of manifests.flatMap(containersOf)) {
    if (container.image !== name) continue
    container.image = `${newName ?? name}:${newTag}`
    count++
  }
  if (count === 0) throw new Error(`${file}: nothing runs ${name}`)
}

function containersOf(manifest: Manifest): { image: string }[] {
  const spec = manifest.spec as
    | { template?: { spec?: { containers?: { image: string }[] } } }
    | undefined
  return spec?.template?.spec?.containers ?? []
}
