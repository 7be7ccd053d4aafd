/**
 * The folders of the product, what each imports, and the areas that they form. Only the imports that no longer way
 * stands for are drawn: where a imports b and c, and b imports c, the line from a to c is left out.
 */
import { posix } from 'node:path'
import { foldersOf, loadSources, parseModule } from '../../test/support/architecture.ts'
import { countLines, type LineCount, sumLines } from './lines.ts'

/** The folders that make up the product. */
export const PRODUCT: readonly string[] = [
  'src',
  'cluster',
  'storage-adapters',
  'postgres',
  'backup',
  'cli',
]

/** Parts that are drawn as one box in the picture of the whole, from the bottom up. */
export const AREAS: readonly string[] = [
  'src/core',
  'src/client',
  'src/fanout',
  'src/store',
  'src/server',
  'src',
  'postgres/connection',
  'storage-adapters',
  'postgres',
  'backup',
  'cluster',
  'cli',
]

export interface Folder {
  /** Path from the root. */
  readonly path: string
  /** The one of `AREAS` that it belongs to. */
  readonly area: string
  /** Names of the files that lie in it. */
  readonly files: readonly string[]
  readonly lines: LineCount
  /** Other folders that its files import, types included; sorted. */
  readonly imports: readonly string[]
}

/** Who imports whom. */
export type Edges = ReadonlyMap<string, readonly string[]>

/** Every folder of the product, sorted by area and path. Throws when a file does not parse. */
export function readFolders(root: string): Folder[] {
  const modules = loadSources(root, PRODUCT).map(parseModule)
  const folders = foldersOf(modules).map(({ path, files: imports }): Folder => {
    const own = modules.filter((module) => posix.dirname(module.path) === path)
    return {
      path,
      area: areaOf(path),
      files: own.map((module) => posix.basename(module.path)),
      lines: sumLines(own.map(({ path, text }) => countLines(path, text))),
      imports,
    }
  })
  const place = ({ area }: Folder): number => AREAS.indexOf(area)
  return folders.sort((a, b) => place(a) - place(b) || (a.path < b.path ? -1 : 1))
}

/** The area of a folder: the longest of `AREAS` that it lies in. Throws for one that lies in none. */
export function areaOf(folder: string): string {
  const areas = AREAS.filter((area) => folder === area || folder.startsWith(`${area}/`))
  const area = areas.sort((a, b) => b.length - a.length)[0]
  if (area === undefined) throw new Error(`${folder} belongs to no area of tools/architecture`)
  return area
}

/** What the folders of each area import of other areas. */
export function areaEdges(folders: readonly Folder[]): Edges {
  const edges = new Map<string, Set<string>>(folders.map(({ area }) => [area, new Set()]))
  for (const { area, imports } of folders) {
    for (const target of imports) if (areaOf(target) !== area) edges.get(area)?.add(areaOf(target))
  }
  return new Map([...edges].map(([area, targets]) => [area, [...targets].sort()]))
}

/** What the folders of one area import of each other. */
export function edgesWithin(folders: readonly Folder[]): Edges {
  const paths = new Set(folders.map(({ path }) => path))
  return new Map(
    folders.map(({ path, imports }) => [path, imports.filter((target) => paths.has(target))]),
  )
}

/** Leaves out each edge that a longer way stands for. The graph must have no circle. */
export function withoutShortcuts(edges: Edges): Edges {
  const reachable = new Map<string, Set<string>>()
  const reach = (node: string): Set<string> => {
    const known = reachable.get(node)
    if (known !== undefined) return known
    const all = new Set<string>()
    for (const target of edges.get(node) ?? []) {
      all.add(target)
      for (const further of reach(target)) all.add(further)
    }
    reachable.set(node, all)
    return all
  }
  return new Map(
    [...edges].map(([node, targets]) => [
      node,
      targets.filter((target) => !targets.some((other) => reach(other).has(target))),
    ]),
  )
}
