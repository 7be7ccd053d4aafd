/**
 * The rules of the source tree as functions from files to violations, so that each rule can itself
 * be shown to fail. Imports are read from the syntax tree: type-only ones count, comments do not.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join, posix } from 'node:path'
import { parseSync } from 'vite'

/** A file by its path from the root, with `/`. */
export interface SourceFile {
  readonly path: string
  readonly text: string
}

/** A file with what it depends on. */
export interface SourceModule extends SourceFile {
  /** Paths of files of the project, whether they exist or not. */
  readonly files: readonly string[]
  /** Packages and `node:` modules, as written. */
  readonly packages: readonly string[]
  /** Node's own globals that it names. */
  readonly nodeGlobals: readonly string[]
}

/** What the files of one part may import besides that part itself. */
export interface PartRule {
  /** A folder, or one file. */
  readonly part: string
  /** Folders and files. */
  readonly may: readonly string[]
}

export const IMPORT_RULES: readonly PartRule[] = [
  { part: 'src/core', may: [] },
  { part: 'src/fanout', may: ['src/core'] },
  { part: 'src/client', may: ['src/core'] },
  { part: 'src/store', may: ['src/core'] },
  { part: 'src/server', may: ['src/core', 'src/store', 'src/fanout'] },
  { part: 'src/index.ts', may: ['src/core', 'src/store', 'src/fanout', 'src/server'] },
  // An adapter stands alone: a user may take one as the model of another.
  { part: 'storage-adapters/memory', may: ['src/core'] },
  { part: 'storage-adapters/leveldb', may: ['src/core'] },
  { part: 'storage-adapters/postgres', may: ['src/core', 'postgres/connection'] },
  { part: 'postgres/connection', may: ['src/core'] },
  { part: 'postgres', may: ['src/core', 'src/store', 'src/server/contract/plugin.ts'] },
  {
    part: 'cluster',
    may: [
      'src/core',
      'src/store',
      'src/client',
      'src/fanout/bus.ts',
      'src/server/contract/plugin.ts',
    ],
  },
  { part: 'backup', may: ['src/core', 'src/store', 'src/server/contract/plugin.ts'] },
  { part: 'ui', may: ['src/client'] },
  { part: 'examples', may: [] },
  { part: 'cli', may: ['src', 'cluster', 'storage-adapters', 'postgres', 'backup'] },
]

/** Packages that run in a browser as well as in Node. */
export const BROWSER_PACKAGES: readonly string[] = ['fast-json-patch']

const NODE_GLOBALS = new Set([
  'Buffer',
  'process',
  'require',
  'setImmediate',
  'clearImmediate',
  '__dirname',
  '__filename',
])

/** Every `.ts` file below the folders, except declarations and what a tool made. */
export function loadSources(root: string, folders: readonly string[]): SourceFile[] {
  const paths = folders.flatMap((folder) => pathsBelow(root, folder))
  return paths.map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }))
}

function pathsBelow(root: string, path: string): string[] {
  if (!statSync(join(root, path)).isDirectory()) {
    return path.endsWith('.ts') && !path.endsWith('.d.ts') ? [path] : []
  }
  const names = readdirSync(join(root, path)).filter((name) => name !== 'node_modules')
  return names.sort().flatMap((name) => pathsBelow(root, posix.join(path, name)))
}

/** Reads what a file imports. Throws when it does not parse. */
export function parseModule(file: SourceFile): SourceModule {
  const { program, errors } = parseSync(file.path, file.text)
  if (errors.length > 0) throw new Error(`${file.path}: ${errors[0]?.message}`)
  const specifiers = new Set<string>()
  const nodeGlobals = new Set<string>()
  walk(program as unknown as SyntaxNode, (node, role) => {
    const { source, expression } = node
    if (isNode(source) && typeof source.value === 'string') specifiers.add(source.value)
    if (node.type === 'TSExternalModuleReference' && isNode(expression)) {
      specifiers.add(String(expression.value))
    }
    const name = node.type === 'Identifier' ? String(node.name) : ''
    if (NODE_GLOBALS.has(name) && role === 'value') nodeGlobals.add(name)
  })
  const all = [...specifiers]
  const files = all.filter((name) => name.startsWith('.'))
  return {
    ...file,
    files: files.map((name) => posix.join(posix.dirname(file.path), name)),
    packages: all.filter((name) => !name.startsWith('.')),
    nodeGlobals: [...nodeGlobals],
  }
}

interface SyntaxNode {
  readonly type: string
  readonly [field: string]: unknown
}

function isNode(value: unknown): value is SyntaxNode {
  return typeof value === 'object' && value !== null && 'type' in value
}

/** Visits every node; `role` tells a name that stands for a value from the name of a member. */
function walk(node: SyntaxNode, visit: (node: SyntaxNode, role: 'value' | 'member') => void): void {
  const pending: [SyntaxNode, 'value' | 'member'][] = [[node, 'value']]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [current, role] = next
    visit(current, role)
    for (const [field, child] of Object.entries(current)) {
      const names = (field === 'property' || field === 'key') && current.computed !== true
      const childRole = names ? 'member' : 'value'
      for (const item of Array.isArray(child) ? child : [child]) {
        if (isNode(item)) pending.push([item, childRole])
      }
    }
  }
}

/** Imports that go against the direction the rules give. */
export function directionViolations(
  modules: readonly SourceModule[],
  rules: readonly PartRule[] = IMPORT_RULES,
): string[] {
  return modules.flatMap((module) => {
    const rule = rules.find(({ part }) => isWithin(part, module.path))
    if (rule === undefined) return [`${module.path}: belongs to no known part`]
    return module.files
      .filter((target) => !mayImport(rule, target))
      .map((target) => `${module.path}: ${rule.part} may not import ${target}`)
  })
}

function mayImport(rule: PartRule, target: string): boolean {
  if (rule.may.some((allowed) => isWithin(allowed, target))) return true
  return isWithin(rule.part, target) && rule.part !== 'examples'
}

function isWithin(part: string, path: string): boolean {
  return path === part || path.startsWith(`${part}/`)
}

/** Relative imports that do not name an existing `.ts` file (or an asset, for the UI). */
export function missingTargets(modules: readonly SourceModule[], root: string): string[] {
  return modules.flatMap((module) =>
    module.files
      .filter((target) => statSync(join(root, target), { throwIfNoEntry: false }) === undefined)
      .map((target) => `${module.path}: imports ${target}, which does not exist`),
  )
}

/** Import cycles, each as the list of its files, the first repeated at the end. */
export function importCycles(modules: readonly SourceModule[]): string[][] {
  const byPath = new Map(modules.map((module) => [module.path, module]))
  const done = new Set<string>()
  const cycles: string[][] = []
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path)
    if (start !== -1) {
      cycles.push([...trail.slice(start), path])
      return
    }
    if (done.has(path)) return
    for (const target of byPath.get(path)?.files ?? []) visit(target, [...trail, path])
    done.add(path)
  }
  for (const { path } of modules) visit(path, [])
  return cycles
}

/** Folders that import each other, directly or over others; each as the list of folders of one circle. */
export function folderCycles(modules: readonly SourceModule[]): string[][] {
  return importCycles(foldersOf(modules))
}

/** Each folder as one module: what its files import from other folders. */
export function foldersOf(modules: readonly SourceModule[]): SourceModule[] {
  const known = new Set(modules.map(({ path }) => path))
  const imports = new Map<string, Set<string>>()
  for (const { path, files } of modules) {
    const folder = posix.dirname(path)
    const targets = imports.get(folder) ?? new Set()
    for (const target of files) {
      if (known.has(target) && posix.dirname(target) !== folder) targets.add(posix.dirname(target))
    }
    imports.set(folder, targets)
  }
  return [...imports].map(([path, files]) => {
    return { path, text: '', files: [...files].sort(), packages: [], nodeGlobals: [] }
  })
}

/** Most files that lie side by side: what a reader takes in at one look. */
export const MOST_FILES = 15

/** Folders with too many files, and files that repeat the name of their folder at the start of theirs. */
export function folderViolations(files: readonly { readonly path: string }[]): string[] {
  const counts = new Map<string, number>()
  for (const { path } of files) {
    counts.set(posix.dirname(path), (counts.get(posix.dirname(path)) ?? 0) + 1)
  }
  const full = [...counts].filter(([, count]) => count > MOST_FILES)
  const stuttering = files.filter(({ path }) => {
    const folder = posix.basename(posix.dirname(path))
    return posix.basename(path).startsWith(`${folder}-`)
  })
  return [
    ...full.map(([folder, count]) => `${folder}: ${count} files, ${MOST_FILES} allowed`),
    ...stuttering.map(({ path }) => `${path}: its folder says the start of its name`),
  ]
}

/** What keeps the parts from running in a browser, in them or in anything they reach. */
export function browserViolations(
  modules: readonly SourceModule[],
  parts: readonly string[],
): string[] {
  const byPath = new Map(modules.map((module) => [module.path, module]))
  const reached = new Map<string, string>()
  const pending = modules
    .filter(({ path }) => parts.some((part) => isWithin(part, path)))
    .map(({ path }) => ({ path, via: path }))
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (reached.has(next.path)) continue
    reached.set(next.path, next.via)
    for (const target of byPath.get(next.path)?.files ?? []) {
      pending.push({ path: target, via: `${next.via} → ${target}` })
    }
  }
  return [...reached].flatMap(([path, via]) => {
    const { packages = [], nodeGlobals = [] } = byPath.get(path) ?? {}
    const foreign = packages.filter((name) => !BROWSER_PACKAGES.includes(name))
    return [...foreign, ...nodeGlobals].map((name) => `${via}: needs ${name}`)
  })
}

/** Packages that are imported but not installed with the product. */
export function undeclaredPackages(
  modules: readonly SourceModule[],
  dependencies: readonly string[],
): string[] {
  return modules.flatMap(({ path, packages }) =>
    packages
      .filter((name) => !name.startsWith('node:') && !dependencies.includes(packageOf(name)))
      .map((name) => `${path}: ${name} is not among the dependencies`),
  )
}

function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
}

/** Most lines that any file may have, and that nine in ten may have. */
export const MOST_LINES = 400
export const USUAL_LINES = 250

/** Files that are too long, and too many files that are long. */
export function sizeViolations(files: readonly SourceFile[]): string[] {
  const sizes = files.map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 }))
  const tooLong = sizes.filter(({ lines }) => lines > MOST_LINES)
  const long = sizes.filter(({ lines }) => lines > USUAL_LINES)
  const violations = tooLong.map(
    ({ path, lines }) => `${path}: ${lines} lines, ${MOST_LINES} allowed`,
  )
  if (long.length > files.length / 10) {
    const names = long.map(({ path, lines }) => `${path} (${lines})`).join(', ')
    violations.push(`more than one file in ten passes ${USUAL_LINES} lines: ${names}`)
  }
  return violations
}

/** `index.ts` files that no public edge needs, and names that say nothing. */
export function nameViolations(
  files: readonly SourceFile[],
  publicEdges: readonly string[],
): string[] {
  return files.flatMap(({ path }) => {
    const name = posix.basename(path, '.ts')
    if (name === 'index' && !publicEdges.includes(path)) return [`${path}: is no public edge`]
    if (/^(utils?|helpers?|common|types|misc)$/.test(name)) return [`${path}: name says nothing`]
    return /^[a-z0-9]+([-.][a-z0-9]+)*$/.test(name) ? [] : [`${path}: name is not kebab-case`]
  })
}
